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
RACE ?= $(addprefix ./,$(addsuffix /...,broker claim clips connect container dead decode demo encoder ingest metrics model pipelines predictor publish sink state stream tail tokenfile))
# Not those that mostly compute, which takes ten times as long there: test-unit runs them, and the goroutines they have in common with others are
# seen in those (a model with a memory in TestARecurrentModelSaysTheSameWhateverTheConcurrencyAndTheCutting).
RACE_SKIP ?= StockDefinitionsFindWhatTheySaid|^Example|FiniteDifferences|Alarms?AtTheRate|CutAndAFreezeStandOut|ExactMeanOfAreas|AveragingIsOpenCVs|JudgedByStretches|JudgedByABriefOne|TakenOverGoesOn.*/a_model_with_a_memory
FUZZ_TIME ?= 10s
SOAK_MINUTES ?= 30
CHAOS_MINUTES ?= 20
CHAOS_DELIVERY ?= at_least_once exactly_once
# More flags of bench/chaos: --poison 5%, --churn, --brokers 3, --claims, --seed 42.
CHAOS ?=
BENCH ?= .
PYTHON ?= python3
# Which cases bench-pytorch measures, a regular expression.
CASES ?= .
# What is measured: the footage beside the repository where it is, else the sample streams.
BENCH_VIDEO ?= $(firstword $(wildcard ../shared/video/dev) examples/video)
RESULTS_VIDEO ?= ../shared/video
MODELS ?=
SEEDS ?=

.PHONY: help setup setup-tests build demo live pictures test test-unit test-pure test-race test-mats test-kafka lint format generate bench bench-decode bench-pipeline bench-pytorch bench-streams bench-large chaos test-chaos soak fuzz results train-default docs clean

help: ## List every target.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install the system libraries that are missing (root on Debian/Ubuntu), or say which and how.
	@scripts/setup.sh

setup-tests: ## Bring what only tests use: Chromium, PostgreSQL, Prometheus. What cannot be had is said, and its tests skip.
	@scripts/setup.sh tests

build: setup ## Build bin/ensue.
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ensue ./cmd/ensue

demo: build ## Set up, build, and run the whole pipeline on the embedded broker with the sample video.
	bin/ensue demo

test: setup setup-tests test-unit test-pure test-race test-mats test-kafka test-chaos ## Set up and run every test, on a real Apache Kafka too where there is Java and Maven.

test-unit: setup ## Run the tests of every package.
	go test -timeout 30m ./...

test-pure: setup ## Run the tests of nn in plain Go, without its C kernels.
	go test -tags purego -timeout 15m ./nn/...

# What test-unit has vetted is not vetted again.
test-race: setup ## Run the tests of the packages where goroutines meet under the race detector.
	go test -vet=off -race -timeout 30m -skip '$(RACE_SKIP)' $(RACE)

test-mats: setup ## Count every OpenCV Mat that is made and closed (a build of gocv of its own).
	go test -tags matprofile -timeout 15m -run 'Mat' ./decode ./predictor

test-kafka: setup ## Run the tests on a real Apache Kafka; skipped with a message without a JDK or Maven.
	@scripts/setup.sh kafka
	scripts/test-kafka.sh

test-chaos: build ## Two minutes of chaos on the embedded broker, and where there is Java and Maven on Apache Kafka, side by side.
	@scripts/setup.sh kafka
	scripts/test-chaos.sh

live: build ## What the live page costs with a hundred streams (needs Chromium); WALL=10m for longer.
	go test -count 1 -timeout 30m -run AHundredStreams -v ./web -wall $(or $(WALL),1m)
	go test -count 1 -timeout 30m -run AHundredStreams -v ./bench/streams -wall $(or $(WALL),1m)

pictures: ## Make the pictures of docs/ anew, from the demo (needs Chromium).
	go test -count 1 -run Pictures ./demo -update

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

bench-streams: build ## A thousand streams on one process: memory per stream, latency at half and at full capacity.
	go run ./bench/streams --rounds 3 --length 20s --clips small
	go run ./bench/streams --rounds 3 --length 20s --clips real

bench-large: build ## Segments of 8 and 64 MiB, in their records and as claims, on a plain link and on one of 4 MiB/s, with Apache Kafka.
	@scripts/setup.sh kafka
	go run ./bench/large

chaos: build ## Kill, stop and restart everything for CHAOS_MINUTES (20) per delivery, and check that nothing is lost or comes twice; CHAOS adds flags.
	@scripts/setup.sh kafka
	for delivery in $(CHAOS_DELIVERY); do go run ./bench/chaos --minutes $(CHAOS_MINUTES) --delivery $$delivery $(CHAOS) || exit 1; done

soak: setup ## Run looped video at full speed for SOAK_MINUTES (30) and check that memory stays flat.
	ENSUE_SOAK_MINUTES=$(SOAK_MINUTES) go test -count=1 -v -run Soak -timeout $$(( $(SOAK_MINUTES) + 15 ))m ./pipelines/...

results: build ## Write docs/results.md: measure baselines and MODELS (builtin), and SEEDS of one recipe, on the footage of RESULTS_VIDEO.
	VIDEO='$(RESULTS_VIDEO)' MODELS='$(MODELS)' SEEDS='$(SEEDS)' scripts/results.sh

train-default: build ## Make weights/default, the model that comes with the program, from scratch (docs/learning.md says how long it takes).
	VIDEO='$(RESULTS_VIDEO)' scripts/train-default.sh

fuzz: setup ## Run every fuzz target for FUZZ_TIME (10s) each.
	scripts/fuzz.sh $(FUZZ_TIME)

docs: build ## Man pages into out/man/man1, and the pictures of docs/concepts.md again (needs graphviz).
	bin/ensue man out/man/man1
	bin/ensue explain live --format dot | dot -Tsvg >docs/pictures/pipeline.svg
	bin/ensue replay examples/video/yard.mp4 --plot docs/pictures/yard.svg --quiet
	bin/ensue replay examples/video/garden.mp4 --plot docs/pictures/garden.svg --quiet

clean: ## Remove what was built; .cache (tools, Apache Kafka) stays.
	rm -rf bin out coverage.out
