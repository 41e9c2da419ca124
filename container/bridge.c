#include "bridge.h"

#include <libavutil/avstring.h>
#include <libavutil/opt.h>
#include <libavutil/time.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "_cgo_export.h"

// ---- what FFmpeg says -------------------------------------------------------------------------------------------------

// FFmpeg has one log callback per process. Ours prints nothing: it gives errors to the guard of the object they are about.
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static Guard *guards;

// owner walks from a logging object to the format or codec context it belongs to, and returns that one's opaque field.
// Frame threads of a decoder work on copies of the context, with the same opaque.
static void *owner(void *object) {
    for (int depth = 0; object && depth < 8; depth++) {
        const AVClass *class = *(const AVClass **)object;
        if (!class || !class->class_name) return NULL;
        if (!strcmp(class->class_name, "AVFormatContext")) return ((AVFormatContext *)object)->opaque;
        if (!strcmp(class->class_name, "AVCodecContext")) return ((AVCodecContext *)object)->opaque;
        if (!class->parent_log_context_offset) return NULL;
        object = *(void **)((uint8_t *)object + class->parent_log_context_offset);
    }
    return NULL;
}

// oversized recognises the words of libavutil and dav1d for a picture that is too large; FFmpeg has no error code for it.
static int oversized(const char *message) {
    unsigned width = 0, height = 0;
    const char *size = strstr(message, " size ");
    if (!size || sscanf(size, " size %ux%u", &width, &height) != 2 || !width || !height) return 0;
    return strstr(message, "exceeds specified max pixel count") || strstr(message, "is invalid") || strstr(message, "exceeds limit");
}

static void hear(void *object, int level, const char *format, va_list arguments) {
    if ((level & 0xff) > AV_LOG_ERROR) return;
    void *opaque = owner(object);
    if (!opaque) return;
    pthread_mutex_lock(&guards_lock);
    for (Guard *guard = guards; guard; guard = guard->next) {
        if (guard != opaque) continue; // compared, never followed: it may be somebody else's pointer
        vsnprintf(guard->message, sizeof guard->message, format, arguments);
        for (char *c = guard->message; *c; c++) {
            if (*c == '\n' || *c == '\r') *c = ' ';
        }
        size_t end = strlen(guard->message);
        while (end && guard->message[end - 1] == ' ') guard->message[--end] = 0;
        if (oversized(guard->message)) guard->oversized = 1; // more messages follow, which would hide it
        break;
    }
    pthread_mutex_unlock(&guards_lock);
}

Guard *guard_new(uintptr_t reader) {
    Guard *guard = av_mallocz(sizeof *guard);
    if (!guard) return NULL;
    guard->reader = reader;
    pthread_mutex_lock(&guards_lock);
    guard->next = guards;
    guards = guard;
    pthread_mutex_unlock(&guards_lock);
    av_log_set_callback(hear);
    return guard;
}

void guard_free(Guard *guard) {
    pthread_mutex_lock(&guards_lock);
    for (Guard **at = &guards; *at; at = &(*at)->next) {
        if (*at != guard) continue;
        *at = guard->next;
        break;
    }
    pthread_mutex_unlock(&guards_lock);
    av_free(guard);
}

void guard_message(Guard *guard, char *out, int size) {
    pthread_mutex_lock(&guards_lock);
    av_strlcpy(out, guard->message, size);
    pthread_mutex_unlock(&guards_lock);
}

int guard_oversized(Guard *guard) {
    pthread_mutex_lock(&guards_lock);
    int oversized = guard->oversized;
    pthread_mutex_unlock(&guards_lock);
    return oversized;
}

void guard_clear(Guard *guard) {
    pthread_mutex_lock(&guards_lock);
    guard->message[0] = 0;
    guard->oversized = 0;
    pthread_mutex_unlock(&guards_lock);
}

// ---- input ------------------------------------------------------------------------------------------------------------

// probe names the format that the bytes look like; NULL when they look like nothing. head has AVPROBE_PADDING_SIZE zero bytes
// after its size.
const char *probe(const uint8_t *head, int size, int *score) {
    AVProbeData data = {.filename = "", .buf = (unsigned char *)head, .buf_size = size};
    const AVInputFormat *format = av_probe_input_format3(&data, 1, score);
    return format ? format->name : NULL;
}

static int read_packet(void *opaque, uint8_t *buffer, int size) {
    return ensueRead(((Guard *)opaque)->reader, buffer, size);
}

static int64_t seek(void *opaque, int64_t offset, int whence) {
    return ensueSeek(((Guard *)opaque)->reader, offset, whence);
}

