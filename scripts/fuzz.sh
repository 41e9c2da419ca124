#!/usr/bin/env bash
# Runs every fuzz target of the tree for a while: fuzz.sh [TIME], 10s unless told. `go test` fuzzes one target at a time.
set -euo pipefail

time=${1:-10s}
cd "$(dirname "$0")/.."
found=0
while IFS=: read -r file target; do
	found=$((found + 1))
	echo "== $(dirname "$file") $target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$(dirname "$file")"
done < <(grep -roH --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|^\./||; s|:func |:|' | sort)
[ "$found" -gt 0 ] || { echo "fuzz.sh: no fuzz targets found" >&2; exit 1; }
echo "$found targets, $time each"
