package container

/*
#include "bridge.h"
*/
import "C"

import (
	"errors"
	"io"
	"math"
	"slices"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// unset is FFmpeg's "no timestamp".
const unset = math.MinInt64

// Packet is one packet of the video: as a rule one picture.
type Packet struct {
	// Raw is FFmpeg's packet; Packets owns it.
	Raw *astiav.Packet
	// PTS, DTS are when the picture is shown and when it is decoded, Duration how long it is shown, in ticks of the track's time
	// base. Duration is 0 where it is not known.
	PTS, DTS, Duration int64
	// Key says that decoding can start here.
	Key bool
	// Hidden says that the picture is only there for others to be made from: an edit list cuts it off, or the codec says so.
	Hidden bool
	// Size is in bytes.
	Size int
}

// Packets is a list of packets. Its memory stays for the next list; Free it.
type Packets struct {
	// List is what was read, in the order of decoding.
	List []Packet
	// Bytes is the sum of the sizes.
	Bytes int64

	spare []*astiav.Packet
	order []int64
}

// Reset empties the list.
func (p *Packets) Reset() {
	for i := range p.List {
		p.List[i].Raw.Unref()
		p.spare = append(p.spare, p.List[i].Raw)
	}
	p.List, p.Bytes = p.List[:0], 0
}

// Free frees everything.
func (p *Packets) Free() {
	p.Reset()
	for _, packet := range p.spare {
		packet.Free()
		live.Add(-1)
	}
	p.spare = nil
}

// Read appends the next packet of in. It returns io.EOF at the end.
func (p *Packets) Read(in *Input) error {
	raw := p.take()
	if raw == nil {
		return io.ErrShortBuffer
	}
	if err := in.next(raw); err != nil {
		p.spare = append(p.spare, raw)
		return err
	}
	flags := astiav.PacketFlag(raw.Flags())
	packet := Packet{
		Raw: raw, PTS: raw.Pts(), DTS: raw.Dts(), Duration: max(raw.Duration(), 0), Size: raw.Size(),
		Key: flags&astiav.PacketFlagKey != 0, Hidden: flags&astiav.PacketFlagDiscard != 0 || invisible(in.codec, payload(raw)),
	}
	if in.format.guessed {
		packet.Duration = 0
	}
	p.List = append(p.List, packet)
	p.Bytes += int64(packet.Size)
	return nil
}

// payload is the packet's bytes as they lie in FFmpeg's memory, until it is freed.
func payload(packet *astiav.Packet) []byte {
	c := (*C.AVPacket)(unwrap(packet))
	return unsafe.Slice((*byte)(unsafe.Pointer(c.data)), int(c.size))
}

// move hands the last packet over to another list.
func (p *Packets) move(to *Packets) {
	last := p.List[len(p.List)-1]
	p.List = p.List[:len(p.List)-1]
	p.Bytes -= int64(last.Size)
	to.List = append(to.List, last)
	to.Bytes += int64(last.Size)
}

func (p *Packets) take() *astiav.Packet {
	if n := len(p.spare); n > 0 {
		packet := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return packet
	}
	packet := astiav.AllocPacket()
	if packet != nil {
		live.Add(1)
	}
	return packet
}

// Times returns the presentation times of the pictures that are shown, increasing, in ticks. The slice is valid until the next call.
//
// Where the file has none (Input.Untimed), or lacks some, these are its decoding times or, without them, multiples of a frame's
// duration; frames then take them in the order in which they come out of the decoder, and ordered is true.
func (p *Packets) Times(in *Input) (times []int64, ordered bool) {
	ordered = in.Untimed()
	decoding := true
	for i := range p.List {
		ordered = ordered || p.List[i].PTS == unset
		decoding = decoding && p.List[i].DTS != unset
	}
	frame := p.frame(in)
	p.order = slices.Grow(p.order[:0], len(p.List))
	for i := range p.List {
		packet := &p.List[i]
		switch {
		case packet.Hidden:
		case !ordered:
			p.order = append(p.order, packet.PTS)
		case decoding:
			p.order = append(p.order, packet.DTS)
		default:
			p.order = append(p.order, int64(i)*frame)
		}
	}
	slices.Sort(p.order)
	return p.order, ordered
}

// usualRate is the frame rate where nothing tells one, as FFmpeg has it.
const usualRate = 25

// TellRate finds the rate of video without a container, which only a decoder can read from it, for Input.Rate and Times. It is called when
// the packets are read, and does nothing for files that have a container.
func (p *Packets) TellRate(in *Input, options CodecOptions) error {
	if !in.format.raw {
		return nil
	}
	in.track.rate_num, in.track.rate_den = usualRate, 1
	codec, err := OpenCodec(in, options)
	if err != nil {
		return err
	}
	defer codec.Close()
	for i := range p.List {
		if err := codec.Send(p.List[i].Raw, false); errors.Is(err, ErrFull) {
			return nil
		}
		if codec.c.framerate.num > 0 && codec.c.framerate.den > 0 {
			in.track.rate_num, in.track.rate_den = codec.c.framerate.num, codec.c.framerate.den
			return nil
		}
		if width, height, _ := codec.Picture(); width > 0 && height > 0 {
			return nil // it knows the picture, and no rate comes with it
		}
	}
	return nil
}

// frame is the duration of a picture in ticks as the file tells it, 1/25 s where it does not.
func (p *Packets) frame(in *Input) int64 {
	if len(p.List) > 0 && p.List[0].Duration > 0 {
		return p.List[0].Duration
	}
	rate := in.Rate()
	if rate <= 0 {
		rate = usualRate
	}
	base := in.TimeBase()
	return max(int64(math.Round(float64(base.Den)/float64(base.Num)/rate)), 1)
}

// trim drops pictures at the end that are not shown: an edit list cut them off, and nothing after them is made from them.
func (p *Packets) trim() {
	for n := len(p.List); n > 0 && p.List[n-1].Hidden; n = len(p.List) {
		last := p.List[n-1]
		last.Raw.Unref()
		p.spare = append(p.spare, last.Raw)
		p.List = p.List[:n-1]
		p.Bytes -= int64(last.Size)
	}
}

// Reorder is how many pictures at most come before a picture in the order of decoding and after it in that of presentation.
func (p *Packets) Reorder() int {
	most := 0
	for i := range p.List {
		later := 0
		for j := max(0, i-reorderWindow); j < i; j++ {
			if p.List[j].PTS > p.List[i].PTS {
				later++
			}
		}
		most = max(most, later)
	}
	return most
}

// reorderWindow is how far back a picture can be overtaken: H.264 and HEVC hold 16 pictures at most.
const reorderWindow = 16

// End is when the last picture stops being shown, in ticks; times is what Times returned. A duration that is missing or absurdly
// short is taken to be the typical distance of two pictures.
func (p *Packets) End(in *Input, times []int64) int64 {
	last := times[len(times)-1]
	var told int64
	for i := range p.List {
		packet := &p.List[i]
		if !packet.Hidden && (packet.PTS == last || p.shownByOrder(packet, last)) {
			told = max(told, packet.Duration)
		}
	}
	return last + p.duration(told, p.typical(in, times))
}

// typical is the mean distance of two pictures in ticks.
func (p *Packets) typical(in *Input, times []int64) int64 {
	n := int64(len(times))
	if n > 1 && times[n-1] > times[0] {
		return (times[n-1] - times[0] + (n-1)/2) / (n - 1)
	}
	return p.frame(in)
}

// duration is the one told, or the typical one where the one told is missing or absurdly short.
func (*Packets) duration(told, typical int64) int64 {
	const absurd = 8
	if absurd*told < typical {
		return typical
	}
	return told
}

func (p *Packets) shownByOrder(packet *Packet, last int64) bool {
	return packet.PTS == unset && packet.DTS == last
}
