package look

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/browser"
)

func TestNumbersAreSaidAsPeopleDo(t *testing.T) {
	for value, want := range map[float64]string{
		0: "0", 0.00929: "0.00929", 1.23456: "1.23", -0.5: "−0.5", 123456: "123000",
		2.9e-6: "2.9×10⁻⁶", 1.2e-20: "1.2×10⁻²⁰", 3e7: "3.0×10⁷",
	} {
		require.Equal(t, want, Number(value))
	}
	for _, c := range []struct {
		energy, expected float64
		want             string
	}{
		{3.2, 1, "3.2× the expected"},
		{130, 10, "13× the expected"},
		{1, 1, "1× the expected"},
		{5, 10, "0.5× the expected"},
		{1, 40, "1/40 of the expected"},
		{2.9e-6, 0.0093, "1/3,200 of the expected"},
		{0, 1, "under 1/1,000,000 of the expected"},
		{1, -1, ""},
		{-1, 1, ""},
	} {
		require.Equal(t, c.want, Ratio(c.energy, c.expected))
		require.Equal(t, c.want, FarOff(c.energy, 0, c.expected, 2))
	}
	for energy, want := range map[float64]string{4.5: "1.3 above the expected", 3.2: "within the expected", -3: "0.7 below the expected"} {
		require.Equal(t, want, FarOff(energy, -2.3, 0.5, 3.2))
	}
	require.Equal(t, "less change than expected", Told("stalls", 3.2, -2.3, 0.5, 3.2))
	require.Equal(t, "more change than expected", Told("breaks", 3.2, -2.3, 0.5, 3.2))
	require.Equal(t, "within the expected", Told("continues", 3.2, -2.3, 0.5, 3.2))
	require.Equal(t, "1.3 above the expected", Told("stalls", 4.5, -2.3, 0.5, 3.2))
	for p, want := range map[float64]string{
		0.9: "ordinary", 0.3: "1 in 3.3", 0.058: "1 in 17", 5.2e-6: "1 in 190,000", 4.4e-8: "1 in 23 million",
		1.2e-20: "less than 1 in a billion",
	} {
		require.Equal(t, want, Odds(p))
	}
	for p, want := range map[float64]string{
		0.5: "once in 2 s", 0.1: "once in 10 s", 0.01: "once in 100 s", 0.001: "once in 17 min", 7e-5: "once in 4 h", 5.2e-6: "once in 2.2 days",
		4.4e-8: "once in 8.6 months", 1e-9: "once in 32 years", 1e-20: "less than once in 1,000 years", 0: "less than once in 1,000 years",
	} {
		require.Equal(t, want, Often(p, 1), p)
	}
	require.Equal(t, "1:02:03.4", Clock(3723.4))
	require.Equal(t, "0:05.0", Clock(5))
}

func TestTheBrowserSaysTheSame(t *testing.T) {
	p := browser.Start(t).Open("data:text/html,<title>look</title>", browser.Looks()[2])
	values := []float64{
		0, 1, 0.5, 0.051, 0.0999, 3.14159, 9.96, 12.6, 99.6, 12345, 999999, 1e7,
		1e-4, 9.99e-5, 1e-12, 0.1, 0.3, 1e-6, 4.4e-8, 2e-9, 0.02, 7e-5, 1e-10,
	}
	list, err := json.Marshal(values)
	require.NoError(t, err)
	said := browser.Eval[[][]string](p, "(() => {"+JS+"; const v = "+string(list)+
		"; return v.map((a) => { const p = Math.min(a, 1); return [look.number(a), look.number(-a), look.odds(p), look.often(p, 1), "+
		"look.often(p, 0.5), look.clock(a), ...v.map((b) => look.ratio(a, b))]; }); })()")
	for i, a := range values {
		want := []string{Number(a), Number(-a), Odds(min(a, 1)), Often(min(a, 1), 1), Often(min(a, 1), .5), Clock(a)}
		for _, b := range values {
			want = append(want, Ratio(a, b))
		}
		require.Equal(t, want, said[i], a)
	}
}

// colour is red, green and blue, linear, from 0 to 1.
type colour [3]float64

