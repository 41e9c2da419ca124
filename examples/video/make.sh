#!/usr/bin/env bash
# Makes the sample streams of this folder from the published clips that README.md credits.
#
#   examples/video/make.sh FOLDER [OUT]
#
# FOLDER holds the source clips under the names below (anywhere in its tree); OUT is where the streams go, this folder
# unless told. The same sources and the same FFmpeg give the same bytes. Needs ffmpeg with libx264.
#
# All streams: H.264 yuv420p, 640x360, no sound, a key frame every second. Every stream keeps the frame rate of its source:
# dropping or repeating frames would be a judder, which is an anomaly of its own.
set -euo pipefail

sources=${1:?usage: make.sh FOLDER_WITH_SOURCE_CLIPS [OUT]}
out=${2:-$(cd "$(dirname "$0")" && pwd)}

source_clip() {
	local found
	found=$(find "$sources" -name "$1" -print -quit)
	[ -n "$found" ] || {
		echo "make.sh: $1 is not under $sources" >&2
		exit 2
	}
	echo "$found"
}

bottles=$(source_clip intel_bottle-detection.mp4)
dog=$(source_clip sam2_01_dog.mp4)
coffee=$(source_clip sam2_04_coffee.mp4)
flower=$(source_clip openh264_VID_1280x720_cabac_temporal_direct.264)

# encode RATE GOP NAME: what a filter graph labels [out] becomes the stream NAME.
encode() {
	local rate=$1 gop=$2 name=$3
	shift 3
	ffmpeg -nostdin -v error -y "$@" -map '[out]' -an -map_metadata -1 -fflags +bitexact -flags:v +bitexact \
		-c:v libx264 -preset slow -crf "$crf" -threads 1 -pix_fmt yuv420p -r "$rate" \
		-g "$gop" -keyint_min "$gop" -sc_threshold 0 -bf 2 -movflags +faststart "$out/$name"
}

size='scale=640:360:flags=area,setsar=1,format=yuv420p'

# shelf: one unbroken recording.
crf=25 encode 179/6 30 shelf.mp4 -i "$bottles" \
	-filter_complex "[0:v]$size[out]"

# yard: one recording played forwards, backwards and forwards again (the turning frames once, so nothing jumps),
# then a hard cut to another camera. 289 + 288 + 288 frames, then 287.
crf=26 encode 30000/1001 30 yard.mp4 -i "$dog" -i "$coffee" \
	-filter_complex "
		[0:v]$size,split=3[a][b][c];
		[b]reverse,trim=start_frame=1,setpts=PTS-STARTPTS[back];
		[c]trim=start_frame=1,setpts=PTS-STARTPTS[again];
		[1:v]$size[other];
		[a][back][again][other]concat=n=4,settb=1001/30000,setpts=N[out]"

# garden: a hand-held recording played forwards, backwards and forwards; its last frame then stands still for 150 frames,
# and the recording goes on backwards from it. 300 + 299 + 299 frames, 150 of the freeze, 299.
crf=27 encode 30 30 garden.mp4 -i "$flower" \
	-filter_complex "
		[0:v]$size,setpts=N/30/TB,split=4[a][b][c][d];
		[b]reverse,trim=start_frame=1,setpts=PTS-STARTPTS[back];
		[c]trim=start_frame=1,setpts=PTS-STARTPTS,tpad=stop_mode=clone:stop=150[again];
		[d]reverse,trim=start_frame=1,setpts=PTS-STARTPTS[on];
		[a][back][again][on]concat=n=4,settb=1/30,setpts=N[out]"
