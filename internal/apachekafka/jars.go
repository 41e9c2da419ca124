package apachekafka

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

// copyDependencies is the Maven goal that fetches the jars, with the plugin's version pinned.
const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// testName is part of the name of every test that starts Kafka; see test-kafka in the Makefile.
const testName = "ApacheKafka"

// requirements skips the test where Kafka is not asked for or cannot run, and returns the folder with the jars.
func requirements(tb testing.TB) string {
	tb.Helper()
	if !strings.Contains(tb.Name(), testName) {
		tb.Fatalf("a test that starts Apache Kafka has %q in its name: `make test-kafka` finds it by that", testName)
	}
	if os.Getenv("ENSUE_KAFKA") != "1" {
		tb.Skip("needs a real Apache Kafka: run `make test-kafka`, or set ENSUE_KAFKA=1")
	}
	if _, err := exec.LookPath("java"); err != nil {
		tb.Skipf("needs a JDK 17 for Apache Kafka: apt-get install openjdk-17-jdk-headless (%v)", err)
	}
	jars := os.Getenv("ENSUE_KAFKA_JARS")
	if jars == "" {
		jars = fixture.Repository(".cache", "kafka")
	}
	unlock := lock(tb, jars+".lock")
	defer unlock()
	if complete(jars) {
		return jars
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		tb.Skipf("needs Maven to fetch Apache Kafka: apt-get install maven (%v)", err)
	}
	fetch(tb, jars)
	return jars
}

// complete says whether the folder holds what the pom.xml of today asks for; a copy of it is left there last.
func complete(jars string) bool {
	want, err := os.ReadFile(fixture.Repository("internal", "apachekafka", "pom.xml"))
	if err != nil {
		return false
	}
	got, err := os.ReadFile(filepath.Join(jars, "pom.xml"))
	return err == nil && bytes.Equal(got, want)
}

func fetch(tb testing.TB, jars string) {
	tb.Helper()
	pom := fixture.Repository("internal", "apachekafka", "pom.xml")
	require.NoError(tb, os.RemoveAll(jars))
	mvn := exec.CommandContext(tb.Context(), "mvn", "--batch-mode", "--quiet", "--file", pom, copyDependencies,
		"-DincludeScope=runtime", "-DoutputDirectory="+jars)
	if out, err := mvn.CombinedOutput(); err != nil {
		tb.Fatalf("fetching Apache Kafka from Maven Central: %v\n%s", err, out)
	}
	text, err := os.ReadFile(pom)
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(filepath.Join(jars, "pom.xml"), text, 0o600))
}

// lock keeps the tests of other packages, which run at the same time, from fetching the same jars.
func lock(tb testing.TB, path string) (unlock func()) {
	tb.Helper()
	require.NoError(tb, os.MkdirAll(filepath.Dir(path), 0o750))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(tb, err)
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	require.NoError(tb, err)
	return func() {
		if err := file.Close(); err != nil {
			tb.Error(fmt.Errorf("unlocking %s: %w", path, err))
		}
	}
}
