package pipelines

import (
	"fmt"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/predictor"
)

// explainModel says which model it is and how it is run.
func explainModel(def *Definition, d described) string {
	text := fmt.Sprintf(", a step every %d frames, by the model %s (%s, %s)", d.info.FramesPerStep, d.model.Where(),
		d.digest(def), def.Encoder.Default().Precision)
	if d.config(def).ModelType != model.FamilyVJEPA2 {
		return text
	}
	switch d.config(def).Ensue.Attention {
	case model.Full:
		text += "; attention full: the encoder embeds, and the predictor encodes context and window, two encodings a window"
	case model.BlockCausal:
		text += fmt.Sprintf("; attention block_causal: a step sees itself and the %d before it, and after a restart %d steps more are read again",
			encoder.Window(d.config(def))-1, d.info.Warmup)
	default:
		text += "; attention tubelet: a step sees itself alone"
	}
	return text
}

// digest reads all weights (about a second per gigabyte).
func (d described) digest(def *Definition) string {
	m, err := def.openModel()
	if err != nil {
		return "unreadable"
	}
	digest := m.Digest()
	if m.Close() != nil {
		return "unreadable"
	}
	return digest
}

func explainPredictor(def *Definition) string {
	d, ok := describe(def)
	if !ok {
		return def.Predictor.Model
	}
	return d.predictor
}

// learned tells whether the predictor is the model's own.
func (d described) learned() bool { return d.model != nil && d.predictor == predictor.Learned }

// modelTerms is the memory of a definition's model.
func modelTerms(def *Definition, d described, processors int) []Term {
	if d.model == nil {
		return nil
	}
	// The predictor asks about the windows after the context; with full attention the encoder's net sees both at once.
	steps := int64(1)
	if d.learned() {
		steps = pastSteps(def, d.info)
	}
	return ModelMemory(d.config(def), def.Encoder.Precision, d.learned(), steps, processors)
}

// activationsPerToken is how many vectors of the size of a token, beside the widest one inside a block, are in memory at once: what comes
// in and goes out, the normalised one, three of queries, keys and values, turned keys and what attention gives.
const activationsPerToken = 8

// ModelMemory is the memory of a model, in parts: its weights in a precision ("f32", "bf16"), and what is computed at once with them where
// that many steps are looked at together and streams are prepared on that many processors. Vision transformers only compute much.
func ModelMemory(config model.Config, precision string, learned bool, steps int64, processors int) []Term {
	enc, pred := config.Parameters()
	if !learned {
		pred = 0
	}
	width := int64(4)
	if precision == encoder.PrecisionBF16 {
		width = 2
	}
	weights := Term{
		"weights", int64(enc+pred) * width,
		fmt.Sprintf("%d numbers of the encoder and %d of the predictor x %d bytes (encoder.precision)", enc, pred, width),
	}
	if config.ModelType != model.FamilyVJEPA2 {
		return []Term{weights}
	}
	places := int64(config.Grid() * config.Grid())
	group := max(places, encoder.GroupTokens)
	tokens := max(group, steps*places)
	numbers := int64(activationsPerToken*config.HiddenSize + config.MLPSize())
	pixels := int64(config.TubeletSize * config.PatchSize * config.PatchSize * config.InChans)
	return []Term{weights, {
		"computing", tokens*numbers*4*3/2 + group*pixels*4*int64(processors+1),
		fmt.Sprintf("%d tokens at once x %d numbers x 4 bytes x 1.5 (memory of other sizes is kept, too) + "+
			"%d groups of %d tokens x %d numbers of pixels x 4 bytes, at the worst", tokens, numbers, processors+1, group, pixels),
	}}
}

// streamTerms is what a model remembers of a stream beside its tokens.
func streamTerms(def *Definition, d described) []Term {
	info := d.info
	frame := int64(info.Width * info.Height * 3)
	var terms []Term
	if d.energy.learned() {
		terms = append(terms, Term{
			Bytes: frame * (2*predictor.WindowFrames - 1), Formula: fmt.Sprintf("%d frames for the energy", 2*predictor.WindowFrames-1),
		})
	}
	if info.FramesPerStep > 1 {
		terms = append(terms, Term{
			Bytes: frame * int64(info.FramesPerStep), Formula: fmt.Sprintf("%d frames of a step that is not full", info.FramesPerStep),
		})
	}
	if d.predictor == "flow" {
		const looked = 2
		terms = append(terms, Term{Bytes: looked * frame, Formula: fmt.Sprintf("%d frames", looked)})
	}
	if d.model == nil {
		return terms
	}
	config := d.config(def)
	places := int64(info.GridHeight * info.GridWidth)
	switch {
	case config.ModelType == model.FamilyVJEPA2 && config.Ensue.Attention == model.BlockCausal:
		window := int64(encoder.Window(config))
		terms = append(terms, Term{
			Bytes: int64(config.NumHiddenLayers) * 2 * window * places * int64(config.HiddenSize) * 4,
			Formula: fmt.Sprintf("keys and values of %d layers x %d steps x %d places x %d numbers x 4 bytes",
				config.NumHiddenLayers, window, places, config.HiddenSize),
		})
	case config.ModelType == model.FamilyRecurrent && d.learned():
		hidden := int64(config.Ensue.Recurrent.Hidden)
		steps := pastSteps(def, info)
		terms = append(terms, Term{
			Bytes:   (steps + 1) * places * hidden * 4,
			Formula: fmt.Sprintf("the memory after %d steps, and a newer one, x %d places x %d numbers x 4 bytes", steps, places, hidden),
		})
	}
	return terms
}
