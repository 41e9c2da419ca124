#!/usr/bin/env bash
# Makes weights/default, the model that comes with the program, from scratch: learns it by weights/train.yaml, twice by
# weights/train-memory.yaml and by weights/train-far.yaml, fits its energies, and puts the directory in place. VIDEO is the folder with train/ and
# manifest.csv that the recipe was measured with; only rows with redistributable=yes of the split train are read. OUT keeps everything that was
# made on the way; a training that was stopped goes on where it was. SEED other than 0, with WEIGHTS naming another folder, makes the
# comparisons of docs/results.md.
set -euo pipefail
cd "$(dirname "$0")/.."

ENSUE=${ENSUE:-bin/ensue}
VIDEO=${VIDEO:-../shared/video}
SEED=${SEED:-0}
OUT=${OUT:-out/train-default/seed-$SEED}
WEIGHTS=${WEIGHTS:-weights/default}
THREADS=${THREADS:-0}

if [ ! -r "$VIDEO/manifest.csv" ]; then
	echo "train-default: $VIDEO/manifest.csv is missing: VIDEO names the folder with train/ and manifest.csv" >&2
	exit 3
fi

# learn DEFINITION FOLDER SEED ARGUMENTS... trains, or goes on with what was stopped, or finds that it is done.
learn() {
	local definition=$1 folder=$2 seed=$3 resume=()
	shift 3
	if [ -s "$folder/model/model.safetensors" ]; then return; fi
	if [ -s "$folder/checkpoint.safetensors" ]; then resume=(--resume); fi
	"$ENSUE" train --definition "$definition" "$VIDEO/train" --manifest "$VIDEO/manifest.csv" --redistributable-only \
		--seed "$seed" --threads "$THREADS" --output "$folder" "$@" "${resume[@]}"
}

begun=$SECONDS
learn weights/train.yaml "$OUT/near" "$SEED"
learn weights/train-memory.yaml "$OUT/memory" "$SEED" --start "$OUT/near/model"
learn weights/train-memory.yaml "$OUT/memory-again" $((SEED + 1000)) --start "$OUT/memory/model"
learn weights/train-far.yaml "$OUT/far" "$SEED" --start "$OUT/memory-again/model"
echo "train-default: learned in $((SECONDS - begun)) s" >&2
if [ ! -s "$OUT/far/model/energy.safetensors" ]; then
	"$ENSUE" train energy "$VIDEO/train" --manifest "$VIDEO/manifest.csv" --redistributable-only --seed "$SEED" --threads "$THREADS" \
		--model "$OUT/far/model"
fi
mkdir -p "$WEIGHTS"
for file in config.json model.safetensors energy.safetensors; do
	cp "$OUT/far/model/$file" "$WEIGHTS/.$file" && mv "$WEIGHTS/.$file" "$WEIGHTS/$file"
done
echo "train-default: $WEIGHTS made in $((SECONDS - begun)) s; build again to have it in the program" >&2
