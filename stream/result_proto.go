package stream

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensue-video/ensue/stream/streampb"
)

// ResultToProto is the result as a Protobuf message. It shares the data of Map and Next with the result.
func ResultToProto(r *Result) *streampb.Result {
	message := &streampb.Result{
		Id: r.ID, Stream: r.Stream, Y: extentToProto(&r.Y),
		Verdict: string(r.Verdict), Reason: string(r.Reason),
		Energy: r.Energy, PValue: r.PValue,
		Model:  r.Model,
		Decode: &streampb.Decode{Frames: r.Decode.Frames, Dropped: r.Decode.Dropped, Fps: r.Decode.FPS},
		Latency: &streampb.Latency{
			Queue: r.Latency.Queue, Decode: r.Latency.Decode, Encode: r.Latency.Encode, Predict: r.Latency.Predict,
		},
	}
	if r.X != nil {
		message.X = extentToProto(r.X)
	}
	if e := r.Expected; e != nil {
		message.Expected = &streampb.Expected{Median: e.Median, Low: e.Low, High: e.High}
	}
	for _, w := range r.Windows {
		message.Windows = append(message.Windows, &streampb.Window{Start: w.Start, Energy: w.Energy, PValue: w.PValue})
	}
	for _, h := range r.Horizons {
		message.Horizons = append(message.Horizons, &streampb.Horizon{Seconds: h.Seconds, Energy: h.Energy})
	}
	if m := r.Map; m != nil {
		message.Map = &streampb.Array{Shape: m.Shape, Encoding: m.Encoding, Data: m.Data}
	}
	for _, n := range r.Next {
		message.Next = append(message.Next, &streampb.Next{Seconds: n.Seconds, Dim: n.Dim, Encoding: n.Encoding, Data: n.Data})
	}
	return message
}

// ResultFromProto is the inverse of ResultToProto.
func ResultFromProto(message *streampb.Result) *Result {
	r := &Result{
		ID: message.GetId(), Stream: message.GetStream(), Y: extentFromProto(message.GetY()),
		Verdict: Verdict(message.GetVerdict()), Reason: Reason(message.GetReason()),
		Energy: message.Energy, PValue: message.PValue,
		Model: message.GetModel(),
		Decode: Decode{
			Frames: message.GetDecode().GetFrames(), Dropped: message.GetDecode().GetDropped(), FPS: message.GetDecode().GetFps(),
		},
		Latency: Latency{
			Queue: message.GetLatency().GetQueue(), Decode: message.GetLatency().GetDecode(),
			Encode: message.GetLatency().GetEncode(), Predict: message.GetLatency().GetPredict(),
		},
	}
	if message.GetX() != nil {
		x := extentFromProto(message.GetX())
		r.X = &x
	}
	if e := message.GetExpected(); e != nil {
		r.Expected = &Expected{Median: e.GetMedian(), Low: e.GetLow(), High: e.GetHigh()}
	}
	for _, w := range message.GetWindows() {
		r.Windows = append(r.Windows, Window{Start: w.GetStart(), Energy: w.GetEnergy(), PValue: w.PValue})
	}
	for _, h := range message.GetHorizons() {
		r.Horizons = append(r.Horizons, Horizon{Seconds: h.GetSeconds(), Energy: h.GetEnergy()})
	}
	if m := message.GetMap(); m != nil {
		r.Map = &Array{Shape: m.GetShape(), Encoding: m.GetEncoding(), Data: m.GetData()}
	}
	for _, n := range message.GetNext() {
		r.Next = append(r.Next, Next{Seconds: n.GetSeconds(), Dim: n.GetDim(), Encoding: n.GetEncoding(), Data: n.GetData()})
	}
	return r
}

func extentToProto(e *Extent) *streampb.Extent {
	return &streampb.Extent{Segment: e.Segment, Start: timestamppb.New(e.Start), End: timestamppb.New(e.End)}
}

func extentFromProto(e *streampb.Extent) Extent {
	return Extent{Segment: e.GetSegment(), Start: e.GetStart().AsTime(), End: e.GetEnd().AsTime()}
}
