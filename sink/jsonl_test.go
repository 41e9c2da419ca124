package sink

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func jsonlConfig(path string) Config { return Config{JSONL: &JSONLConfig{Path: path}} }

func lettersConfig(path string) Config {
	return Config{DeadLetter: DeadLetterConfig{JSONL: &JSONLConfig{Path: path}}}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// lines is the file a sink leaves that wrote results 1 to n of lobby.
func lines(t *testing.T, n int) string {
	t.Helper()
	var out strings.Builder
	for i := range n {
		line, err := stream.MarshalResult(result("lobby", i+1), stream.EncodingJSON)
		require.NoError(t, err)
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.String()
}

func TestJSONLFileIsGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "results.jsonl")
	out := open(t, jsonlConfig(path))
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1), result("<gate> & co", 7)}))
	require.NoError(t, out.Write(t.Context(), nil))
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 2)}))
	require.Equal(t, read(t, "testdata/results.jsonl"), read(t, path), "written when Write returns, not at Close")
}

func TestJSONLFileIsAppendedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	for n := range 3 {
		out, err := New(jsonlConfig(path), nil, nil)
		require.NoError(t, err)
		require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", n+1)}))
		require.NoError(t, out.Close())
	}
	require.Equal(t, lines(t, 3), read(t, path))
}

func TestLineThatACrashCutOffIsMended(t *testing.T) {
	whole := lines(t, 2)
	third := strings.TrimPrefix(lines(t, 3), whole)
	for name, test := range map[string]struct {
		left string
		// stay is how many results are still there afterwards.
		stay int
		cut  bool
	}{
		"in the middle of the third line": {whole + third[:40], 2, true},
		"after three bytes of the third":  {whole + third[:3], 2, true},
		"zeros instead of the third line": {whole + strings.Repeat("\x00", 30), 2, true},
		"a fragment of the first":         {third[:5], 0, true},
		"the line end is missing":         {whole + strings.TrimSuffix(third, "\n"), 3, false},
		"nothing is missing":              {whole, 2, false},
		"empty":                           {"", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "results.jsonl")
			require.NoError(t, os.WriteFile(path, []byte(test.left), 0o600))
			log := &logged{}
			out, err := New(jsonlConfig(path), nil, log.logger())
			require.NoError(t, err)
			defer func() { require.NoError(t, out.Close()) }()
			require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 3)}))
			scanner := bufio.NewScanner(strings.NewReader(read(t, path)))
			count := 0
			for scanner.Scan() {
				_, err := stream.UnmarshalResult(scanner.Bytes(), stream.EncodingJSON)
				require.NoError(t, err, "%q", scanner.Text())
				count++
			}
			require.Equal(t, test.stay+1, count)
			require.Equal(t, test.cut, strings.Contains(log.String(), "cutting off"))
		})
	}
}

func TestFileOfSomebodyElseStaysAsItIs(t *testing.T) {
	for name, content := range map[string]string{
		"video": "\x00\x00\x00\x20ftypisom", "json": "{\n \"a\": 1\n}", "text": "hello", "other lines": "{\"a\":1}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "results.jsonl")
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			_, err := New(jsonlConfig(path), nil, nil)
			require.Equal(t, CodeNotJSONL, failureOf(t, err).Code)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "sink.jsonl.path")
			require.Equal(t, content, read(t, path))
		})
	}
}

func TestTwoPipelinesDoNotWriteOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	first, err := New(jsonlConfig(path), nil, nil)
	require.NoError(t, err)
	_, err = New(jsonlConfig(path), nil, nil)
	require.Equal(t, CodeFileInUse, failureOf(t, err).Code)
	require.ErrorContains(t, err, path)
	require.NoError(t, first.Close())
	second, err := New(jsonlConfig(path), nil, nil)
	require.NoError(t, err)
	require.NoError(t, second.Close())
}

