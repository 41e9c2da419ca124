package pipelines

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/stream"
)

// codeOrDefault is a code where a complaint has its own; empty means that the caller's fits.
type codeOrDefault = stream.Code

// fits says whether a struct field of the type can hold what is read for the field.
func fits(field Field, typ reflect.Type) bool {
	switch field.Kind {
	case KindObject:
		return typ.Kind() == reflect.Struct
	case KindList:
		return typ.Kind() == reflect.Slice && fits(Field{Kind: field.Item}, typ.Elem())
	case KindString, KindEnum:
		return typ.Kind() == reflect.String
	case KindInt:
		return typ.Kind() == reflect.Int
	case KindFloat:
		return typ.Kind() == reflect.Float64
	case KindBool:
		return typ.Kind() == reflect.Bool
	case KindDuration:
		return typ == reflect.TypeFor[time.Duration]()
	case KindBytes:
		return typ.Kind() == reflect.Int64
	case KindPixels:
		return typ == reflect.TypeFor[decode.Size]()
	}
	return false
}

// read turns the text of a value into what a struct field of the kind holds.
func (k Kind) read(text string) (any, *complaint) {
	switch k {
	case KindInt:
		return readInt(text)
	case KindFloat:
		return readFloat(text)
	case KindBool:
		return readBool(text)
	case KindDuration:
		return readDuration(text)
	case KindBytes:
		return readBytes(text)
	case KindPixels:
		return readPixels(text)
	default:
		return text, nil
	}
}

// format is the shortest way to write the value; read understands it.
func (k Kind) format(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return formatDuration(v)
	case decode.Size:
		return fmt.Sprintf("%dx%d", v.Width, v.Height)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case int64:
		if k == KindBytes {
			return formatBytes(v)
		}
	}
	return fmt.Sprint(value)
}

// amounts are the numbers that bounds apply to; nil for kinds without an order.
func (k Kind) amounts(value any) []float64 {
	switch v := value.(type) {
	case int:
		return []float64{float64(v)}
	case int64:
		return []float64{float64(v)}
	case float64:
		return []float64{v}
	case time.Duration:
		return []float64{float64(v)}
	case decode.Size:
		return []float64{float64(v.Width), float64(v.Height)}
	}
	return nil
}

// within says whether the value lies in the bounds of the field.
func (f Field) within(value any) bool {
	kind := f.scalar()
	for _, n := range kind.amounts(value) {
		if f.Min != "" && n < f.bound(f.Min) || f.Max != "" && n > f.bound(f.Max) {
			return false
		}
	}
	return true
}

// bound is a bound of the spec as a number; a test reads every one of them.
func (f Field) bound(text string) float64 {
	value, _ := f.scalar().read(text)
	return f.scalar().amounts(value)[0]
}

// Range is the bounds in words; empty where there are none.
func (f Field) Range() string {
	switch {
	case f.Min != "" && f.Min == f.Max:
		return f.Min
	case f.Min != "" && f.Max != "":
		return f.Min + " to " + f.Max
	case f.Min != "":
		return "at least " + f.Min
	case f.Max != "":
		return "at most " + f.Max
	}
	return ""
}

// example is a value a person may copy.
func (f Field) example() string {
	switch {
	case f.Default != "":
		return f.Default
	case len(f.Examples) > 0:
		return f.Examples[0]
	case len(f.Options) > 0:
		return f.Options[0]
	}
	return ""
}

var (
	integerForm  = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]*)$`)
	numberForm   = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
	durationForm = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)
	bytesForm    = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$`)
	pixelsForm   = regexp.MustCompile(`^([0-9]{1,6})x([0-9]{1,6})$`)
)

func readInt(text string) (any, *complaint) {
	if !integerForm.MatchString(text) {
		c := &complaint{message: "is not a whole number", hint: "write digits only"}
		if plain := strings.NewReplacer("_", "", ",", "").Replace(text); plain != text && integerForm.MatchString(plain) {
			c.suggestion, c.hint = plain, "write "+plain
		} else if trimmed := strings.TrimLeft(text, "0"); integerForm.MatchString(trimmed) {
			c.suggestion, c.hint = trimmed, "a leading zero means octal to some readers; write "+trimmed
		}
		return nil, c
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, &complaint{code: codeOutOfRange, message: "is too large a number", hint: "write a smaller one"}
	}
	return n, nil
}

func readFloat(text string) (any, *complaint) {
	if !numberForm.MatchString(text) {
		return nil, &complaint{message: "is not a number", hint: "write digits, with a point before the fraction"}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, &complaint{code: codeOutOfRange, message: "is too large a number", hint: "write a smaller one"}
	}
	return f, nil
}

// yamlBooleans are the words that YAML 1.1 takes for booleans and YAML 1.2 for text.
var yamlBooleans = map[string]string{
	"y": "true", "yes": "true", "on": "true", "n": "false", "no": "false", "off": "false",
}

