package main

import (
	"testing"

	"github.com/ensue-video/ensue/internal/fixture"
)

func TestMain(m *testing.M) { fixture.Main(m) }
