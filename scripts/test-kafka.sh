#!/usr/bin/env bash
# Runs the tests on a real Apache Kafka: those with ApacheKafka in their name, one package after another, so that one broker
# runs at a time. Skips with a message where there is no JDK or no Maven.
set -euo pipefail

cd "$(dirname "$0")/.."
for tool in java mvn; do
	if ! command -v "$tool" >/dev/null; then
		echo "test-kafka: SKIPPED, $tool is missing (Debian: apt-get install openjdk-17-jdk-headless maven)"
		exit 0
	fi
done
mapfile -t packages < <(grep -rl --include='*_test.go' '^func Test[A-Za-z0-9_]*ApacheKafka' . | xargs -n1 dirname | sort -u)
[ ${#packages[@]} -gt 0 ] || { echo "test-kafka: no test has ApacheKafka in its name" >&2; exit 1; }
ENSUE_KAFKA=1 go test -count=1 -p 1 -timeout 15m -run ApacheKafka "${packages[@]}"