// palettes reads the light and the dark palette.
func palettes(t *testing.T) map[string]map[string]colour {
	t.Helper()
	light, dark, found := strings.Cut(CSS, "@media (prefers-color-scheme: dark)")
	require.True(t, found)
	all := map[string]map[string]colour{}
	for name, text := range map[string]string{"light": light, "dark": dark} {
		all[name] = map[string]colour{}
		for _, m := range regexp.MustCompile(`--(\w+): #([0-9a-f]{3}(?:[0-9a-f]{3})?);`).FindAllStringSubmatch(text, -1) {
			hex := m[2]
			if len(hex) == 3 {
				hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
			}
			var c colour
			for i := range c {
				value, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
				require.NoError(t, err)
				if s := float64(value) / 255; s <= 0.04045 {
					c[i] = s / 12.92
				} else {
					c[i] = math.Pow((s+0.055)/1.055, 2.4)
				}
			}
			all[name][m[1]] = c
		}
		require.Len(t, all[name], 13, name)
	}
	return all
}

func (c colour) luminance() float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] }

func contrast(a, b colour) float64 {
	x, y := a.luminance()+0.05, b.luminance()+0.05
	return max(x, y) / min(x, y)
}

// Invariant 1.
func TestContrast(t *testing.T) {
	for name, p := range palettes(t) {
		for _, ground := range []string{"bg", "panel"} {
			for _, text := range []string{"fg", "muted", "link", "band", "breaks", "stalls", "warm"} {
				require.GreaterOrEqual(t, contrast(p[text], p[ground]), 4.5, "%s: %s on %s", name, text, ground)
			}
			for _, mark := range []string{"energy", "focus"} {
				require.GreaterOrEqual(t, contrast(p[mark], p[ground]), 3.0, "%s: %s on %s", name, mark, ground)
			}
		}
		for _, ground := range []string{"breaks", "stalls"} {
			require.GreaterOrEqual(t, contrast(p["on"], p[ground]), 4.5, "%s: on %s", name, ground)
		}
	}
}

// eyes are how dichromats see linear colours (Machado, Oliveira and Fernandes 2009, severity 1).
func eyes() map[string][3][3]float64 {
	return map[string][3][3]float64{
		"all":          {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
		"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
		"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
		"tritanopia":   {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
	}
}

// lab is the colour in CIE L*a*b* (D65), in which the distance is how different two colours look.
func (c colour) lab() [3]float64 {
	to := [3][3]float64{{0.4124, 0.3576, 0.1805}, {0.2126, 0.7152, 0.0722}, {0.0193, 0.1192, 0.9505}}
	white := [3]float64{0.9505, 1, 1.089}
	var f [3]float64
	for i := range f {
		part := 0.0
		for k := range c {
			part += to[i][k] * min(max(c[k], 0), 1)
		}
		if part /= white[i]; part > 0.008856 {
			f[i] = math.Cbrt(part)
		} else {
			f[i] = 7.787*part + 16.0/116
		}
	}
	return [3]float64{116*f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])}
}

// Invariant 2.
func TestVerdictsDifferForEveryEye(t *testing.T) {
	for name, p := range palettes(t) {
		for eye, matrix := range eyes() {
			var seen [][3]float64
			for _, verdict := range []string{"breaks", "stalls", "band"} {
				var c colour
				for i := range c {
					for k := range c {
						c[i] += matrix[i][k] * p[verdict][k]
					}
				}
				seen = append(seen, c.lab())
			}
			for i, a := range seen {
				for _, b := range seen[:i] {
					apart := math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
					require.Greater(t, apart, 20.0, "%s, %s", name, eye)
				}
			}
		}
	}
}

// The palette is written once: pages that need its colours take them by name.
func TestPagesTakeTheirColoursFromThePalette(t *testing.T) {
	for _, path := range []string{"../../report/page.css", "../../web/assets/page.css"} {
		text, err := os.ReadFile(filepath.FromSlash(path))
		require.NoError(t, err)
		screen, _, _ := strings.Cut(string(text), "@media print")
		require.NotRegexp(t, `#[0-9a-f]{3,6}\b[^{]*;`, screen, path)
	}
}
