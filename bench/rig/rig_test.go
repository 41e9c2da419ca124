package rig

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARelayPassesWhatItMay(t *testing.T) {
	const rate, size = 1 << 20, 1 << 19
	target, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer target.Close()
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		conn, err := target.Accept()
		if err == nil {
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()
	relay, err := NewRelay(t.Context(), rate)
	require.NoError(t, err)
	relay.To(t.Context(), target.Addr().String())
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", relay.Addr())
	require.NoError(t, err)
	sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	begin := time.Now()
	go func() { _, _ = conn.Write(sent) }()
	got := make([]byte, size)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, sent, got)
	took := time.Since(begin)
	require.Greater(t, took, 450*time.Millisecond, "half a MiB at a MiB a second")
	require.Less(t, took, 5*time.Second)
	require.NoError(t, conn.Close())
	<-echoed
	require.NoError(t, relay.Close())
}

func TestAProcessIsStartedSignalledAndWaitedFor(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := Start(log, "/bin/sh", "-c", "echo begun; trap 'echo told; exit 7' TERM; while :; do sleep 0.05; done")
	require.NoError(t, err)
	require.Eventually(t, func() bool { text, _ := os.ReadFile(log); return len(text) > 0 }, 5*time.Second, 10*time.Millisecond)
	require.Positive(t, p.Resident())
	require.False(t, p.Wait(10*time.Millisecond))
	require.NoError(t, p.Signal(syscall.SIGTERM))
	require.True(t, p.Wait(5*time.Second))
	require.Equal(t, 7, p.Exit())
	require.Equal(t, "told", p.LastLine())
	require.NoError(t, p.Signal(syscall.SIGTERM), "it has ended: that is no error")

	p, err = Start(log, "/bin/sleep", "60")
	require.NoError(t, err)
	require.NoError(t, p.Signal(syscall.SIGKILL))
	require.True(t, p.Wait(5*time.Second))
	require.Equal(t, 128+9, p.Exit())
	_, err = Start(log, "/nowhere")
	require.Error(t, err)
}

func TestClipsAreOfOneLength(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	clips, err := Clips(ctx, t.TempDir(), filepath.Join("..", "..", "examples", "video", "shelf.mp4"), ClipFormat{64, 48, 8, time.Second})
	require.NoError(t, err)
	require.Greater(t, len(clips), 30)
	for _, clip := range clips {
		require.Equal(t, time.Second, clip.Length)
		require.Less(t, len(clip.Data), 64<<10)
	}
}
