#!/usr/bin/env bash
# A short form of `make chaos`: on the embedded broker with claims and at least once, and, where there are a JDK and Maven, on a real
# Apache Kafka exactly once; both at the same time, for they mostly wait. ENSUE_CHAOS_MINUTES (2) is how long.
set -euo pipefail

cd "$(dirname "$0")/.."
minutes=${ENSUE_CHAOS_MINUTES:-2}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
go build -o bin/chaos ./bench/chaos

# run NAME FLAG...: one run in the background, its words in a file.
declare -A running
run() {
	local name=$1
	shift
	timeout 15m bin/chaos --minutes "$minutes" "$@" >"$logs/$name" 2>&1 &
	running[$name]=$!
}

run embedded --broker embedded --claims
if command -v java >/dev/null && { command -v mvn >/dev/null || [ -e .cache/kafka/pom.xml ]; }; then
	run apache --broker apache --delivery exactly_once
else
	echo "test-chaos: not on Apache Kafka, java or mvn is missing (Debian: apt-get install openjdk-17-jdk-headless maven)"
fi
failed=0
for name in "${!running[@]}"; do
	wait "${running[$name]}" || failed=1
	echo "chaos on the $name broker:"
	cat "$logs/$name"
done
exit $failed
