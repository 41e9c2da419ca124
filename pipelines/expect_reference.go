package pipelines

import (
	"bytes"
	"fmt"
)

// ExpectationsReference is docs/testing.md, made from the spec of tests.
func ExpectationsReference() []byte {
	var b bytes.Buffer
	b.WriteString(expectationsHead)
	writeTable(&b, "## The whole", expectationsTree())
	for _, child := range expectationsTree().children {
		if !child.leaf() {
			writeSection(&b, child)
		}
	}
	fmt.Fprintf(&b, "%s", expectationsTail)
	return b.Bytes()
}

const expectationsHead = `<!-- Made from the field spec by go test ./pipelines -run TestExpectationsReference -update; do not edit. -->
# Tests of definitions

A ` + "`*_test.yaml`" + ` beside a definition says which clips it is tried on, and what must come out. ` +
	"`ensue test`" + ` runs the clips as
` + "`ensue replay`" + ` does, through the definition's own decoder, encoder, predictor and calibration, and shows what is not as expected:

` + "```" + `
ensue test lobby_test.yaml                  # one test
ensue test deploy                           # every *_test.yaml in a folder and those in it
ensue test lobby_test.yaml --junit out.xml  # for a CI system, too
ensue test lobby_test.yaml --update         # write what was measured into the test
` + "```" + `

Exit codes: 0 all is as expected, 1 something is not, 2 the test itself is wrong (with line, column and what was probably meant).

` + "```yaml" + `
# yaml-language-server: $schema=` + expectationsSchemaID + `
version: 1
definition: live            # left out, it is the file that is named like the test, without _test
calibrate: {warmup: 8s, false_alarms_per_day: 50}
clips:
  - files: [clips/yard.mp4]
    verdicts:
      - {at: 28.9s, verdict: breaks}
    never: [stalls]
    counts: {breaks: 1}
  - files: ["clips/quiet/*.mp4"]
    never: [breaks, stalls]
    energies:
      - {at: 12s, energy: 0.041, within: 0.1}
  - files: [clips/notes.txt]
    dead_letters: [{code: decode.not_video}]
` + "```" + `

A clip of which nothing is expected yet gets its expectations from ` + "`--update`" + `: write ` + "`files`" + ` only, run it once, ` +
	`look at what it wrote, and keep
it. Energies differ a little between processors and versions of FFmpeg; verdicts and counts should not.

`

const expectationsTail = `Values are written as in [definitions](definition.md#how-values-are-written), with the same findings.
`
