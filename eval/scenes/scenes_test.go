package scenes

import (
	"bytes"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

const samples = 40 // pairs a kind

// render is a scene's frames.
func render(s *Scene) []uint8 {
	out := make([]uint8, Bytes)
	s.Render(out)
	return out
}

func frameOf(clip []uint8, frame int) []uint8 { return clip[frame*picture:][:picture] }

func forEachPair(t *testing.T, kinds []Kind, check func(t *testing.T, p Pair)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			for i := range uint64(samples) {
				check(t, DrawPair(kind, 9000, i))
			}
		})
	}
}

func hiddenKinds() []Kind {
	var hidden []Kind
	for _, kind := range Kinds() {
		if kind.Hidden() {
			hidden = append(hidden, kind)
		}
	}
	return hidden
}

func TestTwinsAreTheSameUpToTheEvent(t *testing.T) {
	forEachPair(t, Kinds(), func(t *testing.T, p Pair) {
		possible, impossible := render(&p.Possible), render(&p.Impossible)
		require.Equal(t, possible[:p.Event*picture], impossible[:p.Event*picture])
		require.NotEqual(t, possible[p.Event*picture:], impossible[p.Event*picture:])
		require.Positive(t, p.Event)
		require.Less(t, p.Event, Frames)
	})
}

// TestOpenEventsShowAtOnce: what happens in the open differs from the event's own frame on, by more than a pixel or two.
func TestOpenEventsShowAtOnce(t *testing.T) {
	open := []Kind{Teleport, Freeze, Reverse, VanishOpen, ColourOpen, Merge, PassWall}
	forEachPair(t, open, func(t *testing.T, p Pair) {
		possible, impossible := render(&p.Possible), render(&p.Impossible)
		require.NotEqual(t, frameOf(possible, p.Event), frameOf(impossible, p.Event))
	})
}

// TestHiddenEventsShowNothingAtOnce: behind the occluder nothing can be seen, the frame of the event included, but for what is
// already elsewhere (early).
func TestHiddenEventsShowNothingAtOnce(t *testing.T) {
	forEachPair(t, hiddenKinds(), func(t *testing.T, p Pair) {
		s := &p.Possible
		o := s.Objects[p.Target]
		require.True(t, s.hides(o.Radius, s.tracks[p.Target][p.Event].x))
		require.True(t, s.hides(o.Radius, s.tracks[p.Target][p.Event-1].x) || s.hides(o.Radius, s.tracks[p.Target][p.Event+1].x))
		for frame := range 4 {
			require.False(t, s.touches(o.Radius, s.tracks[p.Target][frame].x), "seen whole at the start")
		}
		if p.Kind != Early {
			require.Equal(t, frameOf(render(&p.Possible), p.Event), frameOf(render(&p.Impossible), p.Event))
		}
		require.Zero(t, s.Wall)
		require.NotEmpty(t, s.Occluders)
	})
}

// visible is the frames in which any of the target can be seen.
func visible(s *Scene, target int) []int {
	var frames []int
	for frame, at := range &s.tracks[target] {
		if !at.absent && !s.hides(s.Objects[target].Radius, at.x) {
			frames = append(frames, frame)
		}
	}
	return frames
}

func TestHiddenTargetsComeOutAsTheirKindSays(t *testing.T) {
	after := func(frames []int, event int) (first int) {
		for _, frame := range frames {
			if frame > event {
				return frame
			}
		}
		return -1
	}
	forEachPair(t, hiddenKinds(), func(t *testing.T, p Pair) {
		normal, odd := &p.Possible.tracks[p.Target], &p.Impossible.tracks[p.Target]
		out, oddOut := after(visible(&p.Possible, p.Target), p.Event), after(visible(&p.Impossible, p.Target), p.Event-1)
		switch p.Kind {
		case VanishHidden:
			require.Equal(t, -1, oddOut)
			require.NotEqual(t, -1, out)
		case AppearHidden:
			require.Empty(t, visible(&p.Possible, p.Target))
			require.GreaterOrEqual(t, visible(&p.Impossible, p.Target)[0], p.Event)
		case Late:
			require.Equal(t, out+delay, oddOut)
		case Early:
			require.Equal(t, max(out-delay, p.Event), oddOut)
		case Back:
			heading := normal[out].x - normal[p.Event].x
			require.Negative(t, heading*(odd[oddOut].x-odd[p.Event].x))
		case ColourHidden:
			turn := odd[out].hue - normal[out].hue
			require.GreaterOrEqual(t, turn, hueNearest)
			require.LessOrEqual(t, turn, hueFarthest)
		case ShapeHidden:
			require.NotEqual(t, normal[out].shape, odd[out].shape)
			require.Equal(t, normal[out].point, odd[out].point)
		default:
			t.Fatalf("%s is not hidden", p.Kind)
		}
	})
}

