package predictor

import (
	"encoding/binary"
	"time"
)

// byDistance judges windows whose energies are distances: one Running, two-sided.
type byDistance struct{ *Running }

func newByDistance(cfg Config) byDistance { return byDistance{NewRunning(cfg)} }

// Judge is as the interface says.
func (d byDistance) Judge(said Said) Judgement { return d.Running.Judge(said.Energy) }

// Observe is as the interface says.
func (d byDistance) Observe(said Said, lasted time.Duration) { d.Running.Observe(said.Energy, lasted) }

// byLearned judges windows with learned energies. One of those tells of all that does not ensue; of a picture that has stood still for a
// while the next still one does ensue. That a stream does not move any more is told by the distance: when it is far below the stream's
// usual one. The p-value is that of the more surprising of the two, twice: there are two chances to be surprised (Bonferroni).
type byLearned struct{ energy, distance *Running }

func newByLearned(cfg Config) *byLearned {
	half := cfg
	half.Calibrate.FalseAlarmsPerDay /= 2 // so that the band of the energy is where its half of the p-value is the alarm
	return &byLearned{energy: NewStandardRunning(half), distance: NewRunning(half)}
}

// Judge is as the interface says.
func (l *byLearned) Judge(said Said) Judgement {
	high, low := l.energy.Judge(said.Energy), l.distance.Judge(said.Distance)
	if !high.Warm || !low.Warm {
		return Judgement{}
	}
	// Of the distance one side counts.
	calm := 1 - low.PValue/2
	if low.Calm {
		calm = low.PValue / 2
	}
	return Judgement{
		Warm: true, PValue: min(1, 2*min(high.PValue, calm)), Calm: calm < l.distance.alpha, Expected: high.Expected,
	}
}

// Observe is as the interface says.
func (l *byLearned) Observe(said Said, lasted time.Duration) {
	l.energy.Observe(said.Energy, lasted)
	l.distance.Observe(said.Distance, lasted)
}

// learnedFormat is the first byte of what Export writes.
const learnedFormat = 3

// Export writes the format, how long the state of the energies is (varint), that, and the state of the distances.
func (l *byLearned) Export() []byte {
	energy := l.energy.Export()
	state := binary.AppendUvarint([]byte{learnedFormat}, uint64(len(energy)))
	return append(append(state, energy...), l.distance.Export()...)
}

// Import reads what Export wrote.
func (l *byLearned) Import(state []byte) error {
	if len(state) == 0 || state[0] != learnedFormat {
		return stateFailure("it does not begin with format %d", learnedFormat)
	}
	length, size := binary.Uvarint(state[1:])
	if state = state[1+max(size, 0):]; size <= 0 || length > uint64(len(state)) {
		return stateFailure("it does not say how long its first part is")
	}
	energy, distance := *l.energy, *l.distance
	if err := energy.Import(state[:length]); err != nil {
		return err
	}
	if err := distance.Import(state[length:]); err != nil {
		return err
	}
	*l.energy, *l.distance = energy, distance
	return nil
}
