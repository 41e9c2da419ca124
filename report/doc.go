// Package report makes what people look at after a replay: one HTML file that needs nothing from elsewhere, or one picture.
//
//   - Recorder gathers what an engine finds; it is a pipelines.Observer.
//   - Recorder.WriteHTML writes the report: per video a timeline with the expected band and the verdicts, pictures of where it broke or
//     stalled, horizons, which other moments look alike, a table to sort, and what it was made with.
//   - Recorder.WritePlot writes the timelines alone, as SVG or PNG.
//
// What it keeps to:
//
//  1. The file asks for nothing on any network: its Content-Security-Policy allows its own styles, its one script and data: pictures.
//  2. Memory and file are bounded by Limits, whatever the length of a recording: timelines and moments are thinned, pictures are kept of
//     the most surprising moments only, and the report says what was left out.
//  3. Names of streams, messages and values are somebody else's text: they are escaped wherever they stand (TestNastyNamesStayText).
//  4. The same results give the same file, whatever order the streams were worked on in.
package report
