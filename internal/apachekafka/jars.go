package apachekafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/ensue-video/ensue/internal/fixture"
)

// copyDependencies is the Maven goal that fetches the jars, with the plugin's version pinned.
const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// ErrUnavailable says that Apache Kafka cannot run on this machine; the error around it says what is missing.
var ErrUnavailable = errors.New("a real Apache Kafka cannot run here")

// findJars is the folder with the jars; they are fetched where they are not there yet.
func findJars(ctx context.Context) (folder string, err error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("%w: it needs a JDK 17: apt-get install openjdk-17-jdk-headless (%w)", ErrUnavailable, err)
	}
	jars := os.Getenv("ENSUE_KAFKA_JARS")
	if jars == "" {
		jars = fixture.Repository(".cache", "kafka")
	}
	unlock, err := lock(jars + ".lock")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if complete(jars) {
		return jars, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", fmt.Errorf("%w: it needs Maven to be fetched with: apt-get install maven (%w)", ErrUnavailable, err)
	}
	return jars, fetch(ctx, jars)
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

func fetch(ctx context.Context, jars string) error {
	pom := fixture.Repository("internal", "apachekafka", "pom.xml")
	text, err := os.ReadFile(pom)
	if err != nil {
		return fmt.Errorf("reading which version of Apache Kafka it is: %w", err)
	}
	if err := os.RemoveAll(jars); err != nil {
		return fmt.Errorf("removing an older Apache Kafka: %w", err)
	}
	mvn := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet", "--file", pom, copyDependencies,
		"-DincludeScope=runtime", "-DoutputDirectory="+jars)
	if out, err := mvn.CombinedOutput(); err != nil {
		return fmt.Errorf("fetching Apache Kafka from Maven Central: %w\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(jars, "pom.xml"), text, 0o600); err != nil {
		return fmt.Errorf("noting the version of Apache Kafka: %w", err)
	}
	return nil
}

// lock keeps other processes, such as the tests of other packages that run at the same time, from fetching the same jars.
func lock(path string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}
	return file.Close, nil
}
