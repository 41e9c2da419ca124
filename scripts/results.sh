#!/usr/bin/env bash
# Writes docs/results.md: the tables of `ensue eval`, as its commands print them. VIDEO is a folder with train/, dev/ and manifest.csv;
# MODELS are model directories to put beside the baselines. A table that stands in out/results is taken as it is: remove it to measure anew.
set -euo pipefail
cd "$(dirname "$0")/.."

ENSUE=${ENSUE:-bin/ensue}
VIDEO=${VIDEO:-../shared/video}
OUT=${OUT:-out/results}
models=()
for dir in ${MODELS:-}; do models+=(--model "$dir"); done
mkdir -p "$OUT"

# table NAME ARGUMENTS... measures, once, and tells how long it took.
table() {
	local name=$1 begun=$SECONDS
	shift
	if [ ! -s "$OUT/$name.txt" ]; then
		echo "measuring $name" >&2
		"$ENSUE" eval "$@" "${models[@]}" --plot "$OUT/$name.html" >"$OUT/$name.tmp"
		echo "$((SECONDS - begun))" >"$OUT/$name.seconds"
		mv "$OUT/$name.tmp" "$OUT/$name.txt"
	fi
	printf '\n```\n$ ensue eval %s\n' "$*"
	grep -v '^written: ' "$OUT/$name.txt"
	printf '```\n\nTook %s seconds of a shared machine with %s cores.\n' "$(cat "$OUT/$name.seconds")" "$(nproc)"
}

{
	cat <<'TEXT'
# Results

What the energies and the baselines reach, as `ensue eval` prints it; `make results` writes this page. The protocols are fixed
beforehand and the same for every model: [`eval`](../eval/doc.go) has them. No energy is fitted on what is reported. Two choices about the
one-class energy (genuine windows that were varied are fitted too; the covariance is shrunk by half) were first seen to help on `dev`; the
second was then confirmed by fitting half of the `train` clips and measuring the other half, the first was not. So the `one_class` rows, and
`mix` and `max` with them, are not untouched by `dev`.

## Continuation

Real footage (`dev`), X and Y of about a second each, against ten kinds of Y that do not continue X. `raw` is the plain distance between
what was expected and what came. `one_class` is learned from genuine windows alone, `head` on made-up negatives of varied windows, `LOO`
by a head that never saw the kind it is tested on; `mix` and `max` take both. Energies of two sources have the statistics of both side by
side.
TEXT
	table continuation continuation --data "$VIDEO/dev" --fit "$VIDEO/train" --leave-one-out --threads 1
	cat <<'TEXT'

## Violations of expectation

Generated scenes, in pairs that are the same up to an event which is possible in one and impossible in the other. A single kind has a
content bias (a scene with less in it is cheaper to predict), which cancels in permanence and timing.
TEXT
	table voe voe --threads 1
	cat <<'TEXT'

## Retrieval

The segment that truly comes 1 to 8 seconds later, among 99 others, at most half of them of the same clip; looked for by the embedding
that was predicted, and by that of the last segment seen.
TEXT
	table retrieval retrieval --data "$VIDEO/dev" --threads 1
	cat <<'TEXT'

## Anomalies in footage of one camera

UCSD Ped2, frame level, one threshold for all clips. What is usual at a place was learned from the training clips; the labels were used
for the figure alone. Six clips with 130 frames that are not anomalous say little: see the intervals.
TEXT
	table ped2 ped2 --data "$VIDEO/dev/ucsd_ped2_test_*" --normal "$VIDEO/train/ucsd_ped2_train_*" \
		--labels "$VIDEO/ped2_dev_labels.csv" --threads 1
} >"$OUT/results.md"
mv "$OUT/results.md" docs/results.md
