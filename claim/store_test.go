package claim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"github.com/stretchr/testify/require"
)

const (
	accessKey = "the-access-key"
	secretKey = "the-secret-key"
	bucket    = "video"
)

// s3Server is a real HTTP server that speaks the API and checks signatures.
type s3Server struct {
	*httptest.Server
	// disturb answers instead of the server when it returns true.
	disturb func(http.ResponseWriter, *http.Request) bool
}

// listing reads an empty delimiter as none, as S3 does; gofakes3 takes it for one that is in every name.
type listing struct{ *s3mem.Backend }

func (l listing) ListBucket(
	ctx context.Context, name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage,
) (*gofakes3.ObjectList, error) {
	if prefix != nil && prefix.Delimiter == "" {
		prefix.HasDelimiter = false
	}
	return l.Backend.ListBucket(ctx, name, prefix, page)
}

func startS3(t *testing.T) *s3Server {
	t.Helper()
	server := &s3Server{}
	backend := listing{s3mem.New()}
	require.NoError(t, backend.CreateBucket(t.Context(), bucket))
	require.NoError(t, backend.CreateBucket(t.Context(), "whole"))
	handler := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{accessKey: secretKey})).Server()
	server.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if server.disturb == nil || !server.disturb(w, r) {
			handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func (s *s3Server) config() S3Config {
	return S3Config{Endpoint: s.Listener.Addr().String(), AccessKey: accessKey, SecretKey: secretKey, Region: "us-east-1"}
}

// stores are one of each kind.
func stores(t *testing.T) map[string]Store {
	t.Helper()
	server := startS3(t)
	all := map[string]Store{}
	for name, address := range map[string]string{
		"s3": "s3://" + bucket + "/segments", "whole bucket": "s3://whole", "folder": "file://" + filepath.ToSlash(t.TempDir()) + "/claims",
	} {
		place, err := ParsePlace(address)
		require.NoError(t, err)
		store, err := NewStore(place, server.config())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		all[name] = store
	}
	return all
}

func TestEveryStoreKeepsListsAndRemoves(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			large := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB
			require.NoError(t, store.Put(ctx, "kept/"+name+" ö%2F", "video/mp4", large))
			require.NoError(t, store.Put(ctx, "kept/small", "", []byte("x")))
			require.NoError(t, store.Put(ctx, "kept/small", "", []byte("small")))

			body, size, err := store.Open(ctx, "kept/"+name+" ö%2F")
			require.NoError(t, err)
			got, err := io.ReadAll(body)
			require.NoError(t, err)
			require.NoError(t, body.Close())
			require.EqualValues(t, len(large), size)
			require.Equal(t, large, got)

			found := map[string]int64{}
			require.NoError(t, store.List(ctx, func(object Object) error {
				if strings.HasPrefix(object.Key, "kept/") {
					found[object.Key] = object.Size
				}
				require.WithinDuration(t, time.Now(), object.Modified, time.Minute)
				return nil
			}))
			require.Equal(t, map[string]int64{"kept/" + name + " ö%2F": 8 << 20, "kept/small": 5}, found)

			require.NoError(t, store.Remove(ctx, "kept/small"))
			require.NoError(t, store.Remove(ctx, "kept/small"), "removing what is not there is no error")
			_, _, err = store.Open(ctx, "kept/small")
			require.ErrorIs(t, err, ErrGone)
			_, err = store.Stat(ctx, "kept/small")
			require.ErrorIs(t, err, ErrGone)
			require.NoError(t, store.Remove(ctx, "kept/"+name+" ö%2F"))
		})
	}
}

func TestWrongKeysAreDeniedAndNeverTold(t *testing.T) {
	server := startS3(t)
	config := server.config()
	config.SecretKey = "hunter2-hunter2"
	store, err := NewS3(Place{Scheme: SchemeS3, Bucket: bucket}, config)
	require.NoError(t, err)
	defer store.Close()
	for _, err := range []error{
		store.Put(t.Context(), "a", "", []byte("x")),
		func() error { _, _, err := store.Open(t.Context(), "a"); return err }(),
		store.List(t.Context(), func(Object) error { return nil }),
	} {
		require.ErrorIs(t, err, ErrDenied)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), accessKey)
	}
}

func TestKeysAreThoseOfTheEnvironmentOrItsFile(t *testing.T) {
	server := startS3(t)
	config := server.config()
	config.AccessKey, config.SecretKey = "", ""
	put := func() error {
		store, err := NewS3(Place{Scheme: SchemeS3, Bucket: bucket}, config)
		require.NoError(t, err)
		defer store.Close()
		return store.Put(t.Context(), "a", "", []byte("x"))
	}
	file := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, os.WriteFile(file, []byte("[default]\naws_access_key_id="+accessKey+"\naws_secret_access_key="+secretKey+"\n"), 0o600))
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	require.Error(t, put())
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	require.NoError(t, put())
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	require.NoError(t, put())
}

