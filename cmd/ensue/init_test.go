package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ensue-video/ensue/internal/fixture"
)

// requireWhole looks at what init left: it lints without a warning, and its test is met.
func requireWhole(t *testing.T, folder, name string) {
	t.Helper()
	definition := filepath.Join(folder, name+".yaml")
	got := ensue(t, "lint", "--strict", definition)
	require.Zero(t, got.code, got.out)
	got = ensue(t, "test", folder)
	require.Zero(t, got.code, got.out+got.err)
	var compose map[string]any
	text, err := os.ReadFile(filepath.Join(folder, "docker-compose.yml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &compose))
	require.Contains(t, string(text), name+".yaml")
	for _, b := range readmeLines(t, folder) {
		require.NoError(t, parses(b, true), b)
	}
}

func readmeLines(t *testing.T, folder string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	lines := commandLines(string(text))
	require.Greater(t, len(lines), 2)
	return lines
}

func TestInitWritesAPipelineThatPassesItsTest(t *testing.T) {
	for name, flags := range map[string][]string{
		"kafka": nil, "files": {"--source", "files"},
		"of-ones-own": {"--model", "pixels", "--false-alarms", "2.5", "--topic", "cameras", "--clip", samples()[2]},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), name)
			got := ensue(t, append([]string{"init", folder}, flags...)...)
			require.Zero(t, got.code, got.err)
			require.Contains(t, got.out, "wrote "+filepath.Join(folder, name+".yaml")+"\n")
			requireWhole(t, folder, name)
		})
	}
}

func TestInitOverwritesNothingUnasked(t *testing.T) {
	folder := t.TempDir()
	mine := filepath.Join(folder, "README.md")
	require.NoError(t, os.WriteFile(mine, []byte("mine"), 0o644))
	got := ensue(t, "init", folder, "--name", "lobby")
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "README.md: already there")
	require.Contains(t, got.err, "init.exists")
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing else was written either")
	require.Zero(t, ensue(t, "init", folder, "--name", "lobby", "--force").code)
	text, err := os.ReadFile(mine)
	require.NoError(t, err)
	require.Contains(t, string(text), "# lobby")
}

func TestInitRefusesWhatCannotWork(t *testing.T) {
	for flags, wants := range map[string]string{
		"--name=Lobby!": "definition.bad_value", "--source=rtsp": `--source "rtsp"`, "--model=gpt": `--model "gpt"`,
		"--clip=/nowhere.mp4": "init.no_clip", "--brokers=kafka": "has no port", "--false-alarms=0": "definition.out_of_range",
	} {
		got := ensue(t, "init", t.TempDir(), flags)
		require.Equal(t, exitInput, got.code, flags)
		require.Contains(t, got.err, wants, flags)
	}
}

// TestInitTakesPipedAnswers asks although there is no terminal, and takes an end of the input for the rest of the defaults.
func TestInitTakesPipedAnswers(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	var out, err bytes.Buffer
	answers := strings.NewReader("door\nrtsp\nfiles\ninbox\npix\n\n")
	code := run(t.Context(), []string{"init", folder, "--ask"}, newApp(answers, &out, &err, os.LookupEnv))
	require.Zero(t, code, err.String())
	require.Contains(t, err.String(), "Name of the pipeline [new]: ")
	require.Contains(t, err.String(), "it is kafka or files")
	text, failed := os.ReadFile(filepath.Join(folder, "door.yaml"))
	require.NoError(t, failed)
	require.Contains(t, string(text), "paths: [inbox]")
	requireWhole(t, folder, "door")

	code = run(t.Context(), []string{"init", t.TempDir(), "--ask"}, newApp(strings.NewReader("door\n"), &out, &err, os.LookupEnv))
	require.Equal(t, exitInput, code)
	require.Contains(t, err.String(), "init.answers")
}

// TestInitAsksOnATerminal runs the program on a terminal of its own.
func TestInitAsksOnATerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs a pseudo-terminal: %v", err)
	}
	defer master.Close()
	var unlocked, number int32
	ioctl(t, master, syscall.TIOCSPTLCK, &unlocked)
	ioctl(t, master, syscall.TIOCGPTN, &number)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	defer terminal.Close()

	folder := filepath.Join(t.TempDir(), "hall")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], "init", folder)
	command.Env = append(os.Environ(), beEnsue+"=1")
	var out, said bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = terminal, &out, &said
	require.NoError(t, command.Start())
	_, err = master.WriteString("\n\n\n\n\n\n") // all defaults
	require.NoError(t, err)
	require.NoError(t, command.Wait(), said.String())
	require.Contains(t, said.String(), "Name of the pipeline [hall]: ")
	require.Contains(t, said.String(), "Topic of the segments [video.segments]: ")
	requireWhole(t, folder, "hall")
}

func ioctl(t *testing.T, file *os.File, request uintptr, number *int32) {
	t.Helper()
	_, _, failed := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), request, uintptr(unsafe.Pointer(number)))
	require.Zero(t, failed)
}

func TestInitStartsTheBrokerThatTheRepositoryStarts(t *testing.T) {
	text, err := os.ReadFile(fixture.Repository("docker-compose.yml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "image: apache/kafka:"+composeKafka+"\n")
}
