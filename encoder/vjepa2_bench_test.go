package encoder

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
	"github.com/ensue-video/ensue/stream"
)

// smallConfig is the small model that streams: 64 tokens of 192 channels a tubelet, 6 layers, frames of 128×128 pixels; a token sees
// 16 frames.
func smallConfig(mode string) model.Config {
	c := model.Default()
	c.CropSize, c.PatchSize, c.FramesPerClip = 128, 16, 16
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads = 192, 6, 3
	c.Ensue.Attention = mode
	return c
}

// tubelets gives a stream's clips of one tubelet each, from a few that repeat: what they show does not change the cost.
func tubelets(e *VJEPA2, seed uint64) func(i int) *stream.Clip {
	var clips []*stream.Clip
	for i := range 4 {
		clip := noiseFrames(e.info.FramesPerStep, e.info.Width, seed*4+uint64(i))
		clips = append(clips, clip)
	}
	return func(i int) *stream.Clip { return clips[i%len(clips)] }
}

// BenchmarkStreaming encodes one stream, tubelet by tubelet. slope is how much longer a tubelet of the last tenth took than one of the
// first (the first 100 left out), by their fastest tenths, which say least about what else the machine does: 1 is flat. rss-growth is
// what the process grew by meanwhile.
//
//	go test -bench Streaming -benchtime 10000x -run - ./encoder
func BenchmarkStreaming(b *testing.B) {
	for _, mode := range model.Attentions() {
		for _, precision := range []nn.Precision{nn.Float32, nn.BFloat16} {
			name := map[nn.Precision]string{nn.Float32: "f32", nn.BFloat16: "bf16"}[precision]
			b.Run(mode+"/"+name, func(b *testing.B) {
				e := newVJEPA2(b, smallConfig(mode), WithPrecision(precision))
				clip, state := tubelets(e, 1), e.NewState()
				const first = 100
				var took []time.Duration
				for i := range first {
					encodeOne(b, e, clip(i), state)
				}
				before := residentBytes(b)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; b.Loop(); i++ {
					start := time.Now()
					encodeOne(b, e, clip(i), state)
					took = append(took, time.Since(start))
				}
				b.StopTimer()
				if tenth := len(took) / 10; tenth > 0 {
					b.ReportMetric(float64(quantile(took[len(took)-tenth:], 0.1))/float64(quantile(took[:tenth], 0.1)), "slope")
				}
				b.ReportMetric(float64(residentBytes(b)-before)/(1<<20), "MiB-rss-growth")
				b.ReportMetric(float64(quantile(took, 0.5))/float64(time.Microsecond), "us/tubelet-median")
				b.ReportMetric(float64(quantile(took, 0.1))/float64(time.Microsecond), "us/tubelet-fast")
			})
		}
	}
}

func encodeOne(tb testing.TB, e *VJEPA2, clip *stream.Clip, state State) {
	tb.Helper()
	tokens, err := e.Encode(tb.Context(), clip, state)
	if err != nil || tokens.T != 1 {
		tb.Fatal(tokens, err)
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[int(q*float64(len(sorted)))]
}

// residentBytes is the memory of the process that is not a file's.
func residentBytes(tb testing.TB) int64 {
	tb.Helper()
	runtime.GC()
	return processStatus(tb, "RssAnon")
}

// liveBytes is the memory of the Go heap that is in use.
func liveBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// processStatus is a line of the process's status, in bytes.
func processStatus(tb testing.TB, key string) int64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skipf("needs /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			require.NoError(tb, err)
			return kib << 10
		}
	}
	tb.Fatalf("/proc/self/status says no %s", key)
	return 0
}

// BenchmarkStreams encodes streams side by side, a goroutine and a tubelet at a time each: an operation is a tubelet of every stream.
// MiB/stream is what a stream's state takes.
func BenchmarkStreams(b *testing.B) {
	for _, mode := range []string{model.Tubelet, model.BlockCausal} {
		for _, streams := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/%d", mode, streams), func(b *testing.B) {
				e := newVJEPA2(b, smallConfig(mode))
				states := make([]State, streams)
				clip := tubelets(e, 1)
				encodeEach(b, e, clip(0), make([]State, e.group), 10) // what the computation itself takes
				before := liveBytes()
				encodeEach(b, e, clip(0), states, Window(e.config))
				grown := liveBytes() - before
				b.ResetTimer()
				for i := 0; b.Loop(); i++ {
					encodeEach(b, e, clip(i), states, 1)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*streams), "us/tubelet")
				b.ReportMetric(float64(grown)/float64(streams)/(1<<20), "MiB/stream")
			})
		}
	}
}