func TestABucketThatIsNotThereIsNoExpiredClaim(t *testing.T) {
	server := startS3(t)
	store, err := NewS3(Place{Scheme: SchemeS3, Bucket: "nowhere"}, server.config())
	require.NoError(t, err)
	defer store.Close()
	_, _, err = store.Open(t.Context(), "a")
	require.NotErrorIs(t, err, ErrGone)
	require.ErrorContains(t, err, `there is no bucket "nowhere"`)
}

func TestAFolderThatIsNotThereIsNoExpiredClaim(t *testing.T) {
	store, err := NewFolder(Place{Scheme: SchemeFile, Prefix: "nowhere/at/all"})
	require.NoError(t, err)
	_, _, err = store.Open(t.Context(), "a")
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrGone)
}

// TestAFolderLeadsNowhereElse: links, pipes and folders in the place of a file.
func TestAFolderLeadsNowhereElse(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	inside := filepath.Join(dir, "claims")
	require.NoError(t, os.MkdirAll(filepath.Join(inside, "folder"), 0o750))
	require.NoError(t, os.Symlink(outside, filepath.Join(inside, "link")))
	require.NoError(t, os.Symlink(dir, filepath.Join(inside, "folder", "up")))
	require.NoError(t, os.Symlink("loop", filepath.Join(inside, "loop")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(inside, "pipe"), 0o600))
	store, err := NewFolder(Place{Scheme: SchemeFile, Prefix: strings.TrimPrefix(filepath.ToSlash(inside), "/")})
	require.NoError(t, err)
	for _, key := range []string{"link", "folder/up/outside", "loop", "pipe", "folder", "../outside", "/etc/passwd", "a/../link", ""} {
		_, _, err := store.Open(t.Context(), key)
		require.ErrorIs(t, err, ErrRefused, key)
	}
	require.Error(t, store.Put(t.Context(), "../outside", "", []byte("x")))
	require.Error(t, store.Put(t.Context(), "folder/up/outside", "", []byte("x")))
	text, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "secret", string(text))
}

func TestTransientTroubleIsTriedAgain(t *testing.T) {
	server := startS3(t)
	var refuse, cut atomic.Int32
	server.disturb = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "lobby"):
			return false
		case refuse.Add(-1) >= 0:
			http.Error(w, "", http.StatusServiceUnavailable)
			return true
		case cut.Add(-1) >= 0: // the connection ends in the middle of the payload
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = w.Write([]byte("half"))
			return true
		}
		return false
	}
	reader, claims := prepared(t, ReaderConfig{
		Allow: []string{"s3://" + bucket}, S3: server.config(), Limit: 1 << 20, Timeout: 5 * time.Second,
	}, bytes.Repeat([]byte("x"), 1000))
	refuse.Store(2)
	cut.Store(1)
	payload, tries, err := reader.Read(t.Context(), claims)
	require.NoError(t, err)
	require.Equal(t, 4, tries)
	require.Len(t, payload, 1000)

	refuse.Store(1 << 30)
	reader.config.Timeout = 300 * time.Millisecond
	_, tries, err = reader.Read(t.Context(), claims)
	require.Error(t, err)
	require.Greater(t, tries, 1)
	require.ErrorContains(t, err, "gave up")
	for _, about := range []error{ErrRefused, ErrGone, ErrMismatch, ErrTooLarge, ErrDenied} {
		require.NotErrorIs(t, err, about)
	}
}

// prepared writes a payload where the reader may read and returns the claim on it.
func prepared(t *testing.T, config ReaderConfig, payload []byte) (*Reader, Claim) {
	t.Helper()
	reader, err := NewReader(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, reader.Close()) })
	told, err := NewWriter(reader.Stores()[0]).Put(t.Context(), "lobby", "video/mp4", payload)
	require.NoError(t, err)
	return reader, told
}

