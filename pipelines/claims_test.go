package pipelines

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

// TestEveryClaimRule changes one thing in a definition with claims, to the last value that is good and to the first that is not.
func TestEveryClaimRule(t *testing.T) {
	type change func(*Definition)
	covered := map[stream.Code]bool{}
	for _, test := range []struct {
		code        stream.Code
		path        string
		good, wrong change
	}{
		{
			"definition.claim_ttl", "ingest.claims.ttl",
			func(d *Definition) { d.Ingest.Claims.TTL = 168 * time.Hour },
			func(d *Definition) { d.Ingest.Claims.TTL = 168*time.Hour - 1 },
		},
		{
			"definition.claim_timeout", "ingest.claims.timeout", // beside 20 s of decoding in 40 s of draining
			func(d *Definition) { d.Ingest.Claims.Timeout = 20*time.Second - 1 },
			func(d *Definition) { d.Ingest.Claims.Timeout = 20 * time.Second },
		},
		{
			"definition.claim_keys", "ingest.claims.s3.access_key",
			func(d *Definition) { d.Ingest.Claims.S3.AccessKey, d.Ingest.Claims.S3.SecretKey = "a", "b" },
			func(d *Definition) { d.Ingest.Claims.S3.AccessKey = "a" },
		},
		{
			"definition.claim_keys", "ingest.claims.s3.secret_key",
			func(*Definition) {},
			func(d *Definition) { d.Ingest.Claims.S3.SecretKey = "hunter2" },
		},
		{
			"definition.claim_plain", "ingest.claims.s3.tls",
			func(d *Definition) { d.Ingest.Claims.S3.TLS, d.Ingest.Claims.S3.Endpoint = false, "localhost:8333" },
			func(d *Definition) { d.Ingest.Claims.S3.TLS, d.Ingest.Claims.S3.Endpoint = false, "store:8333" },
		},
		{
			"definition.claim_files", "ingest.claims",
			func(d *Definition) {
				d.Ingest.Kafka, d.Ingest.Files, d.Ingest.Claims = nil, &ingest.FilesConfig{Paths: []string{"a.mp4"}, Segment: time.Second}, nil
			},
			func(d *Definition) {
				d.Ingest.Kafka, d.Ingest.Files = nil, &ingest.FilesConfig{Paths: []string{"a.mp4"}, Segment: time.Second}
			},
		},
	} {
		covered[test.code] = true
		t.Run(string(test.code)+" "+test.path, func(t *testing.T) {
			good, wrong := parsed(t, minimal), parsed(t, minimal)
			for _, def := range []*Definition{good, wrong} {
				claims := ingest.DefaultClaims()
				claims.Allow = []string{"s3://video/segments"}
				def.Ingest.Claims = &claims
			}
			test.good(good)
			require.NotContains(t, findingCodes(Review(good), SeverityError, SeverityWarning, SeverityNote), test.code)
			test.wrong(wrong)
			var at []string
			for _, f := range Review(wrong) {
				require.NotContains(t, f.String(), "hunter2")
				if f.Code == test.code {
					at = append(at, f.Path)
					require.NotEmpty(t, f.Hint)
				}
			}
			require.Equal(t, []string{test.path}, at)
			requireStagesAgree(t, good)
			requireStagesAgree(t, wrong)
		})
	}
	for _, r := range claimRules() {
		require.True(t, covered[r.code], "no test for the rule %s", r.code)
	}
}

func TestDefaultsOfClaimsAreThoseOfTheStages(t *testing.T) {
	def := parsed(t, "version: 1\nname: a\ningest: {kafka: {topic: in}, claims: {allow: [s3://video]}}\nsink: {jsonl: {path: out}}\n")
	want := ingest.DefaultClaims()
	want.Allow = []string{"s3://video"}
	require.Equal(t, &want, def.Ingest.Claims)
}

func TestPlacesAndEndpointsThatCannotBeAreTold(t *testing.T) {
	for _, text := range []string{
		"allow: [video]", "allow: [\"file:///\"]", "allow: [http://store/video]", "allow: [s3://user:hunter2@video/x]", "allow: []",
		"allow: [s3://video], s3: {endpoint: \"https://store:8333\"}", "allow: [s3://video], s3: {endpoint: a/b}",
	} {
		def := "version: 1\nname: a\ningest: {kafka: {topic: in}, claims: {" + text + "}}\nsink: {jsonl: {path: out}}\n"
		findings := Lint("test.yaml", []byte(def), noEnv)
		require.True(t, HasErrors(findings), text)
		require.NotContains(t, render(findings), "hunter2")
	}
}