func TestFileThatCannotBeWrittenIsTold(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	for name, path := range map[string]string{"its folder is a file": filepath.Join(blocked, "r.jsonl"), "it is a folder": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			_, err := New(jsonlConfig(path), nil, nil)
			require.Equal(t, CodeFile, failureOf(t, err).Code)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "sink.jsonl.path")
		})
	}
}

func TestFullDiskIsTold(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full (Linux)")
	}
	out := open(t, jsonlConfig("/dev/full"))
	err := out.Write(t.Context(), []*stream.Result{result("lobby", 1)})
	failure := failureOf(t, err)
	require.Equal(t, CodeFile, failure.Code)
	require.False(t, failure.Permanent, "room can be made")
	require.ErrorContains(t, err, "no space left")
}

func TestPartOfAFailedWriteIsTakenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	file, err := openLines(path, "sink.jsonl.path", silentLog)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.close()) }()
	require.NoError(t, file.write(t.Context(), []byte("whole\n")))
	n, err := file.file.WriteString("par")
	require.NoError(t, err)
	require.NoError(t, file.takeBack(n))
	require.NoError(t, file.write(t.Context(), []byte("next\n")))
	require.Equal(t, "whole\nnext\n", read(t, path))
}

func TestWriteToAClosedFileIsRefused(t *testing.T) {
	out, err := New(jsonlConfig(filepath.Join(t.TempDir(), "r.jsonl")), nil, nil)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.NoError(t, out.Close())
	require.Equal(t, CodeClosed, failureOf(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1)})).Code)
}

func TestCancelledWriteLeavesTheFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	out := open(t, jsonlConfig(path))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, out.Write(ctx, []*stream.Result{result("lobby", 1)}), context.Canceled)
	require.Empty(t, read(t, path))
}

func TestResultThatIsNoneLeavesTheFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	out := open(t, jsonlConfig(path))
	bad := result("lobby", 2)
	bad.Energy = nil
	err := out.Write(t.Context(), []*stream.Result{result("lobby", 1), bad})
	require.Equal(t, stream.CodeBadResult, failureOf(t, err).Code)
	require.Empty(t, read(t, path))
}

func TestDashIsTheStandardOutput(t *testing.T) {
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	old := os.Stdout
	os.Stdout = writer                    //nolint:reassign // what is tested is this very variable
	t.Cleanup(func() { os.Stdout = old }) //nolint:reassign // put back
	out, err := New(jsonlConfig("-"), nil, nil)
	require.NoError(t, err)
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	require.NoError(t, out.Close())
	_, err = writer.WriteString("still open\n")
	require.NoError(t, err, "the standard output is not ours to close")
	require.NoError(t, writer.Close())
	data, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Equal(t, lines(t, 1)+"still open\n", string(data))
	require.NoError(t, reader.Close())
}

func TestDeadLettersAsLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "dead.jsonl")
	out := openLetters(t, lettersConfig(path), nil)
	letters := []*stream.DeadLetter{letter(1, []byte("payload")), letter(2, make([]byte, 1<<20))}
	require.NoError(t, out.Write(t.Context(), letters))
	got := strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n")
	require.Len(t, got, 2)
	for i, line := range got {
		want, err := json.Marshal(letters[i])
		require.NoError(t, err)
		require.Equal(t, string(want), line)
		require.True(t, strings.HasPrefix(line, lineHead), "a later run knows the file by it")
		require.Less(t, len(line), 1000, "the payload is not in it")
	}
}

func BenchmarkJSONLWrite(b *testing.B) {
	for name, count := range map[string]int{"1 result": 1, "32 results": 32} {
		b.Run(name, func(b *testing.B) {
			out, err := New(jsonlConfig(filepath.Join(b.TempDir(), "r.jsonl")), nil, nil)
			require.NoError(b, err)
			defer func() { require.NoError(b, out.Close()) }()
			results := make([]*stream.Result, count)
			for i := range results {
				results[i] = largeResult("lobby", i, 3000)
			}
			for b.Loop() {
				require.NoError(b, out.Write(b.Context(), results))
			}
		})
	}
}
