package container

/*
#include <libavutil/mem.h>
#include "bridge.h"
*/
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// mux writes the packets into a file of the format in memory, in order of decoding. Their times count from zero, which is the first
// shown picture: what comes before it is hidden by an edit list.
func mux(in *Input, list []Packet, format string, zero int64) ([]byte, error) {
	cformat := C.CString(format)
	defer C.free(unsafe.Pointer(cformat))
	var opened *C.AVFormatContext
	if code := C.output_open(&opened, in.guard.c, cformat, in.track.stream, C.int(in.stream().TimeBase().Den())); code < 0 {
		return nil, fmt.Errorf("starting a %s file: %w: %s", format, astiav.Error(code), in.Message())
	}
	live.Add(1)
	defer live.Add(-1)
	err := writeAll(wrap[astiav.FormatContext](unsafe.Pointer(opened)), in, list, zero)
	var data *C.uint8_t
	size := C.output_close(&opened, &data)
	defer C.av_free(unsafe.Pointer(data))
	if err != nil {
		return nil, fmt.Errorf("writing a %s file: %w", format, err)
	}
	return C.GoBytes(unsafe.Pointer(data), size), nil
}

func writeAll(out *astiav.FormatContext, in *Input, list []Packet, zero int64) error {
	from, to := in.stream().TimeBase(), out.Streams()[0].TimeBase()
	for i := range list {
		packet := &list[i]
		packet.Raw.SetStreamIndex(0)
		packet.Raw.SetPos(-1)
		packet.Raw.SetDuration(packet.Duration)
		packet.Raw.SetDts(packet.DTS - zero)
		packet.Raw.SetPts(packet.PTS)
		if packet.PTS != unset {
			packet.Raw.SetPts(packet.PTS - zero)
		}
		packet.Raw.RescaleTs(from, to)
		if err := out.WriteFrame(packet.Raw); err != nil {
			return err
		}
	}
	return out.WriteTrailer()
}

// setDecodingTimes gives packets that have presentation times decoding times to go with them: the same times in increasing order,
// early enough for every picture to be decoded before it is shown. Those of the file are no good where a demuxer guesses them.
func setDecodingTimes(list []Packet, scratch []int64) []int64 {
	scratch = scratch[:0]
	for i := range list {
		scratch = append(scratch, list[i].PTS)
	}
	slices.Sort(scratch)
	var delay int64
	for i := range scratch {
		if i > 0 {
			scratch[i] = max(scratch[i], scratch[i-1]+1) // two pictures of one time
		}
		delay = max(delay, scratch[i]-list[i].PTS)
	}
	for i := range list {
		list[i].DTS = scratch[i] - delay
	}
	return scratch
}
