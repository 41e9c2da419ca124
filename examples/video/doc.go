// Package video is the sample footage of the project: three short streams made from published clips, embedded so that the demo
// runs from a single binary, and what is known to happen in them.
//
//   - FS is the files, Streams the list of streams with their Events.
//   - events.yaml is the list as a file, make.sh how the streams were made, README.md whose footage it is.
//
// What the package promises, and its tests check: every stream has a key frame at least every two seconds, no sound, and the cut
// and the freeze lie where events.yaml says.
package video
