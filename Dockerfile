# syntax=docker/dockerfile:1
# Debian 12 on both sides: its FFmpeg 5.1, OpenCV 4.6 and oneDNN 2.6 are the versions that the Go bindings fit (docs/dependencies.md).

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY scripts/setup.sh scripts/setup.sh
RUN scripts/setup.sh && rm -rf /var/lib/apt/lists/*
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN --mount=type=cache,target=/root/.cache/go-build \
    go build -buildvcs=false -trimpath -ldflags "-X main.version=${VERSION}" -o /out/ensue ./cmd/ensue

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates \
        libdnnl2 libgomp1 \
        libavcodec59 libavdevice59 libavfilter8 libavformat59 libavutil57 libswresample4 libswscale6 \
        libopencv-calib3d406 libopencv-core406 libopencv-dnn406 libopencv-features2d406 libopencv-highgui406 \
        libopencv-imgcodecs406 libopencv-imgproc406 libopencv-objdetect406 libopencv-photo406 libopencv-video406 \
        libopencv-videoio406 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/ensue ensue
COPY --from=build /out/ensue /usr/local/bin/ensue
USER 10001
# serve.address, where a definition listens on all addresses of the container.
EXPOSE 8080
WORKDIR /var/lib/ensue
# SIGTERM drains: segments under way are finished, written and acknowledged. Give it longer than ingest.kafka.drain_timeout.
STOPSIGNAL SIGTERM
ENTRYPOINT ["ensue"]
CMD ["help"]
