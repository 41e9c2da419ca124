package eval

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/ensue-video/ensue/eval/scenes"
)

// Picture is a PNG with words.
type Picture struct {
	Caption string
	PNG     []byte
}

// Base64 is the picture for a data URL.
func (p Picture) Base64() string { return base64.StdEncoding.EncodeToString(p.PNG) }

// ScenePictures shows a pair of each kind: every second frame of the possible scene, below it those of its impossible twin.
func ScenePictures(seed uint64) ([]Picture, error) {
	const everySecond = 2
	var pictures []Picture
	for _, kind := range scenes.Kinds() {
		pair := scenes.DrawPair(kind, seed, 0)
		possible, impossible := make([]uint8, scenes.Bytes), make([]uint8, scenes.Bytes)
		pair.Possible.Render(possible)
		pair.Impossible.Render(impossible)
		var sheet bytes.Buffer
		if err := scenes.WriteSheet(&sheet, everySecond, scenes.Side, possible, impossible); err != nil {
			return nil, err
		}
		pictures = append(pictures, Picture{fmt.Sprintf("%s, from frame %d on", kind, pair.Event), sheet.Bytes()})
	}
	return pictures, nil
}
