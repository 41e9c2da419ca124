"""Decode, sample and resize with PyAV in one process: the peer of `go run ./bench/decode`.

Usage: peer_pyav.py FPS SIZE FILE...

Prints one line of JSON: frames sampled, frames decoded, seconds of wall clock and of processor time spent on the files
(starting Python and importing libraries is not counted).
"""

import json
import sys
import time

import av


def sample(path, fps, size):
    """Every n-th frame of a file, as an array [size, size, 3] of uint8."""
    decoded = 0
    sampled = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = max(1, round(float(stream.average_rate or 25) / fps))
        for index, frame in enumerate(container.decode(stream)):
            decoded += 1
            if index % step == 0:
                small = frame.reformat(width=size, height=size, format="rgb24", interpolation="AREA")
                sampled.append(small.to_ndarray())
    return len(sampled), decoded


def main():
    fps, size, files = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    sampled = decoded = failed = 0
    wall, processor = time.perf_counter(), time.process_time()
    for path in files:
        try:
            taken, seen = sample(path, fps, size)
        except av.FFmpegError as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
            continue
        sampled += taken
        decoded += seen
    print(
        json.dumps(
            {
                "sampled": sampled,
                "decoded": decoded,
                "failed": failed,
                "wall": time.perf_counter() - wall,
                "processor": time.process_time() - processor,
                "version": av.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
