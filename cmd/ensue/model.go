package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/predictor"
)

func (a *app) modelCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "model",
		Short: "look at a learned model, import one, export one",
		Long: "A model is a directory as transformers' save_pretrained writes it: config.json and safetensors. V-JEPA 2 is read as it is\n" +
			"published, classifiers of it too; see docs/models.md.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(a.modelInfoCommand(), a.modelImportCommand(), a.modelExportCommand())
	return command
}

func (a *app) modelInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "info DIR",
		Short: "say what a model is: family, sizes, parameters, energy, digest, memory; reads all of it (builtin: the one in the program)",
		Args:  cobra.ExactArgs(1),
		RunE:  func(command *cobra.Command, dirs []string) error { return a.modelInfo(command, dirs[0]) },
	}
}

func (a *app) modelImportCommand() *cobra.Command {
	var options model.CopyOptions
	command := &cobra.Command{
		Use:   "import SRC DST",
		Short: "make a model of ensue's from one of transformers': without a classifier's head, in a type, with a mode of attention",
		Long: "Import reads the directory SRC (builtin: the model that comes with the program), checks it, and writes the encoder and the\n" +
			"predictor to the new directory DST. What ensue adds (attention, mean and deviation of pixels) goes into the section \"ensue\" of\n" +
			"config.json; transformers still loads the result. A learned energy and a verifier come along, as long as the numbers stay what they\n" +
			"were learned with: with another --dtype or --attention they are left out, and that is told.",
		Args: cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, dirs []string) error {
			return a.modelCopy(command, dirs[0], dirs[1], options)
		},
	}
	f := command.Flags()
	f.StringVar(&options.Dtype, "dtype", "", "write weights as f32 or bf16; default: as they are")
	f.StringVar(&options.Attention, "attention", "",
		"what tokens attend to from now on: "+strings.Join(model.Attentions(), ", ")+"; default: what the model says, full where it says nothing")
	f.IntVar(&options.ContextFrames, "context-frames", 0, "frames that a token sees with --attention block_causal; default: frames_per_clip")
	return command
}

func (a *app) modelExportCommand() *cobra.Command {
	options := model.CopyOptions{Plain: true}
	command := &cobra.Command{
		Use:   "export SRC DST",
		Short: "write a model for transformers: plain config.json, weights in files of a size",
		Long: "Export writes the model SRC (builtin: the one that comes with the program) to the new directory DST as transformers'\n" +
			"save_pretrained would. A model whose attention is not full keeps the section \"ensue\" in its config.json: transformers does not\n" +
			"read it and attends to everything. A learned energy and a verifier come along where the numbers stay the same.",
		Args: cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, dirs []string) error {
			return a.modelCopy(command, dirs[0], dirs[1], options)
		},
	}
	f := command.Flags()
	f.StringVar(&options.Dtype, "dtype", "", "write weights as f32 or bf16; default: as they are")
	f.Int64Var(&options.ShardBytes, "shard-bytes", model.ShardBytes, "begin another file of weights where one would become larger")
	return command
}

// modelData is what is said about a model.
type modelData struct {
	Directory string `json:"directory"`
	Family    string `json:"family"`
	Digest    string `json:"digest"`
	// Dtype is the type of most weights in the file.
	Dtype      string         `json:"dtype"`
	Parameters parametersData `json:"parameters"`
	// Frame is the height and width of frames in pixels; a step covers FramesPerStep of them and has Grid × Grid tokens of Dim numbers.
	Frame         int `json:"frame"`
	FramesPerStep int `json:"frames_per_step"`
	Grid          int `json:"grid"`
	Dim           int `json:"dim"`
	// Encoder and Predictor are the sizes of a vision transformer's.
	Encoder   *blocksData `json:"encoder,omitempty"`
	Predictor *blocksData `json:"predictor,omitempty"`
	// Attention, ContextFrames and FramesPerClip are a vision transformer's.
	Attention     string     `json:"attention,omitempty"`
	ContextFrames int        `json:"context_frames,omitempty"`
	FramesPerClip int        `json:"frames_per_clip,omitempty"`
	Mean          [3]float64 `json:"image_mean"`
	Std           [3]float64 `json:"image_std"`
	// Energy is the learned energy beside the model, Verifier says whether there is one of those.
	Energy   *energyData  `json:"energy,omitempty"`
	Verifier bool         `json:"verifier"`
	Memory   []memoryData `json:"memory"`
	// LeftOut are files of the original that mean nothing beside this copy.
	LeftOut []string `json:"left_out,omitempty"`
}

