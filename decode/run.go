package decode

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/asticode/go-astiav"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/stream"
)

// run is one segment being decoded.
type run struct {
	*Decoder
	plan
	codec *container.Codec
	// turn is how pictures are turned.
	turn orientation
	// frames is the memory of the clip, taken is which pictures are in it.
	frames []byte
	taken  []time.Duration
	// last is the cell of the last frame that came out, rank its place in the order of presentation; out is how many came.
	last       int64
	rank, out  int
	interlaced bool
	// shownWidth and shownHeight are the size of the last sampled picture, upright.
	shownWidth, shownHeight int
	// passes says that pictures may be passed over, passed that some were.
	passes, passed bool
}

// run decodes the segment. Pictures that no sample depends on are passed over, which changes nothing as long as the video is whole; a
// decoder that conceals damage may take what it puts there from any picture. So where it complains, everything is decoded.
func (d *Decoder) run(ctx context.Context, plan plan) (*stream.Clip, error) {
	d.input.Forget()
	r, err := d.attempt(ctx, plan, d.exhaustive)
	if err == nil && r.passed && d.input.Message() != "" {
		d.pool.put(r.frames)
		d.input.Forget()
		r, err = d.attempt(ctx, plan, true)
	}
	if err != nil {
		return nil, err
	}
	return r.clip(), nil
}

// attempt decodes the segment once. After an error it holds no memory of the pool.
func (d *Decoder) attempt(ctx context.Context, plan plan, exhaustive bool) (*run, error) {
	codec, err := container.OpenCodec(d.input, container.CodecOptions{
		MaxPixels: d.maxPixels(), Threads: d.threads, Reorder: d.reorder(plan), Patient: plan.ordered,
	})
	if err != nil {
		return nil, err
	}
	defer codec.Close()
	d.hold(d.packets.Bytes + codec.Holds(d.input))
	r := &run{Decoder: d, plan: plan, codec: codec, last: plan.before(), rank: -1}
	r.passes = !exhaustive && (d.input.Intra() || !plan.ordered && codec.Passes())
	if !r.passes {
		for i := range d.seen {
			d.seen[i] = stateWanted
		}
	}
	if matrix, ok := d.input.Matrix(); ok {
		r.turn = newOrientation(matrix)
	}
	r.frames = d.pool.get(plan.samples * d.size.Width * d.size.Height * 3)
	r.taken = make([]time.Duration, 0, plan.samples)
	if len(r.frames) > 0 { // OpenCV writes to it; its Mats hold the address between calls
		d.pinner.Pin(&r.frames[0])
		defer d.pinner.Unpin()
	}
	if err := r.all(ctx); err != nil {
		d.pool.put(r.frames)
		return nil, err
	}
	return r, nil
}

// reorder is how many pictures the decoder must hold back, where their times tell it.
func (d *Decoder) reorder(plan plan) int {
	if plan.ordered {
		return 0
	}
	return d.packets.Reorder()
}

