/* SPDX-License-Identifier: MIT */
/* JPEG 2000 without loss, by OpenJPEG: the 5/3 wavelet, and the reversible colour transform where
 * the colours are RGB (PS3.5 8.2.4). */
#include <openjpeg.h>
#include <string.h>

#include "dicom/codec_encoders.h"
#include "dicom/codec_guard.h"

enum { MAX_RESOLUTIONS = 6 };

/* Where OpenJPEG writes to: it goes back to fill in lengths. */
struct sink {
    struct buffer *out;
    size_t start;
    size_t position; /* behind the start */
};

static OPJ_SIZE_T sink_write(void *data, OPJ_SIZE_T size, void *context)
{
    struct sink *sink = context;
    size_t at = sink->start + sink->position;
    if (at + size > sink->out->size) {
        size_t more = at + size - sink->out->size;
        struct space space = buffer_reserve(sink->out, more);
        if (!space.data)
            return (OPJ_SIZE_T)-1;
        buffer_advance(sink->out, more);
    }
    memcpy(sink->out->data + at, data, size);
    sink->position += size;
    return size;
}

static OPJ_BOOL sink_seek(OPJ_OFF_T position, void *context)
{
    struct sink *sink = context;
    if (position < 0 || (size_t)position > sink->out->size - sink->start)
        return OPJ_FALSE;
    sink->position = (size_t)position;
    return OPJ_TRUE;
}

static OPJ_OFF_T sink_skip(OPJ_OFF_T count, void *context)
{
    struct sink *sink = context;
    return sink_seek((OPJ_OFF_T)sink->position + count, sink) ? count : -1;
}

static opj_stream_t *open_stream(struct sink *sink)
{
    opj_stream_t *stream = opj_stream_default_create(OPJ_FALSE);
    if (!stream)
        return NULL;
    opj_stream_set_user_data(stream, sink, NULL);
    opj_stream_set_write_function(stream, sink_write);
    opj_stream_set_seek_function(stream, sink_seek);
    opj_stream_set_skip_function(stream, sink_skip);
    return stream;
}

static opj_image_t *make_image(const struct pixel_format *format, unsigned precision,
                               struct slice native)
{
    unsigned components = format->samples_per_pixel;
    opj_image_cmptparm_t parameters[3] = { 0 };
    for (unsigned i = 0; i < components; i++)
        parameters[i] = (opj_image_cmptparm_t){ .dx = 1,
                                                .dy = 1,
                                                .w = format->columns,
                                                .h = format->rows,
                                                .prec = precision,
                                                .sgnd = format->pixel_representation };
    opj_image_t *image = opj_image_create(components, parameters,
                                          components == 3 ? OPJ_CLRSPC_SRGB : OPJ_CLRSPC_GRAY);
    if (!image)
        return NULL;
    image->x1 = format->columns;
    image->y1 = format->rows;
    size_t bytes = format->bits_allocated / 8u;
    size_t pixels = (size_t)format->rows * format->columns;
    for (unsigned i = 0; i < components; i++) {
        const uint8_t *at = native.data + i * bytes;
        for (size_t pixel = 0; pixel < pixels; pixel++, at += bytes * components)
            image->comps[i].data[pixel] = sample_get(format, at);
    }
    return image;
}

static int resolutions_of(const struct pixel_format *format)
{
    uint32_t side = format->rows < format->columns ? format->rows : format->columns;
    int count = 1;
    while (count < MAX_RESOLUTIONS && side >> count)
        count++;
    return count;
}

struct job {
    opj_cparameters_t parameters;
    opj_codec_t *codec;
    opj_stream_t *stream;
    opj_image_t *image;
    bool encoded;
};

static void encode(void *context)
{
    struct job *job = context;
    job->encoded = opj_setup_encoder(job->codec, &job->parameters, job->image) &&
                   opj_start_compress(job->codec, job->image, job->stream) &&
                   opj_encode(job->codec, job->stream) && opj_end_compress(job->codec, job->stream);
}

bool codec_jpeg2000_encode(const struct pixel_format *format, unsigned precision,
                           struct slice native, struct buffer *out, struct error *err)
{
    struct sink sink = { out, out->size, 0 };
    struct job job = { .codec = opj_create_compress(OPJ_CODEC_J2K),
                       .stream = open_stream(&sink),
                       .image = make_image(format, precision, native) };
    opj_set_default_encoder_parameters(&job.parameters);
    job.parameters.tcp_numlayers = 1;
    job.parameters.cp_disto_alloc = 1;
    job.parameters.numresolution = resolutions_of(format);
    job.parameters.tcp_mct = strcmp(format->photometric_interpretation, "RGB") == 0;
    bool ok = job.codec && job.stream && job.image && guard_run(encode, &job) && job.encoded;
    opj_image_destroy(job.image);
    if (job.stream)
        opj_stream_destroy(job.stream);
    if (job.codec)
        opj_destroy_codec(job.codec);
    if (out->overflowed)
        return buffer_check(out, "JPEG 2000 frame", err);
    return ok || error_set(err, ERROR_UNSUPPORTED, "pixels cannot be written as JPEG 2000");
}