func readBool(text string) (any, *complaint) {
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	c := &complaint{message: "is not a boolean", hint: "write true or false"}
	if word, ok := yamlBooleans[strings.ToLower(text)]; ok {
		c.message = "is text, not a boolean: only true and false are"
		c.suggestion, c.hint = word, "write "+word
	}
	return nil, c
}

func readDuration(text string) (any, *complaint) {
	if !durationForm.MatchString(text) {
		c := &complaint{message: "is not a duration", hint: "write a number with a unit: 500ms, 2s, 1m30s, 1h"}
		if better := guessDuration(text); better != "" {
			c.suggestion, c.hint = better, "write "+better
		}
		return nil, c
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, &complaint{code: codeOutOfRange, message: "is too long a time", hint: "write a shorter one"}
	}
	return d, nil
}

// durationUnits are other ways to name the units.
var durationUnits = map[string]string{
	"": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "millis": "ms", "milliseconds": "ms",
	"min": "m", "mins": "m", "minute": "m", "minutes": "m", "hour": "h", "hours": "h", "hr": "h", "ms": "ms", "s": "s", "m": "m", "h": "h",
}

var numberAndWord = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)$`)

func guessDuration(text string) string {
	parts := numberAndWord.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return ""
	}
	word := strings.ToLower(parts[2])
	if days, err := strconv.ParseFloat(parts[1], 64); err == nil && (word == "d" || word == "day" || word == "days") {
		return strconv.FormatFloat(24*days, 'f', -1, 64) + "h"
	}
	unit, ok := durationUnits[word]
	if !ok {
		return ""
	}
	return parts[1] + unit
}

func formatDuration(d time.Duration) string {
	if d%time.Second == 0 && d < 10*time.Minute {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	if d < time.Second && d%time.Millisecond == 0 {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

var byteUnits = map[string]float64{
	"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

func readBytes(text string) (any, *complaint) {
	parts := bytesForm.FindStringSubmatch(text)
	if parts == nil {
		c := &complaint{message: "is not a size", hint: "write a number with a unit: 512KiB, 64MiB, 1GiB"}
		if better := guessBytes(text); better != "" {
			c.suggestion, c.hint = better, "write "+better
		}
		return nil, c
	}
	number, err := strconv.ParseFloat(parts[1], 64)
	if size := number * byteUnits[parts[2]]; err == nil && size < 1<<62 {
		return int64(math.Round(size)), nil
	}
	return nil, &complaint{code: codeOutOfRange, message: "is too large a size", hint: "write a smaller one"}
}

// ParseBytes reads a size as definitions write it (512KiB, 64MiB, 1GiB), for flags.
func ParseBytes(text string) (int64, error) {
	size, wrong := readBytes(text)
	if wrong != nil {
		return 0, fmt.Errorf("%q %s: %s", text, wrong.message, wrong.hint)
	}
	return size.(int64), nil
}

// guessBytes reads what people write instead of a size: 64M, 64mb, 64 MiB, 67108864.
func guessBytes(text string) string {
	parts := numberAndWord.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return ""
	}
	if parts[2] == "" {
		n, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil {
			return ""
		}
		return formatBytes(n)
	}
	short := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(parts[2]), "B"), "I")
	if len(short) != 1 || !strings.ContainsAny(short, "KMGT") {
		return ""
	}
	return parts[1] + short + "iB"
}

func formatBytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	at := 0
	for n != 0 && n%1024 == 0 && at < len(units)-1 {
		n /= 1024
		at++
	}
	return strconv.FormatInt(n, 10) + units[at]
}

// RoughBytes is a size for people: three digits, one unit.
func RoughBytes(n int64) string { return roughBytes(float64(n)) }

// roughBytes is a size for people: three digits, one unit.
func roughBytes(n float64) string {
	for _, unit := range []struct {
		name string
		size float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size {
			return strconv.FormatFloat(n/unit.size, 'g', 3, 64) + " " + unit.name
		}
	}
	return strconv.FormatFloat(n, 'f', 0, 64) + " B"
}

func readPixels(text string) (any, *complaint) {
	parts := pixelsForm.FindStringSubmatch(text)
	if parts == nil {
		c := &complaint{message: "is not a picture size", hint: "write width x height: 4096x4096"}
		plain := strings.NewReplacer("×", "x", "X", "x", "*", "x", " ", "", "px", "").Replace(text)
		if integerForm.MatchString(plain) {
			plain += "x" + plain
		}
		if pixelsForm.MatchString(plain) {
			c.suggestion, c.hint = plain, "write "+plain
		}
		return nil, c
	}
	width, _ := strconv.Atoi(parts[1])
	height, _ := strconv.Atoi(parts[2])
	return decode.Size{Width: width, Height: height}, nil
}
