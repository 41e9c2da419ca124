package eval

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/predictor"
)

func TestLabelsAreReadRowByRow(t *testing.T) {
	labels, err := ParseLabels(strings.NewReader("clip,frame_index0,anomalous,more\ntest01,0,0,x\ntest01,1,1,\ntest02,0,1,\n"))
	require.NoError(t, err)
	require.Equal(t, Labels{"test01": {false, true}, "test02": {true}}, labels)
	require.Equal(t, []bool{true}, labels.Of("ucsd_ped2_test_test02.mp4"))
	require.Nil(t, labels.Of("test03.mp4"))
	for text, want := range map[string]string{
		"clip,anomalous\n":                           "frame_index0",
		"clip,frame_index0,anomalous\na,1,0\n":       "line 2",
		"clip,frame_index0,anomalous\na,0,perhaps\n": "perhaps",
		"": "EOF",
	} {
		_, err := ParseLabels(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
}

func FuzzLabels(f *testing.F) {
	f.Add("clip,frame_index0,anomalous\na,0,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		labels, err := ParseLabels(strings.NewReader(text))
		require.True(t, err != nil || labels != nil)
	})
}

// TestAnomaliesAreFoundWhereThingsMoveOtherwise: boxes that move at one speed are usual, a faster one is not.
func TestAnomaliesAreFoundWhereThingsMoveOtherwise(t *testing.T) {
	normal := findWindows([]*Recording{recording("a", 60, 1, 40), recording("b", 60, 1, 40)}, testSide)
	odd := newRecording(Recording{Name: "cam_test01.avi", Family: "cam", count: 60, frame: func(i int) []byte {
		speed := 1
		if i >= 30 && i < 50 {
			speed = 5
		}
		return moving(i, speed, 40)
	}}, testSide)
	test := findWindows([]*Recording{odd}, testSide)
	marks := make([]bool, 60)
	for i := 30; i < 50; i++ {
		marks[i] = true
	}
	judges := []AnomalyJudge{pixelSource(t, predictor.NewPersistence()), Motion{}}
	calls := 0
	table, err := MeasureAnomalies(t.Context(), normal, test, Labels{"test01": marks}, judges, 0, func(int, int) { calls++ })
	require.NoError(t, err)
	require.Equal(t, 2*3, calls)
	require.Equal(t, 20, table.Anomalous)
	require.Greater(t, table.Results[0].AUROC.Value, 0.8)
	require.Equal(t, MotionName, table.Results[1].Name)
	require.Greater(t, table.Results[1].AUROC.Value, 0.8)
	var text strings.Builder
	require.NoError(t, table.WriteText(&text))
	require.Contains(t, text.String(), "60 frames, 20 of them anomalous")
	require.Len(t, table.Plot().Series, 2)

	_, err = MeasureAnomalies(t.Context(), normal, test, Labels{"test01": marks[1:]}, judges, 0, nil)
	require.ErrorContains(t, err, "59")
}

func TestSmoothKeepsAConstant(t *testing.T) {
	for _, value := range smooth([]float64{3, 3, 3, 3}, 4) {
		require.InDelta(t, 3, value, 1e-12)
	}
	peak := smooth([]float64{0, 0, 9, 0, 0}, 1)
	require.Greater(t, peak[2], peak[1])
	require.InDelta(t, peak[1], peak[3], 1e-12)
}
