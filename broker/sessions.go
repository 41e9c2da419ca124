package broker

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessions looks after the sessions of group members where kfake does not, so that a group finds itself again after whatever happens to
// its members, as on Apache Kafka:
//
//   - Who waits for the answer to a join or a sync cannot send heartbeats. kfake ends its session all the same, and forgets the request:
//     the member waits for an answer that never comes. Here it has a heartbeat sent for it while it waits.
//   - Who goes away while it waits has no session afterwards, and would keep its partitions for ever, or hold up every join to come until
//     the others give up waiting, which leaves more such members behind: the group stands still for good. Here one heartbeat is sent for
//     whoever was let in; with that its session begins, and ends.
type sessions struct {
	cluster *kfake.Cluster
	client  *kgo.Client
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	groups map[string]map[string]asked
}

// asked is what a member asked for last: to be let into the group, or, once it was, for what it is to read.
type asked struct {
	sync bool
	// epoch is the group's when it asked, begun the one for which its session was begun.
	epoch, begun int32
}

// sessionTick is how often groups are looked at; the shortest session that kfake grants is 6 s.
const sessionTick = 500 * time.Millisecond

// The states of a group in which members wait.
const (
	stateJoining = "PreparingRebalance"
	stateSyncing = "CompletingRebalance"
)

// watchSessions begins to look after a cluster, until close, whatever becomes of ctx.
func watchSessions(ctx context.Context, cluster *kfake.Cluster, addrs []string) (*sessions, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ClientID("embedded-broker"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &sessions{cluster: cluster, client: client, cancel: cancel, groups: map[string]map[string]asked{}}
	cluster.ControlKey(int16(kmsg.JoinGroup), s.heardJoin)
	cluster.ControlKey(int16(kmsg.SyncGroup), s.heardSync)
	s.running.Go(func() { s.run(ctx) })
	return s, nil
}

// close must come before the cluster's: afterwards nobody answers.
func (s *sessions) close() {
	s.cancel()
	s.running.Wait()
	s.client.Close()
}

// heardJoin and heardSync only listen: the broker goes on with the request.
func (s *sessions) heardJoin(request kmsg.Request) (kmsg.Response, error, bool) {
	join := request.(*kmsg.JoinGroupRequest)
	epoch := int32(0)
	if info := s.cluster.GroupInfo(join.Group); info != nil {
		epoch = info.Epoch
	}
	s.heard(join.Group, join.MemberID, asked{epoch: epoch})
	return nil, nil, false
}

func (s *sessions) heardSync(request kmsg.Request) (kmsg.Response, error, bool) {
	told := request.(*kmsg.SyncGroupRequest)
	s.heard(told.Group, told.MemberID, asked{sync: true, epoch: told.Generation})
	return nil, nil, false
}

func (s *sessions) heard(group, member string, what asked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	members := s.groups[group]
	if members == nil {
		members = map[string]asked{}
		s.groups[group] = members
	}
	if member != "" { // who has no name yet is told one in the answer
		members[member] = what
	}
}

func (s *sessions) run(ctx context.Context) {
	ticker := time.NewTicker(sessionTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, group := range s.names() {
			if info := s.cluster.GroupInfo(group); info != nil {
				for _, member := range s.waiting(info) {
					s.beat(ctx, info, member)
				}
			}
		}
	}
}

func (s *sessions) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.groups))
	for name := range s.groups {
		names = append(names, name)
	}
	return names
}

// waiting are the members of a group that need a heartbeat, and what is known of those that are gone is forgotten.
func (s *sessions) waiting(info *kfake.GroupInfo) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, current := s.groups[info.Group], map[string]asked{}
	var waiting []string
	for _, member := range info.Members {
		last, heard := known[member.MemberID]
		if !heard { // it was told its name by now, or will be at the end of this join
			last = asked{epoch: info.Epoch - 1}
			if info.State == stateJoining {
				last.epoch = info.Epoch
			}
		}
		needs := last.epoch == info.Epoch && (info.State == stateJoining && !last.sync || info.State == stateSyncing && last.sync)
		if !last.sync && last.epoch < info.Epoch && last.begun != info.Epoch {
			needs, last.begun = true, info.Epoch
		}
		if needs {
			waiting = append(waiting, member.MemberID)
		}
		current[member.MemberID] = last
	}
	s.groups[info.Group] = current
	return waiting
}

// beat sends a heartbeat for a member. Where it fails the group has moved on, and the next look is soon.
func (s *sessions) beat(ctx context.Context, info *kfake.GroupInfo, member string) {
	ctx, cancel := context.WithTimeout(ctx, sessionTick)
	defer cancel()
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.MemberID, request.Generation = info.Group, member, info.Epoch
	_, _ = request.RequestWith(ctx, s.client)
}