// energyData is what a learned energy says of itself.
type energyData struct {
	Rule    string   `json:"rule"`
	Sources []string `json:"sources"`
	Note    string   `json:"note,omitempty"`
	// Other is the digest of the model it was fitted for, where that is not this one.
	Other string `json:"other_model,omitempty"`
}

type parametersData struct {
	Encoder   int `json:"encoder"`
	Predictor int `json:"predictor"`
}

type blocksData struct {
	Layers int `json:"layers"`
	Size   int `json:"size"`
	Heads  int `json:"heads"`
	MLP    int `json:"mlp"`
}

// memoryData is about how much memory a model takes in a precision: its weights, and what is computed at once for a clip of FramesPerClip
// frames.
type memoryData struct {
	Precision string `json:"precision"`
	Weights   int64  `json:"weights"`
	Computing int64  `json:"computing,omitempty"`
}

func (a *app) modelInfo(command *cobra.Command, name string) error {
	m, err := openModel(name)
	if err != nil {
		return modelError(err)
	}
	defer func() { _ = m.Close() }()
	data, err := describeModel(m, name)
	if err != nil {
		return modelError(err)
	}
	return a.say(command, data, data.print)
}

func modelError(err error) error {
	return inputError("model.invalid", err, "a model is a directory with config.json and model.safetensors, or shards with their index")
}

func describeModel(m *model.Model, name string) (modelData, error) {
	config := m.Config()
	info := encoder.Describe(config)
	data := modelData{
		Directory: name, Family: config.ModelType, Digest: m.Digest(), Dtype: m.Dtype(),
		Frame: info.Width, FramesPerStep: info.FramesPerStep, Grid: info.GridWidth, Dim: info.Dim,
		Mean: config.Ensue.Mean, Std: config.Ensue.Std,
	}
	data.Parameters.Encoder, data.Parameters.Predictor = config.Parameters()
	if !m.HasPredictor() {
		data.Parameters.Predictor = 0
	}
	precisions := []string{encoder.PrecisionF32}
	if config.ModelType == model.FamilyVJEPA2 {
		data.transformer(config, m.HasPredictor())
		precisions = append(precisions, encoder.PrecisionBF16)
	}
	steps := max(1, config.FramesPerClip/info.FramesPerStep)
	for _, precision := range precisions {
		memory := memoryData{Precision: precision}
		for _, term := range pipelines.ModelMemory(config, precision, m.HasPredictor(), int64(steps), runtime.GOMAXPROCS(0)) {
			if term.Name == "weights" {
				memory.Weights = term.Bytes
			} else {
				memory.Computing += term.Bytes
			}
		}
		data.Memory = append(data.Memory, memory)
	}
	var err error
	data.Verifier = m.HasExtra(predictor.VerifierFile)
	data.Energy, err = describeEnergy(m)
	return data, err
}

// describeEnergy is what the learned energy beside a model says of itself; nil where there is none.
func describeEnergy(m *model.Model) (*energyData, error) {
	e, about, err := energyOf(m)
	if e == nil || err != nil {
		return nil, err
	}
	data := &energyData{Rule: string(e.Rule), Sources: about.Sources, Note: about.Note}
	if about.Model != "" && about.Model != m.Digest() {
		data.Other = about.Model
	}
	return data, nil
}

// transformer fills in what vision transformers have.
func (d *modelData) transformer(config model.Config, predictor bool) {
	d.Encoder = &blocksData{config.NumHiddenLayers, config.HiddenSize, config.NumAttentionHeads, config.MLPSize()}
	if predictor {
		d.Predictor = &blocksData{config.PredNumHiddenLayers, config.PredHiddenSize, config.PredNumAttentionHeads, config.PredMLPSize()}
	}
	d.Attention, d.FramesPerClip = config.Ensue.Attention, config.FramesPerClip
	if d.Attention == model.BlockCausal {
		d.ContextFrames = encoder.Window(config) * config.TubeletSize
	}
}

