#!/bin/sh
# Sends a finished segment of MediaMTX to `ensue publish --listen` and removes it once it is durable on Kafka. It needs a shell, sed and
# wget (BusyBox' is enough), as MediaMTX's image with FFmpeg has them. A segment that cannot be sent is tried again, and stays where it is
# when that does not help; sending it a second time changes nothing.
set -eu

name=${MTX_SEGMENT_PATH##*/}
stream=$(printf %s "$MTX_PATH" | sed 's|%|%25|g; s|/|%2F|g; s| |%20|g')
token=$(cat "${ENSUE_TOKEN_FILE:-/run/secrets/ensue_token}")
pause=1
for attempt in 1 2 3 4 5 6 7; do
	if wget -q -T 30 -O /dev/null \
		--header "Authorization: Bearer $token" --header "Content-Type: video/mp4" \
		--header "Ensue-Start: ${name%.mp4}" --header "Ensue-Duration: $MTX_SEGMENT_DURATION" \
		--post-file "$MTX_SEGMENT_PATH" "${ENSUE_INGEST:-http://ingest:8090}/streams/$stream/segments"; then
		rm -f "$MTX_SEGMENT_PATH"
		exit 0
	fi
	sleep $pause
	pause=$((pause * 2))
done
echo "segment.sh: $MTX_SEGMENT_PATH was not taken after $attempt attempts" >&2
exit 1
