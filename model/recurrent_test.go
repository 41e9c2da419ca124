package model

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheRecurrentModelOfTheRecipe(t *testing.T) {
	config := RecurrentConfig()
	require.NoError(t, config.Check())
	encoder, predictor := config.Parameters()
	require.Equal(t, 83_200, encoder)
	require.Equal(t, 475_976, predictor)
	require.Equal(t, 8, config.Grid())
	data, err := config.Encode("float32")
	require.NoError(t, err)
	again, err := ParseConfig(data)
	require.NoError(t, err)
	require.Equal(t, config.Ensue, again.Ensue)
}

func TestARecurrentModelHasBounds(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Recurrent)
		want   string
	}{
		{"another size", func(r *Recurrent) { r.Size = 128 }, ""},
		{"other heads", func(r *Recurrent) { r.Ahead = []int{2, 8, 256} }, ""},
		{"no size", func(r *Recurrent) { r.Size = 0 }, "size: 0"},
		{"places that are no whole pixels", func(r *Recurrent) { r.Size = 100 }, "size: 100: a multiple of 8"},
		{"too large", func(r *Recurrent) { r.Size = 1024 }, "size: 1024"},
		{"no channels", func(r *Recurrent) { r.Widths[1] = 0 }, "widths[1]: 0"},
		{"too many channels", func(r *Recurrent) { r.Dim = 1 << 20 }, "dim: 1048576"},
		{"no memory", func(r *Recurrent) { r.Hidden = -1 }, "hidden: -1"},
		{"a wide layer before the heads, which see the tokens", func(r *Recurrent) { r.Trunk, r.Glance = 256, true }, ""},
		{"a negative layer before the heads", func(r *Recurrent) { r.Trunk = -1 }, "trunk: -1"},
		{"no head", func(r *Recurrent) { r.Ahead = nil }, "ahead: there must be at least one"},
		{"a head for now", func(r *Recurrent) { r.Ahead = []int{0, 1} }, "ahead[0]: 0: after 0"},
		{"heads in disorder", func(r *Recurrent) { r.Ahead = []int{2, 2} }, "ahead[1]: 2: after 2"},
		{"a head too far", func(r *Recurrent) { r.Ahead = []int{257} }, "ahead[0]: 257"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			recurrent := RecurrentConfig().Ensue.Recurrent
			test.change(&recurrent)
			err := recurrent.Check()
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}
