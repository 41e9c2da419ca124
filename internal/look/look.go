package look

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// CSS is the palette, JS says in a browser what the functions of this package say.
var (
	//go:embed look.css
	CSS string
	//go:embed look.js
	JS string
)

// Number is a number in three digits, without the notation of programs.
func Number(value float64) string {
	switch {
	case value == 0:
		return "0"
	case math.Abs(value) >= 1e-4 && math.Abs(value) < 1e6:
		return strings.ReplaceAll(Plain(value, 3), "-", "−")
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(value, 'e', 1, 64), "e")
	power, _ := strconv.Atoi(exponent)
	return strings.ReplaceAll(mantissa, "-", "−") + "×10" + raised.Replace(strconv.Itoa(power))
}

var raised = strings.NewReplacer(
	"-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹",
)

// Plain is a number rounded to so many digits, in ASCII, never with an exponent.
func Plain(value float64, digits int) string {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(value, 'e', digits-1, 64), 64)
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// count is a positive number in two digits, as it is said.
func count(value float64) string {
	switch {
	case value < 10:
		return Plain(value, 2)
	case value < 1e6:
		return grouped(Plain(value, 2))
	case value < 1e9:
		return Plain(value/1e6, 2) + " million"
	}
	return Plain(value/1e9, 2) + " billion"
}

// grouped sets a comma before every three digits.
func grouped(digits string) string {
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// Ratio is an energy against the expected one: "3.2× the expected"; empty where energies may be below zero, for there it means nothing.
func Ratio(energy, expected float64) string {
	if expected <= 0 || energy < 0 {
		return ""
	}
	switch times := energy / expected; {
	case times >= 1e6:
		return "over 1,000,000× the expected"
	case times >= 0.1:
		return count(times) + "× the expected"
	case times < 1e-6:
		return "under 1/1,000,000 of the expected"
	default:
		return "1/" + count(1/times) + " of the expected"
	}
}

// FarOff is an energy against the expected one and its band: Ratio where no energy is below zero, as distances are, and how far it lies
// outside of the band where energies go below zero, as learned ones do: "1.4 above the expected".
func FarOff(energy, low, expected, high float64) string {
	switch {
	case low >= 0:
		return Ratio(energy, expected)
	case energy > high:
		return Number(energy-high) + " above the expected"
	case energy < low:
		return Number(low-energy) + " below the expected"
	}
	return within
}

const within = "within the expected"

// Told is FarOff for what a verdict was about: an alarm whose energy is as expected was told by the distances that are watched beside a
// learned energy.
func Told(verdict string, energy, low, expected, high float64) string {
	text := FarOff(energy, low, expected, high)
	switch {
	case text == within && verdict == "stalls":
		return "less change than expected"
	case text == within && verdict == "breaks":
		return "more change than expected"
	}
	return text
}

// Odds is a p-value: "1 in 190,000".
func Odds(p float64) string {
	switch {
	case p >= 0.5:
		return "ordinary"
	case p < 1e-9:
		return "less than 1 in a billion"
	}
	return "1 in " + count(1/p)
}

// Long is the longest time that Often says, in years (invariant 3).
const Long = 1000

// Often is how often chance alone would bring a window with this p-value, of which there is one every so many seconds: "once in 4 h".
func Often(p, seconds float64) string {
	const year = 31557600.0
	rarely := fmt.Sprintf("less than once in %s years", grouped(strconv.Itoa(Long)))
	if p <= 0 {
		return rarely
	}
	every := seconds / p
	if every > Long*year {
		return rarely
	}
	name, size := "s", 1.0
	for _, unit := range []struct {
		name string
		size float64
	}{{"s", 1}, {"min", 60}, {"h", 3600}, {"days", 86400}, {"months", 2629800}, {"years", year}} {
		from := 1.5
		if unit.size <= 60 {
			from = 1.95
		}
		if every >= from*unit.size {
			name, size = unit.name, unit.size
		}
	}
	return "once in " + count(every/size) + " " + name
}

// Plural is so many of something: "1 segment", "3 segments".
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// Clock is seconds as 1:02:03.4, without the hours where there are none.
func Clock(seconds float64) string {
	tenths := int64(math.Round(seconds * 10))
	h, m, s := tenths/36000, tenths/600%60, float64(tenths%600)/10
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%04.1f", h, m, s)
	}
	return fmt.Sprintf("%d:%04.1f", m, s)
}