static int refuse_open(AVFormatContext *context, AVIOContext **pb, const char *url, int flags, AVDictionary **options) {
    Guard *guard = context->opaque;
    if (guard) guard->refused++;
    av_log(context, AV_LOG_ERROR, "it refers to another file or address, which is not opened\n");
    return AVERROR(EPERM);
}

static int interrupt(void *opaque) {
    Guard *guard = opaque;
    return guard->deadline && av_gettime_relative() > guard->deadline;
}

// open_input opens the bytes behind the guard's reader as the format named. On failure nothing is left open.
int open_input(AVFormatContext **out, AVIOContext **pb, Guard *guard, const char *name, int buffer) {
    const AVInputFormat *format = av_find_input_format(name);
    AVFormatContext *context = avformat_alloc_context();
    uint8_t *memory = av_malloc(buffer);
    AVIOContext *io = memory ? avio_alloc_context(memory, buffer, 0, guard, read_packet, NULL, seek) : NULL;
    AVDictionary *options = NULL;
    int result = AVERROR(ENOMEM);
    if (!context || !io) goto fail;
    if (!format) {
        result = AVERROR_DEMUXER_NOT_FOUND;
        goto fail;
    }
    context->opaque = guard;
    context->pb = io;
    context->io_open = refuse_open;
    context->interrupt_callback = (AVIOInterruptCB){interrupt, guard};
    // Three locks on the same door: no protocol is allowed, the function that would open one refuses, and the options that
    // make a demuxer follow a reference are off. No decoder may run while the streams are looked at either: decoders have limits
    // that only OpenCodec knows.
    av_dict_set(&options, "protocol_whitelist", "", 0);
    av_dict_set(&options, "format_whitelist", name, 0);
    av_dict_set(&options, "codec_whitelist", "none", 0);
    av_dict_set(&options, "enable_drefs", "0", 0);
    av_dict_set(&options, "use_absolute_path", "0", 0);
    result = avformat_open_input(&context, "", format, &options); // frees context when it fails
    av_dict_free(&options);
    if (result < 0) goto fail;
    *out = context;
    *pb = io;
    return 0;
fail:
    if (context) avformat_free_context(context);
    if (io) av_freep(&io->buffer);
    else av_free(memory);
    avio_context_free(&io);
    return result;
}

void close_input(AVFormatContext **context, AVIOContext **pb) {
    avformat_close_input(context);
    if (*pb) av_freep(&(*pb)->buffer);
    avio_context_free(pb);
}

int analyse(AVFormatContext *context) { return avformat_find_stream_info(context, NULL); }

void pick_video(AVFormatContext *context, Track *track) {
    memset(track, 0, sizeof *track);
    track->index = -1;
    for (unsigned i = 0; i < context->nb_streams; i++) {
        AVStream *stream = context->streams[i];
        if (track->index < 0 && stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
            !(stream->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS))) {
            track->index = i;
            continue;
        }
        stream->discard = AVDISCARD_ALL;
    }
    if (track->index < 0) return;
    AVStream *stream = context->streams[track->index];
    track->stream = stream;
    track->width = stream->codecpar->width;
    track->height = stream->codecpar->height;
    AVRational rate = stream->avg_frame_rate.num > 0 ? stream->avg_frame_rate : stream->r_frame_rate;
    track->rate_num = rate.num;
    track->rate_den = rate.den;
    size_t size = 0;
    const uint8_t *matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (matrix && size >= sizeof track->matrix) {
        memcpy(track->matrix, matrix, sizeof track->matrix);
        track->has_matrix = 1;
    }
    track->encrypted = av_stream_get_side_data(stream, AV_PKT_DATA_ENCRYPTION_INIT_INFO, NULL) != NULL ||
                       av_dict_get(stream->metadata, "enc_key_id", NULL, 0) != NULL;
}

int packet_encrypted(const AVPacket *packet) {
    return av_packet_get_side_data(packet, AV_PKT_DATA_ENCRYPTION_INFO, NULL) != NULL;
}

// ---- codec ------------------------------------------------------------------------------------------------------------

AVCodecContext *open_codec(const AVStream *stream, Guard *guard, int64_t max_pixels, int threads, int reorder, int strict, int *error) {
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    AVCodecContext *context = codec ? avcodec_alloc_context3(codec) : NULL;
    *error = codec ? AVERROR(ENOMEM) : AVERROR_DECODER_NOT_FOUND;
    if (!context) return NULL;
    *error = avcodec_parameters_to_context(context, stream->codecpar);
    if (*error < 0) goto fail;
    context->opaque = guard;
    context->pkt_timebase = stream->time_base;
    context->thread_count = threads;
    context->max_pixels = max_pixels;
    if (reorder > context->has_b_frames) context->has_b_frames = reorder;
    if (strict) context->strict_std_compliance = FF_COMPLIANCE_STRICT;
    *error = avcodec_open2(context, codec, NULL);
    if (*error < 0) goto fail;
    return context;
fail:
    avcodec_free_context(&context);
    return NULL;
}