// all decodes every packet.
func (r *run) all(ctx context.Context) error {
	shown := -1
	for i := range r.packets.List {
		packet := &r.packets.List[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if !packet.Hidden {
			shown++
		}
		pass, rank := r.spare(packet, shown)
		if pass && r.input.Intra() {
			continue
		}
		r.passed = r.passed || pass
		if err := r.send(packet, pass); err != nil && pass {
			r.seen[rank] = stateLost
		}
		if err := r.receive(); err != nil {
			return err
		}
	}
	if err := r.codec.Send(nil, false); err != nil {
		return fmt.Errorf("ending the decoder: %w", err)
	}
	if err := r.receive(); err != nil {
		return err
	}
	if r.out == 0 && r.input.Oversized() {
		return r.tooManyPixels("more")
	}
	if r.out == 0 {
		return refuse(CodeCorrupt, "none of the %d frames (%s in %s) could be decoded%s",
			len(r.times), r.input.Codec(), r.input.Format(), r.said())
	}
	return nil
}

// spare says that the picture of a packet is not sampled and may be passed over, and its place in the order of presentation; shown is
// its place among the shown pictures in the order of decoding.
func (r *run) spare(packet *container.Packet, shown int) (pass bool, rank int) {
	if !r.passes || packet.Hidden {
		return false, 0
	}
	rank = shown // of codecs whose pictures depend on no other, which come in order
	if !r.ordered {
		rank, _ = slices.BinarySearch(r.times, packet.PTS)
	}
	return r.seen[rank] == stateSpare, rank
}

// send gives a packet to the decoder, and takes frames out where it is full.
func (r *run) send(packet *container.Packet, pass bool) error {
	for {
		err := r.codec.Send(packet.Raw, pass)
		if !errors.Is(err, container.ErrFull) {
			return err
		}
		if err := r.receive(); err != nil {
			return err
		}
	}
}

// mostFaults is how many times in a row the decoder may fail to make a frame before it is not asked again: each packet fails
// at most once, and it holds few.
const mostFaults = 64

// receive takes every frame that is ready. A frame that could not be made is only missing.
func (r *run) receive() error {
	for faults := 0; faults < mostFaults; {
		err := r.codec.Receive(r.frame)
		switch {
		case err == nil:
			faults = 0
		case errors.Is(err, container.ErrEmpty), errors.Is(err, container.ErrEnd):
			return nil
		default:
			faults++
			continue
		}
		err = r.take()
		r.frame.Unref()
		if err != nil {
			return err
		}
	}
	return nil
}

// take paints the frame if it is sampled: if it is in another cell than the frame before it. A sampled frame that was lost is so
// replaced by the next one of its cell, if that came out.
func (r *run) take() error {
	if r.out++; r.out == 1 { // only the video itself may tell
		r.hold(r.packets.Bytes + r.codec.Holds(r.input))
	}
	rank := r.place()
	if rank < 0 {
		return nil
	}
	r.rank = rank
	r.seen[rank] = stateOut
	r.interlaced = r.interlaced || interlaced(r.frame)
	tau := r.tau(rank)
	cell := r.cell(float64(tau))
	if cell == r.last {
		return nil
	}
	r.last = cell
	picture := r.size.Width * r.size.Height * 3
	at := len(r.taken) * picture
	if at+picture > len(r.frames) {
		return errors.New("more frames were sampled than planned")
	}
	if err := r.painter.paint(r.frame, r.turn, r.frames[at:at+picture]); err != nil {
		return err
	}
	r.shownWidth, r.shownHeight = shown(r.frame, r.turn)
	r.taken = append(r.taken, tau)
	return nil
}

// shown is the size of the frame as people see it: pixels square, the picture upright.
func shown(frame *astiav.Frame, turn orientation) (width, height int) {
	width, height = frame.Width(), frame.Height()
	if ratio := frame.SampleAspectRatio(); ratio.Num() > 0 && ratio.Den() > 0 {
		width = int(math.Round(float64(width) * ratio.Float64()))
	}
	if turn.swap {
		return height, width
	}
	return width, height
}

// place is the frame's place in the order of presentation, or -1 for a frame that comes too late for its place or has none.
func (r *run) place() int {
	if r.ordered {
		return r.placeInOrder()
	}
	at := timestamp(r.frame)
	rank, found := slices.BinarySearch(r.times, at)
	if !found {
		rank-- // a time of the decoder's own making: the picture that is shown then
	}
	for found && rank <= r.rank && rank+1 < len(r.times) && r.times[rank+1] == at {
		rank++ // two pictures of one time
	}
	if rank <= r.rank {
		return -1
	}
	return rank
}

// placeInOrder gives a frame the place after the one before it. Where the decoder holds nothing back a frame's own decoding time is
// its presentation time, and a lost frame leaves a hole.
func (r *run) placeInOrder() int {
	rank := r.rank + 1
	if r.codec.Delay() == 0 {
		if own, found := slices.BinarySearch(r.times, decodingTime(r.frame)); found && own > rank {
			rank = own
		}
	}
	if rank >= len(r.times) {
		return -1
	}
	return rank
}

// clip is what came of it.
func (r *run) clip() *stream.Clip {
	t := len(r.taken)
	clip := stream.NewClip(r.frames[:t*r.size.Width*r.size.Height*3], t, r.size.Height, r.size.Width, r.release)
	clip.Times = r.taken
	clip.Step = time.Duration(r.step + 0.5)
	clip.Start, clip.End = r.offset, r.end
	clip.Dropped = r.dropped()
	clip.Decoded = len(r.times) - clip.Dropped
	clip.ShownWidth, clip.ShownHeight, clip.Cropped = r.shownWidth, r.shownHeight, r.fit == Crop
	return clip
}

// dropped is how many pictures were to come out and did not. Pictures that nothing depends on need not come out.
func (r *run) dropped() int {
	wanted, lost := 0, 0
	for _, s := range r.seen {
		switch s {
		case stateWanted:
			wanted++
		case stateLost:
			lost++
		case stateSpare, stateOut:
		}
	}
	if missing := len(r.times) - r.out; r.interlaced && 2*r.out >= len(r.times)-1 && missing > 0 {
		return 0 // a packet for every field, a frame for every two
	}
	return wanted + lost
}
