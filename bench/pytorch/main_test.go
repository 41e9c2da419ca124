package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
)

func TestMain(m *testing.M) { fixture.Main(m) }

func TestARowIsMissedWhereItsMedianRatioIsBelowTheGoal(t *testing.T) {
	r := row{Ours: []float64{1, 1, 2}, Theirs: []float64{2, 3, 2}, Goal: 2}
	require.Equal(t, []float64{1, 2, 3}, r.ratios())
	require.Equal(t, "ok", r.verdict())
	r.Goal = 2.1
	require.Equal(t, "missed", r.verdict())
	r.Goal = 0
	require.Equal(t, "-", r.verdict())
}

func TestFinishTellsOfAMissedGoal(t *testing.T) {
	out := newTable(true)
	require.NoError(t, out.finish())
	out.missed = true
	require.ErrorIs(t, out.finish(), errMissed)
}

func TestResultsThatDifferAreRefused(t *testing.T) {
	require.NoError(t, near("ours", []float32{1, 2}, []float32{1, 2.0005}))
	require.ErrorContains(t, near("ours", []float32{1, 2}, []float32{1, 2.1}), "differs")
	require.ErrorContains(t, near("ours", []float32{1, 2}, []float32{1, float32(math.NaN())}), "differs")
	require.ErrorContains(t, near("ours", []float32{1, 2}, []float32{1}), "1 numbers")
	require.InDelta(t, 0.5, deviation([]float32{2, 0}, []float32{1, 0}), 1e-9)
}

func TestCasesAreChosenByName(t *testing.T) {
	require.Len(t, selection{regexp.MustCompile("vit-b")}.nets(), 1)
	require.Len(t, selection{regexp.MustCompile("^product")}.products(), len(productCases))
	require.Empty(t, selection{regexp.MustCompile("nothing")}.nets())
}

func TestAPythonWithoutTheModulesIsSaid(t *testing.T) {
	python := filepath.Join(t.TempDir(), "python")
	require.NoError(t, os.WriteFile(python, []byte("#!/bin/sh\nexit 1\n"), 0o700)) //nolint:gosec // it is to be run
	require.ErrorIs(t, checkPython(python), errNoModules)
}

// Our side computes what the files say: twice the same, and a training step lowers the loss.
func TestOurSideRuns(t *testing.T) {
	c := netCase{name: "tiny", size: 48, layers: 1, heads: 2, crop: 32, frames: 2, batch: 2}
	f := c.files(t.TempDir())
	require.NoError(t, f.make(c))
	o, err := openOurs(c, f, 1, nn.Float32, false)
	require.NoError(t, err)
	first, err := o.output()
	require.NoError(t, err)
	require.Len(t, first, c.batch*c.tokens()*c.size)
	took, err := o.measure(0)
	require.NoError(t, err)
	require.Positive(t, took)
	require.NoError(t, o.close())

	requireTraining(t, c, f)
}

func TestOurSideTrainsTheRecurrentFamily(t *testing.T) {
	c := netCase{name: "recurrent", recurrent: true, train: true, crop: 64, frames: 2, batch: 2}
	f := c.files(t.TempDir())
	require.NoError(t, f.make(c))
	requireTraining(t, c, f)
}

// requireTraining takes a step: the loss falls.
func requireTraining(t *testing.T, c netCase, f files) {
	t.Helper()
	c.train = true
	o, err := openOurs(c, f, 1, nn.Float32, false)
	require.NoError(t, err)
	before := o.loss
	_, err = o.measure(0)
	require.NoError(t, err)
	require.Positive(t, o.loss)
	require.Less(t, o.loss, before)
	require.NoError(t, o.close())
}
