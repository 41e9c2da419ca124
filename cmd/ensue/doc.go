// Command ensue tells, for any video stream and without labels, whether what comes next ensues from what came before.
//
// One file a command: each parses its flags, calls the package that does the work, and prints. Everything a command says goes
// through an app, which knows about --json (one envelope for all commands), exit codes and progress bars.
package main
