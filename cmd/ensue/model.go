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
		Short: "say what a model is: family, sizes, parameters, digest, memory; reads all of it",
		Args:  cobra.ExactArgs(1),
		RunE:  func(command *cobra.Command, dirs []string) error { return a.modelInfo(command, dirs[0]) },
	}
}

func (a *app) modelImportCommand() *cobra.Command {
	var options model.CopyOptions
	command := &cobra.Command{
		Use:   "import SRC DST",
		Short: "make a model of ensue's from one of transformers': without a classifier's head, in a type, with a mode of attention",
		Long: "Import reads the directory SRC, checks it, and writes the encoder and the predictor to the new directory DST. What ensue adds\n" +
			"(attention, mean and deviation of pixels) goes into the section \"ensue\" of config.json; transformers still loads the result.",
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
		Long: "Export writes the model SRC to the new directory DST as transformers' save_pretrained would. A model whose attention is not\n" +
			"full keeps the section \"ensue\" in its config.json: transformers does not read it and attends to everything.",
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
	Attention     string       `json:"attention,omitempty"`
	ContextFrames int          `json:"context_frames,omitempty"`
	FramesPerClip int          `json:"frames_per_clip,omitempty"`
	Mean          [3]float64   `json:"image_mean"`
	Std           [3]float64   `json:"image_std"`
	Memory        []memoryData `json:"memory"`
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

func (a *app) modelInfo(command *cobra.Command, dir string) error {
	m, err := model.Open(dir)
	if err != nil {
		return modelError(err)
	}
	data := describeModel(m)
	if err := m.Close(); err != nil {
		return fmt.Errorf("closing model %s: %w", dir, err)
	}
	return a.say(command, data, data.print)
}

func modelError(err error) error {
	return inputError("model.invalid", err, "a model is a directory with config.json and model.safetensors, or shards with their index")
}

func describeModel(m *model.Model) modelData {
	config := m.Config()
	info := encoder.Describe(config)
	data := modelData{
		Directory: m.Where(), Family: config.ModelType, Digest: m.Digest(), Dtype: m.Dtype(),
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
	return data
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
	for _, memory := range d.Memory {
		text := "weights " + pipelines.RoughBytes(memory.Weights)
		if memory.Computing > 0 {
			text += fmt.Sprintf(", computing %s for a clip of %d frames", pipelines.RoughBytes(memory.Computing), d.FramesPerClip)
		}
		row("memory in "+memory.Precision, "about %s", text)
	}
	return table.Flush()
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
	m, err := model.Open(from)
	if err != nil {
		return modelError(err)
	}
	err = model.Copy(m, to, options)
	if closing := m.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return inputError("model.not_written", err, "name a new directory to write to; --attention is "+strings.Join(model.Attentions(), ", "))
	}
	return a.modelInfo(command, to)
}
