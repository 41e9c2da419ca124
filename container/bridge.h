#ifndef ENSUE_CONTAINER_BRIDGE_H
#define ENSUE_CONTAINER_BRIDGE_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdint.h>

// Guard is what one Input shares with FFmpeg: its reader, its deadline, and the last thing FFmpeg complained about. FFmpeg
// objects carry it in their `opaque` field; nothing is shared between two guards but the list they are found in.
typedef struct Guard {
    uintptr_t reader;     // cgo handle of the Go reader
    int64_t deadline;     // av_gettime_relative() after which FFmpeg is to give up; 0: never
    int refused;          // how many files or URLs FFmpeg asked for and did not get
    int oversized;        // a picture was refused for its size; the list's lock guards it
    char message[400];    // the last error message, without a newline; the list's lock guards it
    struct Guard *next;
} Guard;

// Track is what Go needs to know of the video track, beside its codec parameters.
typedef struct Track {
    int index;            // -1: there is none
    int width, height;
    int rate_num, rate_den;
    int has_matrix;
    int32_t matrix[9];
    int encrypted;
    AVStream *stream;
} Track;

Guard *guard_new(uintptr_t reader);
void guard_free(Guard *guard);
void guard_message(Guard *guard, char *out, int size);
int guard_oversized(Guard *guard);
void guard_clear(Guard *guard);

const char *probe(const uint8_t *head, int size, int *score);
int open_input(AVFormatContext **out, AVIOContext **pb, Guard *guard, const char *format, int buffer);
void close_input(AVFormatContext **context, AVIOContext **pb);
int analyse(AVFormatContext *context);
void pick_video(AVFormatContext *context, Track *track);
int packet_encrypted(const AVPacket *packet);

AVCodecContext *open_codec(const AVStream *stream, Guard *guard, int64_t max_pixels, int threads, int reorder, int strict, int *error);

int output_open(AVFormatContext **out, Guard *guard, const char *format, const AVStream *like, int timescale);
int output_close(AVFormatContext **context, uint8_t **data);

#endif