// ---- output -----------------------------------------------------------------------------------------------------------

// Memory is a file in memory that grows.
typedef struct Memory {
    uint8_t *data;
    int64_t size, room, at;
} Memory;

static int memory_write(void *opaque, uint8_t *buffer, int count) {
    Memory *memory = opaque;
    int64_t end = memory->at + count;
    if (end > INT32_MAX) return AVERROR(EFBIG);
    if (end > memory->room) {
        int64_t room = FFMAX(end, memory->room + memory->room / 2);
        uint8_t *data = av_realloc(memory->data, room);
        if (!data) return AVERROR(ENOMEM);
        memory->data = data;
        memory->room = room;
    }
    if (memory->at > memory->size) memset(memory->data + memory->size, 0, memory->at - memory->size);
    memcpy(memory->data + memory->at, buffer, count);
    memory->at = end;
    memory->size = FFMAX(memory->size, end);
    return count;
}

static int64_t memory_seek(void *opaque, int64_t offset, int whence) {
    Memory *memory = opaque;
    switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE: return memory->size;
    case SEEK_CUR: offset += memory->at; break;
    case SEEK_END: offset += memory->size; break;
    case SEEK_SET: break;
    default: return AVERROR(EINVAL);
    }
    if (offset < 0 || offset > INT32_MAX) return AVERROR(EINVAL);
    return memory->at = offset;
}

static int memory_open(AVIOContext **out, int buffer) {
    Memory *memory = av_mallocz(sizeof *memory);
    uint8_t *bytes = av_malloc(buffer);
    AVIOContext *io = memory && bytes ? avio_alloc_context(bytes, buffer, 1, memory, NULL, memory_write, memory_seek) : NULL;
    *out = io;
    if (io) return 0;
    av_free(memory);
    av_free(bytes);
    return AVERROR(ENOMEM);
}

static int memory_close(AVIOContext *io, uint8_t **data) {
    Memory *memory = io->opaque;
    avio_flush(io);
    int size = memory->size;
    *data = memory->data;
    av_freep(&io->buffer);
    avio_context_free(&io);
    av_free(memory);
    return size;
}

// output_open starts a file of the format in memory with one stream like the one given. timescale is the denominator of the
// time base to keep, where the format lets one choose.
int output_open(AVFormatContext **out, Guard *guard, const char *format, const AVStream *like, int timescale) {
    AVFormatContext *context = NULL;
    AVDictionary *options = NULL;
    int result = avformat_alloc_output_context2(&context, NULL, format, NULL);
    if (result < 0) return result;
    context->opaque = guard;
    context->flags |= AVFMT_FLAG_BITEXACT; // no library version and no date in the file: same input, same bytes
    AVStream *stream = avformat_new_stream(context, NULL);
    result = stream ? avcodec_parameters_copy(stream->codecpar, like->codecpar) : AVERROR(ENOMEM);
    if (result < 0) goto fail;
    unsigned tag = like->codecpar->codec_tag;
    if (context->oformat->codec_tag && av_codec_get_id(context->oformat->codec_tag, tag) != like->codecpar->codec_id) {
        stream->codecpar->codec_tag = 0;
    }
    stream->time_base = like->time_base;
    stream->avg_frame_rate = like->avg_frame_rate;
    stream->sample_aspect_ratio = like->sample_aspect_ratio;
    size_t size = 0;
    const uint8_t *matrix = av_stream_get_side_data(like, AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (matrix) {
        uint8_t *copy = av_stream_new_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, size);
        result = copy ? 0 : AVERROR(ENOMEM);
        if (!copy) goto fail;
        memcpy(copy, matrix, size);
    }
    result = memory_open(&context->pb, 1 << 16);
    if (result < 0) goto fail;
    context->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED; // times below zero are what an edit list hides
    av_dict_set_int(&options, "video_track_timescale", timescale, 0);
    av_dict_set(&options, "use_editlist", "1", 0);
    result = avformat_write_header(context, &options);
    av_dict_free(&options);
    if (result < 0) goto fail;
    *out = context;
    return 0;
fail:
    output_close(&context, NULL);
    return result;
}

// output_close frees the context; its bytes so far go to data (free with av_free), or nowhere when data is NULL.
int output_close(AVFormatContext **context, uint8_t **data) {
    uint8_t *bytes = NULL;
    int size = 0;
    if ((*context)->pb) size = memory_close((*context)->pb, &bytes);
    (*context)->pb = NULL;
    avformat_free_context(*context);
    *context = NULL;
    if (data) *data = bytes;
    else av_free(bytes);
    return size;
}