// TestClaimsGiveTheResultsOfPayloads: the same segments, once in their records and once as claims on a folder; and claims that lead
// nowhere, elsewhere or to other bytes, which become dead letters.
func TestClaimsGiveTheResultsOfPayloads(t *testing.T) {
	dir := t.TempDir()
	inline := segmentsFrom(t, sample("shelf"))
	claimed := make([]*stream.Segment, len(inline))
	for i, segment := range inline {
		told := *segment
		digest := sha256.Sum256(segment.Payload)
		told.SHA256, told.Size = hex.EncodeToString(digest[:]), int64(len(segment.Payload))
		require.NoError(t, os.WriteFile(filepath.Join(dir, told.SHA256), segment.Payload, 0o600))
		told.Ref, told.Payload = claim.Ref{Scheme: claim.SchemeFile, Key: filepath.ToSlash(dir)[1:] + "/" + told.SHA256}.String(), nil
		claimed[i] = &told
	}
	def := func(allow ...string) *Definition {
		def := stockReplay(t, "unused")
		claims := ingest.DefaultClaims()
		claims.Allow = allow
		def.Ingest.Claims = &claims
		return def
	}
	folder := "file://" + filepath.ToSlash(dir)
	want := runOn(t, stockReplay(t, "unused"), inline)
	got := runOn(t, def(folder), claimed)
	require.NotEmpty(t, want.results)
	require.Equal(t, want.results, got.results)
	require.Empty(t, got.letters)

	bad := map[string]stream.Code{}
	var odd []*stream.Segment
	add := func(name string, code stream.Code, change func(*stream.Segment)) {
		changed := *claimed[0]
		changed.Stream, changed.Mark = name, stream.MarkNone
		change(&changed)
		bad[name], odd = code, append(odd, &changed)
	}
	add("gone", ingest.CodeClaimExpired, func(s *stream.Segment) { s.Ref += "0" })
	add("elsewhere", ingest.CodeClaimRefused, func(s *stream.Segment) { s.Ref = "file:///etc/passwd" })
	add("other bytes", ingest.CodeClaimMismatch, func(s *stream.Segment) { s.SHA256 = claimed[1].SHA256 })
	add("other size", ingest.CodeClaimMismatch, func(s *stream.Segment) { s.Size++ })
	add("too large", ingest.CodeClaimTooLarge, func(s *stream.Segment) { s.Size = 1 << 40 })
	add("unverified", ingest.CodeClaimUnverified, func(s *stream.Segment) { s.SHA256 = "" })
	got = runOn(t, def(folder), append(odd, claimed...))
	require.Equal(t, want.results, got.results, "the streams beside them go on")
	codes := map[string]stream.Code{}
	for _, letter := range got.letters {
		codes[letter.Segment.Stream] = letter.Failure.Code
		require.Equal(t, "ingest", letter.Failure.Stage)
		require.True(t, letter.Failure.Permanent)
	}
	require.Equal(t, bad, codes)

	for _, letter := range runOn(t, stockReplay(t, "unused"), claimed[:1]).letters {
		require.Equal(t, ingest.CodeClaim, letter.Failure.Code, "a definition without claims")
	}
	unreachable := def("file://" + filepath.ToSlash(dir) + "/nowhere")
	unreachable.Ingest.Claims.Timeout = 300 * time.Millisecond
	claimed[0].Ref = "file://" + filepath.ToSlash(dir) + "/nowhere/a"
	for _, letter := range runOn(t, unreachable, claimed[:1]).letters {
		require.Equal(t, ingest.CodeClaimUnreachable, letter.Failure.Code)
		require.False(t, letter.Failure.Permanent)
		require.Greater(t, letter.Failure.Attempts, 1)
	}
}

func runOn(t *testing.T, def *Definition, segments []*stream.Segment) *gathered {
	t.Helper()
	again := make(listed, len(segments))
	for i, segment := range segments {
		fresh := *segment // the stages change what passes through them
		again[i] = &fresh
	}
	return runs(t, def, WithSource(again))
}
