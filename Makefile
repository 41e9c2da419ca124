# Two commands say whether all is well: `make demo` shows the whole thing at work, `make test` runs every test.
# `make help` lists the rest.

SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help

# Where the Go distribution lies when its installer was followed to the letter but PATH was not set.
export PATH := $(PATH):/usr/local/go/bin
# The version comes from VERSION below: a checkout owned by another user is no reason not to build.
export GOFLAGS ?= -buildvcs=false

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOLANGCI_VERSION := v2.15.0
GOLANGCI := .cache/tools/golangci-lint-$(GOLANGCI_VERSION)

# What `make test` also runs under the race detector: where goroutines meet.
RACE ?= $(addprefix ./,$(addsuffix /...,broker clips container decode demo encoder ingest model pipelines predictor publish sink stream tail tokenfile))
FUZZ_TIME ?= 10s
SOAK_MINUTES ?= 30
BENCH ?= .
PYTHON ?= python3
# Which cases bench-pytorch measures, a regular expression.
CASES ?= .
# What is measured: the footage beside the repository where it is, else the sample streams.
BENCH_VIDEO ?= $(firstword $(wildcard ../shared/video/dev) examples/video)
RESULTS_VIDEO ?= ../shared/video
MODELS ?=

.PHONY: help setup build demo test test-unit test-race test-mats test-kafka lint format generate bench bench-decode bench-pipeline bench-pytorch soak fuzz results clean

help: ## List every target.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install the system libraries that are missing (root on Debian/Ubuntu), or say which and how.
	@scripts/setup.sh

build: setup ## Build bin/ensue.
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ensue ./cmd/ensue

demo: build ## Set up, build, and run the whole pipeline on the embedded broker with the sample video.
	bin/ensue demo

test: setup test-unit test-race test-mats test-kafka ## Set up and run every test, on a real Apache Kafka too where there is Java and Maven.

test-unit: setup ## Run the tests of every package.
	go test -timeout 15m ./...

test-race: setup ## Run the tests of the packages where goroutines meet under the race detector.
	go test -race -timeout 15m $(RACE)

test-mats: setup ## Count every OpenCV Mat that is made and closed (a build of gocv of its own).
	go test -tags matprofile -timeout 15m -run 'Mat' ./decode ./predictor

test-kafka: setup ## Run the tests on a real Apache Kafka; skipped with a message without a JDK or Maven.
	@scripts/setup.sh kafka
	scripts/test-kafka.sh

lint: setup $(GOLANGCI) ## Check style, architecture and formatting, and that go.mod is tidy.
	$(GOLANGCI) run ./...
	go mod tidy -diff

format: $(GOLANGCI) ## Format every Go file (gofumpt, imports in order).
	$(GOLANGCI) fmt ./...

$(GOLANGCI):
	mkdir -p $(dir $@)tmp
	GOBIN=$(CURDIR)/$(dir $@)tmp go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(dir $@)tmp/golangci-lint $@

generate: setup ## Make the generated files again (schema, protobuf, documentation); tests check that none has drifted.
	go generate ./...

bench: bench-decode bench-pipeline ## Run the benchmarks behind docs/benchmarks.md; BENCH=regexp chooses.
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

bench-decode: setup ## Decode, sample and resize beside PyAV (PYTHON with `pip install av`) and the ffmpeg command, in turn.
	go run ./bench/decode --rounds 5 --python '$(PYTHON)' $(BENCH_VIDEO)

bench-pipeline: setup ## The whole pipeline through the embedded broker beside its decoding alone, in turn.
	go run ./bench/pipeline --rounds 5 $(BENCH_VIDEO)

bench-pytorch: setup ## The encoder, training and matrix products beside PyTorch (PYTHON with bench/pytorch/requirements.txt), in turn.
	@go build -o bin/bench-pytorch ./bench/pytorch
	bin/bench-pytorch --rounds 5 --python '$(PYTHON)' --cases '$(CASES)'

soak: setup ## Run looped video at full speed for SOAK_MINUTES (30) and check that memory stays flat.
	ENSUE_SOAK_MINUTES=$(SOAK_MINUTES) go test -count=1 -v -run Soak -timeout $$(( $(SOAK_MINUTES) + 15 ))m ./pipelines/...

results: build ## Write docs/results.md: measure baselines, and the models named by MODELS, on the footage of RESULTS_VIDEO.
	VIDEO='$(RESULTS_VIDEO)' MODELS='$(MODELS)' scripts/results.sh

fuzz: setup ## Run every fuzz target for FUZZ_TIME (10s) each.
	scripts/fuzz.sh $(FUZZ_TIME)

clean: ## Remove what was built; .cache (tools, Apache Kafka) stays.
	rm -rf bin out coverage.out