func (d modelData) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, values...))
	}
	row("model", "%s", d.Directory)
	row("family", "%s", d.Family)
	row("digest", "%s", d.Digest)
	row("weights", "%s", d.Dtype)
	row("parameters", "%d of the encoder, %d of the predictor", d.Parameters.Encoder, d.Parameters.Predictor)
	row("frames", "%dx%d pixels, %d a step", d.Frame, d.Frame, d.FramesPerStep)
	row("tokens", "%dx%d a step, of %d numbers", d.Grid, d.Grid, d.Dim)
	if d.Encoder != nil {
		row("encoder", "%s", d.Encoder)
		row("predictor", "%s", d.Predictor)
		row("attention", "%s", d.attention())
		row("trained with", "%d frames a clip", d.FramesPerClip)
	}
	row("pixels", "(value/255 - %v) / %v", d.Mean, d.Std)
	row("energy", "%s", d.Energy)
	if d.Verifier {
		row("verifier", "yes")
	}
	for _, memory := range d.Memory {
		text := "weights " + pipelines.RoughBytes(memory.Weights)
		if memory.Computing > 0 {
			text += fmt.Sprintf(", computing %s for a clip of %d frames", pipelines.RoughBytes(memory.Computing), d.FramesPerClip)
		}
		row("memory in "+memory.Precision, "about %s", text)
	}
	if len(d.LeftOut) > 0 {
		row("left out", "%s: learned with other numbers than these", strings.Join(d.LeftOut, ", "))
	}
	return table.Flush()
}

// String is nil-safe: a model may have no energy.
func (e *energyData) String() string {
	if e == nil {
		return "none: the distance"
	}
	text := fmt.Sprintf("%s of %s", e.Rule, strings.Join(e.Sources, ", "))
	if e.Other != "" {
		text += ", for another model: " + e.Other
	}
	return text
}

func (d modelData) attention() string {
	if d.ContextFrames > 0 {
		return fmt.Sprintf("%s, %d frames", d.Attention, d.ContextFrames)
	}
	return d.Attention
}

// String is nil-safe: a model may have no predictor.
func (b *blocksData) String() string {
	if b == nil {
		return "none"
	}
	return fmt.Sprintf("%d layers of %d numbers, %d heads, %d inside", b.Layers, b.Size, b.Heads, b.MLP)
}

func (a *app) modelCopy(command *cobra.Command, from, to string, options model.CopyOptions) error {
	if options.Dtype != "" && options.Dtype != encoder.PrecisionF32 && options.Dtype != encoder.PrecisionBF16 {
		return inputError("flags.value", fmt.Errorf("--dtype %q is not known", options.Dtype), "it is "+strings.Join(model.Dtypes(), ", "))
	}
	if options.ShardBytes < 0 {
		return inputError("flags.value", fmt.Errorf("--shard-bytes %d is not a size", options.ShardBytes), "write a number of bytes above 0")
	}
	m, err := openModel(from)
	if err != nil {
		return modelError(err)
	}
	data, err := copyModel(m, to, options)
	if closing := m.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return inputError("model.not_written", err, "name a new directory to write to; --attention is "+strings.Join(model.Attentions(), ", "))
	}
	return a.say(command, data, data.print)
}

// copyModel writes a model with what lies beside it, and says what came of it.
func copyModel(m *model.Model, to string, options model.CopyOptions) (data modelData, err error) {
	if err := model.Copy(m, to, options); err != nil {
		return data, err
	}
	written, err := model.Open(to)
	if err != nil {
		return data, err
	}
	defer func() {
		if closing := written.Close(); err == nil {
			err = closing
		}
	}()
	var left []string
	for _, name := range []string{predictor.EnergyFile, predictor.VerifierFile} {
		if !m.HasExtra(name) {
			continue
		}
		copied, err := m.CopyExtra(name, written)
		if err != nil {
			return data, err
		}
		if !copied {
			left = append(left, name)
		}
	}
	data, err = describeModel(written, to)
	data.LeftOut = left
	return data, err
}
