package sink

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/stream"
)

func parquetConfig(folder string, change ...func(*ParquetConfig)) Config {
	c := DefaultParquet()
	c.Path = folder
	for _, f := range change {
		f(&c)
	}
	return Config{Parquet: &c}
}

// tables are the results in the folder's tables, by id.
func tables(t *testing.T, folder string) (names []string, results map[string]*stream.Result) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*"+resultfile.EndingParquet))
	require.NoError(t, err)
	results = map[string]*stream.Result{}
	for _, name := range names {
		opened, err := resultfile.Open(name)
		require.NoError(t, err)
		for result, err := range opened {
			require.NoError(t, err)
			require.NotContains(t, results, result.ID)
			results[result.ID] = result
		}
	}
	return names, results
}

func journals(t *testing.T, folder string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, ".*"))
	require.NoError(t, err)
	return found
}

func TestATableIsWrittenWhenTheSinkCloses(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "made", "here")
	s, err := New(parquetConfig(folder), nil, nil)
	require.NoError(t, err)
	a, b := largeResult("lobby", 1, 64), largeResult("lobby", 2, 64)
	require.NoError(t, s.Write(t.Context(), []*stream.Result{a}))
	require.NoError(t, s.Write(t.Context(), []*stream.Result{b, a}))
	names, _ := tables(t, folder)
	require.Empty(t, names, "it is not finished")
	require.NoError(t, s.Close())
	names, results := tables(t, folder)
	require.Len(t, names, 1)
	require.Equal(t, map[string]*stream.Result{a.ID: a, b.ID: b}, results)
	require.Empty(t, journals(t, folder))
	require.Equal(t, CodeClosed, failureOf(t, s.Write(t.Context(), []*stream.Result{a})).Code)
}

func TestATableIsFinishedBySizeAndByTime(t *testing.T) {
	folder := t.TempDir()
	s := open(t, parquetConfig(folder, func(c *ParquetConfig) { c.Size = 2000 }))
	for n := range 6 {
		require.NoError(t, s.Write(t.Context(), []*stream.Result{largeResult("lobby", n, 1000)}))
	}
	names, results := tables(t, folder)
	require.Len(t, names, 2)
	require.Len(t, results, 4)

	folder = t.TempDir()
	s = open(t, parquetConfig(folder, func(c *ParquetConfig) { c.Every = 200 * time.Millisecond }))
	require.NoError(t, s.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	require.Eventually(t, func() bool {
		names, _ := filepath.Glob(filepath.Join(folder, "*"+resultfile.EndingParquet))
		return len(names) == 1
	}, 20*time.Second, 20*time.Millisecond, "nothing more has come, and it is written all the same")
	require.NoError(t, s.Write(t.Context(), []*stream.Result{result("lobby", 2)}))
}

// TestWhatWasAcknowledgedOutlivesAKill leaves what a killed process leaves: a journal without a lock, its last line cut off.
func TestWhatWasAcknowledgedOutlivesAKill(t *testing.T) {
	folder := t.TempDir()
	killed, err := New(parquetConfig(folder), nil, nil)
	require.NoError(t, err)
	a, b, c := largeResult("lobby", 1, 64), largeResult("lobby", 2, 64), largeResult("lobby", 3, 64)
	require.NoError(t, killed.Write(t.Context(), []*stream.Result{a, b}))
	kill(t, killed)
	left := journals(t, folder)
	require.Len(t, left, 1)
	file, err := os.OpenFile(left[0], os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString(`{"id":"cut off`)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	next, err := New(parquetConfig(folder), nil, nil)
	require.NoError(t, err)
	require.NoError(t, next.Write(t.Context(), []*stream.Result{b, c}), "b is written again, as it was not committed")
	require.NoError(t, next.Close())
	names, results := tables(t, folder)
	require.Len(t, names, 1)
	require.Equal(t, map[string]*stream.Result{a.ID: a, b.ID: b, c.ID: c}, results)
}

// kill ends a sink as a kill of its process would: its journal is there, and nobody holds it.
func kill(t *testing.T, s Sink) {
	t.Helper()
	killed := s.(*parquetSink)
	killed.mutex.Lock()
	defer killed.mutex.Unlock()
	killed.timer.Stop()
	killed.closed = true
	require.NoError(t, killed.journal.close())
}

// TestAKillBetweenTableAndJournalRepeatsNothing leaves both, as a kill at the worst moment does.
func TestAKillBetweenTableAndJournalRepeatsNothing(t *testing.T) {
	folder := t.TempDir()
	killed, err := New(parquetConfig(folder), nil, nil)
	require.NoError(t, err)
	a := largeResult("lobby", 1, 64)
	require.NoError(t, killed.Write(t.Context(), []*stream.Result{a}))
	j := killed.(*parquetSink).journal
	_, err = resultfile.CreateParquet(j.table, resultfile.ReadJSONL(j.lines.path), resultfile.Options{})
	require.NoError(t, err)
	kill(t, killed)

	next, err := New(parquetConfig(folder), nil, nil)
	require.NoError(t, err)
	require.NoError(t, next.Close())
	names, results := tables(t, folder)
	require.Len(t, names, 1)
	require.Len(t, results, 1)
	require.Empty(t, journals(t, folder))
}

func TestSeveralProcessesShareAFolder(t *testing.T) {
	folder := t.TempDir()
	var left []Sink
	for n := range 3 { // each while the ones before it live: three journals
		s, err := New(parquetConfig(folder), nil, nil)
		require.NoError(t, err)
		require.NoError(t, s.Write(t.Context(), []*stream.Result{result("lobby", n)}))
		left = append(left, s)
	}
	living := left[0]
	kill(t, left[1])
	kill(t, left[2])
	next, err := New(parquetConfig(folder), nil, nil)
	require.NoError(t, err)
	names, _ := tables(t, folder)
	require.Len(t, names, 1, "of two that were left behind one goes on")
	require.Len(t, journals(t, folder), 2)
	require.NoError(t, next.Close())
	require.NoError(t, living.Close())
	names, results := tables(t, folder)
	require.Len(t, names, 3)
	require.Len(t, results, 3)
}

// TestAFolderThatIsGoneHoldsUpTheSink says that nothing is acknowledged which is not in a journal.
func TestAFolderThatIsGoneHoldsUpTheSink(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "gone")
	s, err := New(parquetConfig(folder, func(c *ParquetConfig) { c.Size = 1 }), nil, nil)
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	require.NoError(t, os.RemoveAll(folder))
	failure := failureOf(t, s.Write(t.Context(), []*stream.Result{result("lobby", 2)}))
	require.Equal(t, CodeFile, failure.Code)
	require.False(t, failure.Permanent)
	require.Error(t, s.Close())
}
