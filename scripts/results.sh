#!/usr/bin/env bash
# Writes docs/results.md: the tables of `ensue eval`, as its commands print them. VIDEO is a folder with train/, dev/ and manifest.csv;
# MODELS are model directories to put beside the baselines, `builtin` (the default) is the model that comes with the program; SEEDS are
# directories of one recipe trained from several seeds. A table that stands in out/results is taken as it is, and one that was begun gone on
# with: remove it to measure anew. MEASURE is a regular expression of the names of tables that may be measured; what is neither there nor
# may be measured is told as missing. CONTINUATION and OBJECTIVES are more arguments of those tables.
set -euo pipefail
cd "$(dirname "$0")/.."

ENSUE=${ENSUE:-bin/ensue}
VIDEO=${VIDEO:-../shared/video}
OUT=${OUT:-out/results}
PAGE=${PAGE:-docs/results.md}
MEASURE=${MEASURE:-.}
read -r -a continuation <<<"${CONTINUATION:-}"
read -r -a objectives <<<"${OBJECTIVES:-}"
# Threads that compute; 1 gives the same figures on every machine with the same instructions, whatever else it does.
THREADS=${THREADS:-1}
models=()
for dir in ${MODELS:-builtin}; do models+=(--model "$dir"); done
seeds=()
for dir in ${SEEDS:-}; do seeds+=(--model "$dir"); done
mkdir -p "$OUT"

# table NAME ARGUMENTS... measures, once, tells how long it took, and prints the table. What was measured with other arguments is measured
# again.
table() {
	local name=$1 begun=$SECONDS
	shift
	if [ ! -s "$OUT/$name.txt" ] || [ "$(cat "$OUT/$name.arguments" 2>/dev/null)" != "$*" ]; then
		if [[ ! $name =~ $MEASURE ]]; then
			printf '\nNot measured yet: `ensue eval %s`.\n' "$*"
			return
		fi
		echo "measuring $name" >&2
		"$ENSUE" eval "$@" --threads "$THREADS" --plot "$OUT/$name.html" >"$OUT/$name.tmp"
		echo "$((SECONDS - begun))" >"$OUT/$name.seconds"
		printf '%s' "$*" >"$OUT/$name.arguments"
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
side. `brief` is the energy of 3 and 3 frames, where a clip has no more. The ten kinds are those up to `speed2`; of the others, which no mean has
in it, `coded` is Y encoded again (it does continue X: .5 is right), `freeze_coded`, `rewind_coded` and `loop_coded` are the last frame, X backwards and
X once more, encoded again: what a repetition is worth where no frame is exactly repeated. A head could call `coded` what it has not seen, so judge
those three by how much more than `coded` they are. The map of an energy is the one that its sources draw together
(`predictor/energy_map.go`); how was chosen on windows of the training footage.

The energy that lies beside the default model, as it is:
TEXT
	table shipped continuation --data "$VIDEO/dev" --no-baselines "${models[@]}"
	cat <<'TEXT'

The same of energies that were learned for this table, from the clips that may be passed on, beside the baselines.
TEXT
	table continuation continuation --data "$VIDEO/dev" --fit "$VIDEO/train" --redistributable --leave-one-out "${models[@]}" "${continuation[@]}"
	cat <<'TEXT'

## Violations of expectation

Generated scenes, in pairs that are the same up to an event which is possible in one and impossible in the other. A single kind has a
content bias (a scene with less in it is cheaper to predict), which cancels in permanence and timing.
TEXT
	table voe voe "${models[@]}"
	if [ ${#seeds[@]} -gt 0 ]; then
		printf '\nThe same recipe from several seeds; intervals are over pairs and seeds.\n'
		table voe-seeds voe --seeds "${seeds[@]}"
	fi
	cat <<'TEXT'

## Retrieval

The segment that truly comes 1 to 8 seconds later, among 99 others, at most half of them of the same clip; looked for by the embedding
that was predicted, and by that of the last segment seen.
TEXT
	table retrieval retrieval --data "$VIDEO/dev" "${models[@]}"
	if [ ${#seeds[@]} -gt 0 ]; then
		printf '\nThe same recipe from several seeds; intervals are over clips and seeds.\n'
		table retrieval-seeds retrieval --data "$VIDEO/dev" --seeds "${seeds[@]}"
	fi
	cat <<'TEXT'

## Objectives

A small model by each objective, on the same footage and generated scenes, with the same budget and rate, none of them tuned for the table:
it tells what collapses and what learns at once, not what any of them reaches in the end. The two transformers are the same but for what is predicted:
the next second, or masked places.
TEXT
	table objectives objectives --data "$VIDEO/dev" --fit "$VIDEO/train" --output "$OUT/objectives" "${objectives[@]}"
	cat <<'TEXT'

## Anomalies in footage of one camera

UCSD Ped2, frame level, one threshold for all clips. Maps of prediction errors are standardised at every place by the training clips;
`motion` has one law of optical flow and differences for all places of a frame of 360×360 pixels. The labels were used for the figure alone.
Six clips with 130 frames that are not anomalous say little: see the intervals.
TEXT
	table ped2 ped2 --data "$VIDEO/dev/ucsd_ped2_test_*" --normal "$VIDEO/train/ucsd_ped2_train_*" \
		--labels "$VIDEO/ped2_dev_labels.csv" "${models[@]}"
	cat <<'TEXT'

What was tried for `motion`, with the same features: a law of each place and those up to so many places around it, or one for the whole picture;
its distances as they are, or standardised again at every place. It was decided by normal clips that were held out of the training clips (four
parts in turn): how many of their frames lie above the 95 % quantile of the frames that were learned from (.05 is right), and by how many
deviations their median is shifted. A law of places holds on the clips it was learned from and nowhere else; the whole picture has no shift. The
AUROC on `dev` was seen in the same run.

| places around | standardised again | above the quantile | shift | AUROC, dev |
| --- | --- | --- | --- | --- |
| 0 | no / yes | .274 / .302 | 1.28 / 1.40 | .755 / .735 |
| 1 | no / yes | .153 / .228 | 0.79 / 1.40 | .765 / .757 |
| 2 | no / yes | .124 / .186 | 0.47 / 0.66 | .761 / .762 |
| 4 | no / yes | .053 / .139 | 0.16 / 0.32 | .708 / .760 |
| 8 | no / yes | .072 / .128 | 0.13 / 0.36 | .744 / .784 |
| **whole picture** | **no** / yes | **.060** / .122 | **0.01** / 0.37 | **.875** / .787 |

TEXT
} >"$OUT/results.md"
mv "$OUT/results.md" "$PAGE"