func TestOpenKindsKeepTheirConditions(t *testing.T) {
	open := []Kind{Teleport, Freeze, Reverse, VanishOpen, ColourOpen}
	forEachPair(t, open, func(t *testing.T, p Pair) {
		s, o := &p.Possible, p.Possible.Objects[p.Target]
		normal, odd := &s.tracks[p.Target], &p.Impossible.tracks[p.Target]
		require.GreaterOrEqual(t, p.Event, 8)
		require.LessOrEqual(t, p.Event, 15)
		for frame := p.Event - 4; frame <= p.Event+5; frame++ {
			require.False(t, s.touches(o.Radius, normal[frame].x))
		}
		switch p.Kind {
		case Teleport:
			gap := distance(normal[p.Event].point, odd[p.Event].point)
			require.GreaterOrEqual(t, gap, leap)
			require.LessOrEqual(t, gap, farLeap+1e-9)
			for frame := p.Event; frame < p.Event+6; frame++ {
				require.False(t, s.touches(o.Radius, odd[frame].x))
			}
		case Freeze:
			require.Equal(t, odd[p.Event-1].point, odd[p.Event].point)
			require.Equal(t, odd[p.Event].point, odd[Frames-1].point)
		case Reverse:
			require.InDelta(t, odd[p.Event-2].x, odd[p.Event].x, 1e-9)
			require.InDelta(t, odd[p.Event-3].y, odd[p.Event+1].y, 1e-9)
		default:
		}
	})
}

func TestObjectsThatMergeMeet(t *testing.T) {
	forEachPair(t, []Kind{Merge}, func(t *testing.T, p Pair) {
		gap := func(frame int) float64 {
			return distance(p.Possible.tracks[0][frame].point, p.Possible.tracks[1][frame].point)
		}
		require.Len(t, p.Possible.Objects, 2)
		require.LessOrEqual(t, gap(p.Event), 4.0)
		require.GreaterOrEqual(t, gap(p.Event+4), 12.0)
		require.GreaterOrEqual(t, gap(0), 12.0)
		require.True(t, p.Impossible.tracks[0][p.Event].absent)
		require.False(t, p.Impossible.tracks[1][p.Event].absent)
	})
}

func TestWallsHoldInPossibleScenesOnly(t *testing.T) {
	forEachPair(t, []Kind{PassWall}, func(t *testing.T, p Pair) {
		side := func(s *Scene, frame int) bool { return s.tracks[p.Target][frame].x < float64(s.Wall) }
		for frame := range Frames {
			require.Equal(t, side(&p.Possible, 0), side(&p.Possible, frame))
		}
		entered := false
		o := p.Impossible.Objects[p.Target]
		for _, at := range p.Impossible.tracks[p.Target] {
			entered = entered || at.x+o.Radius > float64(p.Possible.Wall) && at.x-o.Radius < float64(p.Possible.Wall+wallWidth)
		}
		require.True(t, entered)
	})
}

func TestObjectsStayInThePicture(t *testing.T) {
	for i := range uint64(300) {
		s := Possible(NewRandom(1, i))
		for k, o := range s.Objects {
			for _, at := range s.tracks[k] {
				require.GreaterOrEqual(t, at.x, o.Radius-1e-9)
				require.LessOrEqual(t, at.x, Side-o.Radius+1e-9)
				require.LessOrEqual(t, at.y, Side-o.Radius+1e-9)
			}
		}
	}
}

// TestPhysicsLosesNothing: without gravity the speed stays, with it the sum of both energies, within the error of the time step.
func TestPhysicsLosesNothing(t *testing.T) {
	w := world{gravity: gravity}
	start := motion{x: 30, y: 20, vx: 2, vy: -1}
	p := w.path(start, 5)
	energy := func(m motion) float64 { return m.vx*m.vx/2 + m.vy*m.vy/2 - gravity*m.y }
	for _, m := range p {
		require.InDelta(t, energy(start), energy(m), 0.6)
	}
	for frame := -Frames; frame < Frames; frame++ {
		require.InDelta(t, p.state(frame+1).x, w.forward(p.state(frame), w.bounds(30, 5)).x, 1e-9, "back undoes forward")
		require.InDelta(t, p.state(frame+1).y, w.forward(p.state(frame), w.bounds(30, 5)).y, 0.5)
	}
}

func TestScenesAreDeterministic(t *testing.T) {
	for _, kind := range Kinds() {
		a, b := DrawPair(kind, 3, 7), DrawPair(kind, 3, 7)
		require.Equal(t, render(&a.Impossible), render(&b.Impossible))
		other := DrawPair(kind, 3, 8)
		require.NotEqual(t, render(&a.Possible), render(&other.Possible))
	}
	a, b := Possible(NewRandom(1, 2)), Possible(NewRandom(1, 2))
	require.Equal(t, render(&a), render(&b))
}

