/* SPDX-License-Identifier: MIT */
/* OpenJPEG for HTJ2K too: OpenJPH decodes it twice as fast, but in C++, where the guard against
 * assertions cannot help. */
#include "dicom/codec_decoders.h"

#include <string.h>

#include <openjpeg.h>

#include "dicom/codec_guard.h"

/* Where OpenJPEG reads from. */
struct source {
    struct slice bytes;
    size_t position;
};

static OPJ_SIZE_T source_read(void *data, OPJ_SIZE_T size, void *context)
{
    struct source *source = context;
    size_t left = source->bytes.size - source->position;
    if (!left)
        return (OPJ_SIZE_T)-1;
    if (size > left)
        size = left;
    memcpy(data, source->bytes.data + source->position, size);
    source->position += size;
    return size;
}

static OPJ_OFF_T source_skip(OPJ_OFF_T count, void *context)
{
    struct source *source = context;
    size_t left = source->bytes.size - source->position;
    if (count < 0 || (OPJ_SIZE_T)count > left)
        return -1;
    source->position += (size_t)count;
    return count;
}

static OPJ_BOOL source_seek(OPJ_OFF_T position, void *context)
{
    struct source *source = context;
    if (position < 0 || (OPJ_SIZE_T)position > source->bytes.size)
        return OPJ_FALSE;
    source->position = (size_t)position;
    return OPJ_TRUE;
}

static opj_stream_t *open_stream(struct source *source)
{
    opj_stream_t *stream = opj_stream_default_create(OPJ_TRUE);
    if (!stream)
        return NULL;
    opj_stream_set_user_data(stream, source, NULL);
    opj_stream_set_user_data_length(stream, source->bytes.size);
    opj_stream_set_read_function(stream, source_read);
    opj_stream_set_skip_function(stream, source_skip);
    opj_stream_set_seek_function(stream, source_seek);
    return stream;
}

static bool is_as_announced(const opj_image_t *image, const struct stream_header *header)
{
    if (image->numcomps != header->components)
        return false;
    for (unsigned i = 0; i < image->numcomps; i++) {
        const opj_image_comp_t *component = &image->comps[i];
        if (!component->data || component->w != header->columns || component->h != header->rows ||
            component->prec != header->precision)
            return false;
    }
    return true;
}

static void copy_samples(const opj_image_t *image, const struct pixel_format *format,
                         struct space out)
{
    size_t pixels = (size_t)format->rows * format->columns;
    unsigned bits = format->bits_allocated;
    unsigned bytes = bits / 8;
    for (unsigned i = 0; i < image->numcomps; i++) {
        const opj_image_comp_t *component = &image->comps[i];
        uint8_t *at = out.data + (size_t)i * bytes;
        for (size_t pixel = 0; pixel < pixels; pixel++, at += (size_t)bytes * image->numcomps)
            sample_put(at, bits, sample_of(component->data[pixel], component->prec, format));
    }
}

/* One decoding: all that is to be released, also when an assertion ends it. */
struct job {
    opj_codec_t *codec;
    opj_stream_t *stream;
    opj_image_t *image;
    bool decoded;
};

static void decode(void *context)
{
    struct job *job = context;
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    job->decoded = opj_setup_decoder(job->codec, &parameters) &&
                   opj_decoder_set_strict_mode(job->codec, OPJ_TRUE) &&
                   opj_read_header(job->stream, job->codec, &job->image) &&
                   opj_decode(job->codec, job->stream, job->image);
}

static void release(struct job *job)
{
    opj_image_destroy(job->image);
    if (job->stream)
        opj_stream_destroy(job->stream);
    if (job->codec)
        opj_destroy_codec(job->codec);
}

static bool decode_codestream(struct slice codestream, const struct stream_header *header,
                              const struct pixel_format *format, struct space out,
                              struct error *err)
{
    struct source source = { codestream, 0 };
    struct job job = { .codec = opj_create_decompress(OPJ_CODEC_J2K),
                       .stream = open_stream(&source) };
    bool ok = job.codec && job.stream && guard_run(decode, &job) && job.decoded &&
              is_as_announced(job.image, header);
    if (ok)
        copy_samples(job.image, format, out);
    release(&job);
    return ok || error_set(err, ERROR_INVALID, "JPEG 2000 codestream cannot be decoded");
}

bool codec_jpeg2000_decode(const char *uid, struct pixel_format *format, struct slice encoded,
                           struct space out, struct error *err)
{
    struct stream_header header;
    struct slice codestream;
    (void)uid;
    if (!jpeg2000_header_read(encoded, &codestream, &header, err) ||
        !stream_header_check(&header, format, err) ||
        !decode_codestream(codestream, &header, format, out, err))
        return false;
    /* The inverse of these transforms is part of decoding (PS3.5 8.2.4). */
    if (strcmp(format->photometric_interpretation, "YBR_RCT") == 0 ||
        strcmp(format->photometric_interpretation, "YBR_ICT") == 0)
        strcpy(format->photometric_interpretation, "RGB");
    return true;
}