// encodeEach encodes a clip some times in each of the streams, all streams at once.
func encodeEach(tb testing.TB, e *VJEPA2, clip *stream.Clip, states []State, times int) {
	tb.Helper()
	var group sync.WaitGroup
	for i := range states {
		group.Go(func() {
			if states[i] == nil {
				states[i] = e.NewState()
			}
			for range times {
				if _, err := e.Encode(context.Background(), clip, states[i]); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// What a tubelet of a stream allocates is its tokens and what waiting for the device takes.
func TestATubeletAllocatesItsTokensAndNothingThatGrows(t *testing.T) {
	for _, mode := range model.Attentions() {
		t.Run(mode, func(t *testing.T) {
			e := newVJEPA2(t, tinyConfig(mode))
			clip, state, i := tubelets(e, 1), e.NewState(), 0
			for ; i < 20; i++ {
				encodeOne(t, e, clip(i), state)
			}
			allocations := testing.AllocsPerRun(50, func() {
				encodeOne(t, e, clip(i), state)
				i++
			})
			t.Logf("%v allocations", allocations)
			require.LessOrEqual(t, allocations, 10.0)
		})
	}
}

// Invariant 6: a stream of any length takes the memory of its window.
func TestALongStreamTakesNoMoreMemory(t *testing.T) {
	e := newVJEPA2(t, tinyConfig(model.BlockCausal))
	clip, state := tubelets(e, 1), e.NewState()
	for i := range 50 {
		encodeOne(t, e, clip(i), state)
	}
	heap, tape := liveBytes(), e.tape.Bytes()
	for i := range 2000 {
		encodeOne(t, e, clip(i), state)
	}
	require.Less(t, liveBytes()-heap, int64(64<<10))
	require.Equal(t, tape, e.tape.Bytes())
}

// Weights are in memory once beside their file, in the form that the device multiplies.
func TestALoadedModelHoldsItsWeightsOnce(t *testing.T) {
	config := smallConfig(model.Tubelet)
	config.HiddenSize, config.NumHiddenLayers, config.NumAttentionHeads = 512, 4, 8
	m := writeLarge(t, config)
	device := nntest.OpenDevice(t)
	for _, precision := range []nn.Precision{nn.Float32, nn.BFloat16} {
		debug.FreeOSMemory()
		heap, peak := liveBytes(), watchMemory(t)
		e, err := NewVJEPA2(m, device, WithPrecision(precision))
		require.NoError(t, err)
		debug.FreeOSMemory()
		loaded := residentBytes(t)
		heap = liveBytes() - heap
		require.NoError(t, device.Forget(e.net.Matrices()...))
		debug.FreeOSMemory()
		held, more := loaded-residentBytes(t), peak()-loaded
		parameters, _ := config.Parameters()
		bytes := 4 * int64(parameters)
		if precision == nn.BFloat16 {
			bytes /= 2
		}
		const room = 16 << 20 // a layer's weights are 12 MiB
		t.Logf("%d MiB of weights: %d MiB held, %d MiB on the heap, %d MiB more while loading", bytes>>20, held>>20, heap>>20, more>>20)
		require.Greater(t, held, bytes*9/10)
		require.Less(t, held, bytes+room)
		if precision == nn.Float32 { // where bfloat16 is widened for each product, its numbers are on the heap
			require.Less(t, heap, int64(2<<20))
		}
		require.Less(t, more, int64(2*room))
		require.NoError(t, e.Close())
	}
}

// writeLarge writes an encoder with weights that repeat, without ever holding it.
func writeLarge(tb testing.TB, config model.Config) *model.Model {
	tb.Helper()
	dir := tb.TempDir()
	data, err := config.Encode("float32")
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600))
	var file nn.TensorFile
	kinds := map[string]*nn.Parameter{}
	for _, tensor := range config.Tensors() {
		if !strings.HasPrefix(tensor.Name, "encoder.") {
			continue
		}
		shape := fmt.Sprint(tensor.Shape)
		if kinds[shape] == nil { // one array for all tensors of a shape
			ps := nn.NewParameters(1)
			kinds[shape] = ps.New(shape, nn.TruncatedNormal(0.02), tensor.Shape...)
		}
		file.Put(tensor.Name, kinds[shape].Dense())
	}
	require.NoError(tb, file.Write(filepath.Join(dir, "model.safetensors")))
	m, err := model.Open(dir)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Close()) })
	return m
}

// BenchmarkLargeMemory encodes 64 frames of 256×256 pixels with a model of the size of ViT-L, 8192 tokens that all see each other, and
// tells how much memory that takes at most beside the weights' own file. It needs 1.2 GB of disk and ENSUE_LARGE=1.
//
//	ENSUE_LARGE=1 go test -bench LargeMemory -benchtime 1x -run - ./encoder
func BenchmarkLargeMemory(b *testing.B) {
	if os.Getenv("ENSUE_LARGE") == "" {
		b.Skip("takes minutes: set ENSUE_LARGE=1")
	}
	for _, precision := range []nn.Precision{nn.Float32, nn.BFloat16} {
		b.Run(map[nn.Precision]string{nn.Float32: "f32", nn.BFloat16: "bf16"}[precision], func(b *testing.B) {
			m := writeLarge(b, model.Default())
			runtime.GC()
			peak := watchMemory(b)
			e, err := NewVJEPA2(m, nntest.OpenDevice(b), WithPrecision(precision))
			require.NoError(b, err)
			defer func() { require.NoError(b, e.Close()) }()
			video := Video{B: 1, T: 64, C: 3, H: 256, W: 256, Data: noise(64*3*256*256, 1)}
			loading := peak()
			for b.Loop() {
				_, err := e.EncodeVideo(b.Context(), video)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(loading)/(1<<30), "GiB-loading")
			b.ReportMetric(float64(peak())/(1<<30), "GiB-peak")
		})
	}
}

// watchMemory looks at the process's memory that is no file's every few milliseconds; the function it returns tells the most so far.
func watchMemory(tb testing.TB) (peak func() int64) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var most int64
	look := func() int64 {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, processStatus(tb, "RssAnon"))
		return most
	}
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for ctx.Err() == nil {
			look()
			time.Sleep(5 * time.Millisecond)
		}
	})
	tb.Cleanup(func() {
		cancel()
		watcher.Wait()
	})
	return look
}
