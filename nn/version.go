package nn

import "github.com/ensue-video/ensue/nn/internal/onednn"

// OneDNN is the version of the oneDNN that the program runs with; empty where there is none.
func OneDNN() string { return onednn.Version() }