func TestWhatIsNotAsClaimedIsRefused(t *testing.T) {
	server := startS3(t)
	folder := "file://" + filepath.ToSlash(t.TempDir())
	for name, place := range map[string]string{"s3": "s3://" + bucket + "/segments", "folder": folder} {
		t.Run(name, func(t *testing.T) {
			reader, told := prepared(t, ReaderConfig{
				Allow: []string{place}, S3: server.config(), Limit: 100, Timeout: time.Second,
			}, []byte("payload"))
			payload, _, err := reader.Read(t.Context(), told)
			require.NoError(t, err)
			require.Equal(t, "payload", string(payload))
			for what, c := range map[string]struct {
				change func(*Claim)
				is     error
			}{
				"another size":      {func(c *Claim) { c.Size = 6 }, ErrMismatch},
				"another digest":    {func(c *Claim) { c.SHA256 = strings.Repeat("0", 64) }, ErrMismatch},
				"gone":              {func(c *Claim) { c.Ref += "0" }, ErrGone},
				"too large as told": {func(c *Claim) { c.Size = 101 }, ErrTooLarge},
				"another bucket":    {func(c *Claim) { c.Ref = "s3://elsewhere/segments/x" }, ErrRefused},
				"another folder":    {func(c *Claim) { c.Ref = "file:///etc/passwd" }, ErrRefused},
				"a web address":     {func(c *Claim) { c.Ref = "http://169.254.169.254/latest/meta-data" }, ErrRefused},
				"climbing":          {func(c *Claim) { c.Ref = place + "/../../etc/passwd" }, ErrRefused},
				"climbing, encoded": {func(c *Claim) { c.Ref = place + "/..%2F..%2Fetc%2Fpasswd" }, ErrRefused},
				"beside the prefix": {func(c *Claim) { c.Ref = place + "-other/x" }, ErrRefused},
			} {
				changed := told
				c.change(&changed)
				_, _, err := reader.Read(t.Context(), changed)
				require.ErrorIs(t, err, c.is, what)
			}
		})
	}
}

// TestTheLimitHoldsWhileReading: what a store tells about a size is not believed.
func TestTheLimitHoldsWhileReading(t *testing.T) {
	server := startS3(t)
	reader, told := prepared(t, ReaderConfig{
		Allow: []string{"s3://" + bucket}, S3: server.config(), Limit: 100, Timeout: time.Second,
	}, []byte("x"))
	server.disturb = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.(http.Flusher).Flush() // no length
		for range 1 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				break
			}
		}
		return true
	}
	told.Size = 0
	_, _, err := reader.Read(t.Context(), told)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestTheSamePayloadIsTheSameObject(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			writer := NewWriter(store)
			first, err := writer.Put(t.Context(), "../a/b ö", "video/mp4", []byte("payload"))
			require.NoError(t, err)
			again, err := writer.Put(t.Context(), "../a/b ö", "video/mp4", []byte("payload"))
			require.NoError(t, err)
			require.Equal(t, first, again)
			other, err := writer.Put(t.Context(), strings.Repeat("ö", 120), "video/mp4", []byte("payload"))
			require.NoError(t, err)
			require.NotEqual(t, first.Ref, other.Ref)
			require.LessOrEqual(t, len(other.Ref), 2048)
			ref, err := ParseRef(first.Ref)
			require.NoError(t, err)
			_, ok := store.Place().Holds(ref)
			require.True(t, ok)
		})
	}
}

func TestASweepRemovesWhatIsOldAndUnreferenced(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			writer := NewWriter(store)
			kept, err := writer.Put(t.Context(), "a", "", []byte("kept"))
			require.NoError(t, err)
			orphan, err := writer.Put(t.Context(), "a", "", []byte("orphan"))
			require.NoError(t, err)
			config := SweepConfig{
				Older: time.Hour, Now: time.Now(), Referenced: func(ref Ref) bool { return ref.String() == kept.Ref },
			}
			swept, err := Sweep(t.Context(), store, config, nil)
			require.NoError(t, err)
			require.Equal(t, Swept{Objects: 2, Young: 2}, swept, "young objects are left alone")

			config.Now = time.Now().Add(2 * time.Hour)
			var found []string
			tell := func(ref Ref, _ Object) error { found = append(found, ref.String()); return nil }
			swept, err = Sweep(t.Context(), store, config, tell)
			require.NoError(t, err)
			require.Equal(t, Swept{Objects: 2, Kept: 1, Orphans: 1, Bytes: 6}, swept, "a dry run")
			require.Equal(t, []string{orphan.Ref}, found)

			config.Remove = true
			swept, err = Sweep(t.Context(), store, config, tell)
			require.NoError(t, err)
			require.Equal(t, Swept{Objects: 2, Kept: 1, Orphans: 1, Bytes: 6, Removed: true}, swept)
			swept, err = Sweep(t.Context(), store, config, tell)
			require.NoError(t, err)
			require.Equal(t, Swept{Objects: 1, Kept: 1, Removed: true}, swept)
		})
	}
}

// renewing is a store whose object is written anew between being listed and being removed.
type renewing struct{ Store }

func (r renewing) Stat(ctx context.Context, key string) (Object, error) {
	object, err := r.Store.Stat(ctx, key)
	object.Modified = time.Now().Add(3 * time.Hour)
	return object, err
}

func TestASweepLeavesWhatWasWrittenAnew(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			_, err := NewWriter(store).Put(t.Context(), "a", "", []byte("orphan"))
			require.NoError(t, err)
			swept, err := Sweep(t.Context(), renewing{store}, SweepConfig{
				Older: time.Hour, Now: time.Now().Add(2 * time.Hour), Remove: true, Referenced: func(Ref) bool { return false },
			}, nil)
			require.NoError(t, err)
			require.Equal(t, Swept{Objects: 1, Young: 1, Removed: true}, swept)
		})
	}
}
