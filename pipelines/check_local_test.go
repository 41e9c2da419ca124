package pipelines

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/web"
)

func TestCheckTellsAnAddressThatIsTaken(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	def := &Definition{Serve: &web.Config{Address: listener.Addr().String()}}
	checks := checkServe(t.Context(), def)
	require.Len(t, checks, 1)
	require.True(t, checks[0].OK, "it may be the pipeline itself")
	require.Contains(t, checks[0].Hint, "serve.address")
	require.NoError(t, listener.Close())
	require.Equal(t, "the address is free", checkServe(t.Context(), def)[0].Detail)
	def.Serve.Address = "192.0.2.1:8080" // of no machine (RFC 5737)
	require.False(t, checkServe(t.Context(), def)[0].OK)
	require.Empty(t, checkServe(t.Context(), &Definition{}))
}

func TestCheckTellsAFolderThatCannotBeWritten(t *testing.T) {
	require.True(t, checkFolder(filepath.Join(t.TempDir(), "r.jsonl")).OK)
	require.False(t, writable("/nowhere"))
}