func TestMixOfPossibleScenesIsAsDrawn(t *testing.T) {
	const n = 4000
	var walls, falls, columns, objects, resting float64
	for i := range uint64(n) {
		s := Possible(NewRandom(5, i))
		if s.Wall > 0 {
			walls++
			require.Empty(t, s.Occluders)
		}
		if s.Gravity > 0 {
			falls++
		}
		columns += float64(len(s.Occluders))
		objects += float64(len(s.Objects))
		for _, o := range s.Objects {
			if o.Resting {
				resting++
			}
		}
	}
	require.InDelta(t, wallChance, walls/n, 0.03)
	require.InDelta(t, gravityChance, falls/n, 0.03)
	require.InDelta(t, 0.75*0.77, columns/n, 0.06)
	require.InDelta(t, 1.75, objects/n, 0.05)
	require.InDelta(t, restChance, resting/objects, 0.03)
}

// TestEventfulScenesArePossibleAndMoreHappensInThem: most of them hide something for a while, which few scenes do by themselves.
func TestEventfulScenesArePossibleAndMoreHappensInThem(t *testing.T) {
	const n = 1000
	share := func(draw func(*rand.Rand) Scene) (passages, meetings float64) {
		for i := range uint64(n) {
			s := draw(NewRandom(9, i))
			paths := s.paths()
			if s.passes(paths) {
				passages++
			}
			if s.meets(paths) {
				meetings++
			}
			for k := range s.Objects {
				for frame := range Frames {
					require.Equal(t, paths[k].at(frame), s.tracks[k][frame].point)
					require.False(t, s.tracks[k][frame].absent)
				}
			}
		}
		return passages / n, meetings / n
	}
	passages, meetings := share(Eventful)
	plainPassages, plainMeetings := share(Possible)
	require.Greater(t, passages, 0.5)
	require.Less(t, plainPassages, 0.35)
	require.Greater(t, meetings, plainMeetings)
	crowdedPassages, _ := share(Crowded)
	require.InDelta(t, 1, crowdedPassages, 1e-9, "something is hidden in every crowded scene")
	for _, draw := range []func(*rand.Rand) Scene{Eventful, Crowded} {
		a, b := draw(NewRandom(1, 2)), draw(NewRandom(1, 2))
		require.Equal(t, render(&a), render(&b))
	}
}

func TestSensorNoiseIsAsStrongAsSaid(t *testing.T) {
	canvas, out := make([]float32, picture), make([]uint8, picture)
	for i := range canvas {
		canvas[i] = 127
	}
	newNoise(4).expose(canvas, out)
	sum, squares := 0.0, 0.0
	for _, value := range out {
		sum += float64(value) - 127
		squares += (float64(value) - 127) * (float64(value) - 127)
	}
	n := float64(len(out))
	require.InDelta(t, 0, sum/n, 0.15)
	require.InDelta(t, 255*sensor, math.Sqrt(squares/n-1.0/12), 0.1)
}

func TestColoursAreThoseOfTheCircle(t *testing.T) {
	for hue, want := range map[float64][3]float32{
		0: {1, 0, 0}, 1.0 / 3: {0, 1, 0}, 2.0 / 3: {0, 0, 1}, 1.5: {0, 1, 1},
	} {
		got := rgb(hue, 1, 1)
		require.InDeltaSlice(t, want[:], got[:], 1e-6)
	}
	require.Equal(t, [3]float32{0.5, 0.5, 0.5}, rgb(0.2, 0, 0.5))
}

func TestSheetShowsEveryStepthFrame(t *testing.T) {
	p := DrawPair(Teleport, 1, 1)
	clip := render(&p.Possible)
	var out bytes.Buffer
	require.NoError(t, WriteSheet(&out, 3, Side, clip, render(&p.Impossible)))
	sheet, err := png.Decode(&out)
	require.NoError(t, err)
	require.Equal(t, 8*(2*Side+4)+4, sheet.Bounds().Dx())
	require.Equal(t, 2*(2*Side+4)+4, sheet.Bounds().Dy())
	r, g, b, _ := sheet.At(4+2*Side+4, 4).RGBA() // first pixel of the second column
	got := []uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}
	require.Equal(t, frameOf(clip, 3)[:3], got)
}

func BenchmarkPossible(b *testing.B) {
	out := make([]uint8, Bytes)
	for i := range b.N {
		s := Possible(NewRandom(1, uint64(i)))
		s.Render(out)
	}
}

func BenchmarkPair(b *testing.B) {
	for i := range b.N {
		for _, kind := range Kinds() {
			_ = DrawPair(kind, 1, uint64(i))
		}
	}
}
