package claim

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddressesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]Ref{
		"s3://video/a/b.mp4":                {SchemeS3, "video", "a/b.mp4"},
		"file:///var/claims/a.mp4":          {SchemeFile, "", "var/claims/a.mp4"},
		"file://localhost/var/a.mp4":        {SchemeFile, "", "var/a.mp4"},
		"s3://video/lobby%252Fdoor/0%C3%B6": {SchemeS3, "video", "lobby%2Fdoor/0ö"},
	} {
		ref, err := ParseRef(text)
		require.NoError(t, err, text)
		require.Equal(t, want, ref)
		again, err := ParseRef(ref.String())
		require.NoError(t, err, text)
		require.Equal(t, want, again)
	}
}

func TestAddressesThatLeadAstrayAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "a", "/etc/passwd", "http://bucket/key", "https://s3.amazonaws.com/b/k", "gopher://x/y", "s3:bucket/key", "s3://bucket",
		"s3://bucket/", "s3:///key", "s3://bucket:9000/key", "s3://user:pw@bucket/key", "s3://Bucket/key", "s3://b/key", "s3://a..b/key",
		"s3://bucket/a/../b", "s3://bucket/a/./b", "s3://bucket//a", "s3://bucket/a//b", "s3://bucket/a/", "s3://bucket/..",
		"s3://bucket/%2e%2e/a", "s3://bucket/a%00b", "s3://bucket/a%5cb", "s3://bucket/a?versionId=1", "s3://bucket/a?", "s3://bucket/a#b",
		"file://host/etc/passwd", "file:///", "file://", "file:etc/passwd", "file:///a/../etc/passwd", "file:////etc/passwd",
		"s3://169.254.169.254/latest\n", "s3://bucket/%0d%0aHost: x",
	} {
		_, err := ParseRef(text)
		require.Error(t, err, text)
	}
}

func TestPlacesHoldWhatLiesInThemAndNothingElse(t *testing.T) {
	for _, text := range []string{"s3://video", "s3://video/", "s3://video/segments", "file:///var/claims/", "file:///var/claims"} {
		place, err := ParsePlace(text)
		require.NoError(t, err, text)
		require.Equal(t, strings.TrimSuffix(text, "/"), place.String())
		ref, err := ParseRef(place.String() + "/a/b")
		require.NoError(t, err)
		key, ok := place.Holds(ref)
		require.True(t, ok)
		require.Equal(t, "a/b", key)
		require.Equal(t, ref, place.ref(key))
		for _, other := range []string{"s3://other/segments/a", "file:///var/claimsx/a", "file:///etc/passwd", "s3://var/claims/a"} {
			ref, err := ParseRef(other)
			require.NoError(t, err)
			_, ok := place.Holds(ref)
			require.False(t, ok, "%s holds %s", place, other)
		}
	}
	for _, text := range []string{
		"", "video", "file:///", "file://", "file:///.", "s3://", "s3:///x", "http://a/b", "s3://user:hunter2@video/x",
	} {
		_, err := ParsePlace(text)
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func FuzzParseRef(f *testing.F) {
	for _, seed := range []string{"s3://video/a/b.mp4", "file:///var/claims/a", "s3://video/%2e%2e/a", "file:////etc", "s3://a@b/c"} {
		f.Add(seed)
	}
	place := Place{Scheme: SchemeFile, Prefix: "var/claims"}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseRef(text)
		if err != nil {
			return
		}
		again, err := ParseRef(ref.String())
		require.NoError(t, err, "%q is written as %q", text, ref)
		require.Equal(t, ref, again)
		if key, ok := place.Holds(ref); ok {
			require.Equal(t, "/var/claims/"+key, path.Clean("/var/claims/"+key))
		}
	})
}
