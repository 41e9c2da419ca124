package state

import (
	"context"

	"github.com/ensue-video/ensue/stream"
)

// Store keeps what is known of streams. Load and Save may be called from several goroutines; of one partition only one at a time.
type Store interface {
	// Load is what was saved last of every stream of a partition that the group reads. Entries that cannot be read are left out.
	Load(ctx context.Context, partition Partition) (map[string]*stream.Saved, error)
	// Save makes entries durable, in the order given.
	Save(ctx context.Context, entries []Entry) error
	Close() error
}

// Partition is what a group reads of a topic.
type Partition struct {
	Group, Topic string
	Number       int
}

// Entry is what to keep of a stream.
type Entry struct {
	*stream.Saved
	// Gone says that nothing of the stream is to be kept any more.
	Gone bool
}

// partition is where the entry belongs.
func (e Entry) partition() Partition {
	return Partition{Group: e.Group, Topic: e.Topic, Number: e.Partition}
}

// newest gathers the entries of a partition as they are read, oldest first.
type newest struct {
	partition Partition
	streams   map[string]*stream.Saved
}

func (n *newest) add(saved *stream.Saved) {
	if saved.Group != n.partition.Group || saved.Topic != n.partition.Topic || saved.Partition != n.partition.Number {
		return
	}
	// Who was put out of the group may not know it yet, and write behind its successor.
	if known := n.streams[saved.Stream]; known != nil && known.Generation > saved.Generation {
		return
	}
	n.streams[saved.Stream] = saved
}

func (n *newest) drop(key string) {
	for name := range n.streams {
		if stream.SavedKey(n.partition.Group, n.partition.Topic, name) == key {
			delete(n.streams, name)
			return
		}
	}
}
