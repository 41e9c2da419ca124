// Package picture makes pictures for people of what a pipeline sees.
//
//   - Frame is one picture; FrameOf takes one out of a clip, Grab decodes a larger one out of the segment's payload.
//   - Heat is the energy of every place at one moment of a result's map.
//   - JPEG writes a frame, with the heat laid over it where there is some; Overlay writes the heat alone as a PNG to lay over a frame.
//   - Moment chooses which moment of a result to show.
//
// What it keeps to:
//
//  1. Pictures have the shape that people see, whatever the encoder squashed them to.
//  2. The heat is transparent where the energy is what was expected: a calm picture stays as it is.
//  3. Every OpenCV Mat has one owner, who closes it (TestMatsAreClosed counts them).
package picture
