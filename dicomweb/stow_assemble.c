/* SPDX-License-Identifier: MIT */
/* An instance from its data set and the parts with its values: what stands between the places is
 * copied out of the spool, and so are the values. Images are taken as they are (PS3.18 10.5.4); of
 * the attributes that describe them, those that are missing are added. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/codec.h"
#include "dicom/encode.h"
#include "dicom/image_read.h"
#include "dicom/part10.h"
#include "dicom/video_probe.h"
#include "dicomweb/stow_model_parts.h"
#include "dicomweb/wado_pixels.h"

enum {
    COPY_SIZE = 256 << 10,
    ADDED_SIZE = 1024,
    MAX_PICTURE = 64 << 20, /* bytes of a file that is decoded */
};

/* The pixels of the instance, when they are an image. */
struct image {
    bool encapsulated;
    bool decoded; /* to native pixels */
    struct image_probe probe;
    struct model_part *parts; /* one for each frame; of video one for all */
    size_t count;
    size_t frames;
    struct buffer pixels; /* when decoded */
    uint64_t memory;      /* of the decoding budget, for these */
};

struct assembly {
    struct stow_model *model;
    const struct model_instance *instance;
    struct image image;
    struct ingest *ingest;
    uint64_t position; /* in the data set */
    uint64_t written;
};

static bool put(struct assembly *assembly, struct slice bytes, struct error *err)
{
    assembly->written += bytes.size;
    return ingest_write(assembly->ingest, bytes, err);
}

/* Bytes of the spool, straight into the memory that the blob is written from. */
static bool copy(struct assembly *assembly, uint64_t offset, uint64_t size, struct error *err)
{
    assembly->written += size;
    while (size) {
        struct space space;
        if (!ingest_space(assembly->ingest, size < COPY_SIZE ? (size_t)size : COPY_SIZE, &space,
                          err) ||
            !spool_read(assembly->model->spool, offset, space, err) ||
            !ingest_advance(assembly->ingest, space.size, err))
            return false;
        offset += space.size;
        size -= space.size;
    }
    return true;
}

static bool copy_up_to(struct assembly *assembly, uint64_t position, struct error *err)
{
    uint64_t begin = assembly->position;
    assembly->position = position;
    return copy(assembly, assembly->instance->offset + begin, position - begin, err);
}

/* Images. */

/* The head of every frame must be of one size and one transfer syntax. */
static bool probe_part(struct assembly *assembly, const struct model_part *part,
                       struct image_probe *probe, struct error *err)
{
    size_t size = part->size < IMAGE_PROBE_SIZE ? (size_t)part->size : IMAGE_PROBE_SIZE;
    uint8_t *head = mem_alloc(size ? size : 1);
    const char *asked = part->transfer_syntax[0] ? part->transfer_syntax
                                                 : assembly->instance->transfer_syntax;
    bool ok = spool_read(assembly->model->spool, part->offset, (struct space){ head, size }, err) &&
              image_probe(part->media_type, asked, slice_of(head, size), part->size, probe, err);
    free(head);
    return ok;
}

static bool read_spooled(void *context, uint64_t offset, struct space space, struct error *err)
{
    const struct assembly *assembly = context;
    return spool_read(assembly->model->spool, assembly->image.parts[0].offset + offset, space, err);
}

/* MP4 files have their tables anywhere. */
static bool probe_video(struct assembly *assembly, struct error *err)
{
    struct image *image = &assembly->image;
    const struct model_part *part = &image->parts[0];
    const struct value_source source = { read_spooled, assembly };
    const char *asked = part->transfer_syntax[0] ? part->transfer_syntax
                                                 : assembly->instance->transfer_syntax;
    return !image->probe.is_video || strcmp(part->media_type, "video/mp4") != 0 ||
           video_probe(asked, &source, part->size, &image->probe, err);
}

static bool is_alike(const struct image_probe *a, const struct image_probe *b)
{
    return a->syntax == b->syntax && a->rows == b->rows && a->columns == b->columns &&
           a->samples == b->samples && a->precision == b->precision && !a->is_video;
}

static bool read_image(struct assembly *assembly, struct error *err)
{
    struct image *image = &assembly->image;
    if (!probe_part(assembly, &image->parts[0], &image->probe, err) || !probe_video(assembly, err))
        return false;
    for (size_t i = 1; i < image->count; i++) {
        struct image_probe probe;
        if (!probe_part(assembly, &image->parts[i], &probe, err))
            return false;
        if (!is_alike(&image->probe, &probe))
            return error_set(err, ERROR_INVALID, "the frames are not alike");
    }
    image->encapsulated = true;
    image->frames = image->probe.is_video ? image->probe.frames : image->count;
    return true;
}

/* GIF and PNG have no transfer syntax: they become native pixels (10.5.4). */
static bool is_picture(const struct model_part *part)
{
    return !strcmp(part->media_type, "image/png") || !strcmp(part->media_type, "image/gif");
}

static bool take_picture(struct assembly *assembly, const struct image_pixels *pixels,
                         struct error *err)
{
    struct image *image = &assembly->image;
    struct image_probe *probe = &image->probe;
    if (image->frames && (probe->rows != pixels->rows || probe->columns != pixels->columns ||
                          probe->samples != pixels->samples || probe->precision != pixels->bits))
        return error_set(err, ERROR_INVALID, "the frames are not alike");
    probe->has_size = true;
    probe->rows = pixels->rows;
    probe->columns = pixels->columns;
    probe->samples = pixels->samples;
    probe->precision = pixels->bits;
    probe->photometric_interpretation = pixels->samples == 1 ? "MONOCHROME2" : "RGB";
    image->frames += pixels->frames;
    return true;
}

static bool decode_picture(struct assembly *assembly, const struct model_part *part,
                           struct error *err)
{
    struct image_pixels pixels;
    if (part->size > MAX_PICTURE)
        return error_set(err, ERROR_LIMIT, "a picture is too large");
    uint8_t *file = mem_alloc(part->size ? (size_t)part->size : 1);
    struct slice bytes = slice_of(file, (size_t)part->size);
    bool ok = spool_read(assembly->model->spool, part->offset,
                         (struct space){ file, (size_t)part->size }, err) &&
              (!strcmp(part->media_type, "image/png")
                   ? image_read_png(bytes, &pixels, &assembly->image.pixels, err)
                   : image_read_gif(bytes, &pixels, &assembly->image.pixels, err)) &&
              take_picture(assembly, &pixels, err);
    free(file);
    return ok;
}

static bool read_pictures(struct assembly *assembly, struct error *err)
{
    struct image *image = &assembly->image;
    image->decoded = true;
    image->pixels = buffer_up_to(IMAGE_READ_LIMIT);
    if (!decode_budget_take(assembly->model->dicomweb->decoding, IMAGE_READ_LIMIT + MAX_PICTURE,
                            PIXELS_MEMORY_WAIT_MS, &image->memory, err))
        return false;
    for (size_t i = 0; i < image->count; i++)
        if (!decode_picture(assembly, &image->parts[i], err))
            return false;
    return true;
}

/* What the image says of an attribute; 0: nothing. */
static uint32_t said(const struct image *image, enum model_pixel_attribute attribute)
{
    const struct image_probe *probe = &image->probe;
    uint32_t allocated = probe->precision > 8 ? 16 : 8;
    switch (attribute) {
    case PIXEL_SAMPLES_PER_PIXEL:
        return probe->samples;
    case PIXEL_NUMBER_OF_FRAMES:
        return image->frames > 1 || probe->is_video ? (uint32_t)image->frames : 0;
    case PIXEL_ROWS:
        return probe->rows;
    case PIXEL_COLUMNS:
        return probe->columns;
    case PIXEL_BITS_ALLOCATED:
        return probe->precision ? allocated : 0;
    case PIXEL_BITS_STORED:
        return probe->precision;
    case PIXEL_HIGH_BIT:
        return probe->precision ? probe->precision - 1u : 0;
    default:
        return 0;
    }
}

static bool clash(enum model_pixel_attribute attribute, struct error *err)
{
    uint32_t tag = model_pixel_tag(attribute);
    return error_set_tag(err, ERROR_INVALID, tag, "(%04X,%04X) is not that of the image", tag >> 16,
                         tag & 0xFFFF);
}

/* What is stated must be true (10.5.4). Bits may be fewer than are allocated. */
static bool check_stated(const struct assembly *assembly, struct error *err)
{
    static const enum model_pixel_attribute exact[] = { PIXEL_SAMPLES_PER_PIXEL, PIXEL_ROWS,
                                                        PIXEL_COLUMNS };
    const struct model_pixels *pixels = assembly->instance->pixels;
    const struct image *image = &assembly->image;
    for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
        uint32_t is = said(image, exact[i]);
        if (is && pixels->attributes[exact[i]].present && pixels->attributes[exact[i]].number != is)
            return clash(exact[i], err);
    }
    if (pixels->attributes[PIXEL_BITS_ALLOCATED].present &&
        pixels->attributes[PIXEL_BITS_ALLOCATED].number < image->probe.precision)
        return clash(PIXEL_BITS_ALLOCATED, err);
    bool grey = !strncmp(pixels->photometric_interpretation, "MONOCHROME", 10) ||
                !strncmp(pixels->photometric_interpretation, "PALETTE", 7);
    if (pixels->photometric_interpretation[0] && image->probe.samples &&
        grey != (image->probe.samples == 1))
        return clash(PIXEL_PHOTOMETRIC_INTERPRETATION, err);
    if (pixels->attributes[PIXEL_NUMBER_OF_FRAMES].present && !image->probe.is_video &&
        pixels->attributes[PIXEL_NUMBER_OF_FRAMES].number != image->frames)
        return clash(PIXEL_NUMBER_OF_FRAMES, err);
    return true;
}

static void encode_attribute(const struct image *image, enum model_pixel_attribute attribute,
                             struct encoder *encoder)
{
    uint32_t tag = model_pixel_tag(attribute);
    uint32_t number = said(image, attribute);
    const struct image_probe *probe = &image->probe;
    if (attribute == PIXEL_PHOTOMETRIC_INTERPRETATION && probe->photometric_interpretation)
        encode_text(encoder, tag, VR_CS, probe->photometric_interpretation);
    else if (attribute == PIXEL_NUMBER_OF_FRAMES && number)
        encode_integer(encoder, tag, number);
    else if (attribute == PIXEL_REPRESENTATION && probe->precision)
        encode_u16(encoder, tag, probe->is_signed);
    else if (attribute == PIXEL_PLANAR_CONFIGURATION && probe->samples > 1)
        encode_u16(encoder, tag, 0);
    else if (number)
        encode_u16(encoder, tag, (uint16_t)number);
}

/* What is missing of the attributes, up to `position` in the data set; what stands there without a
 * value gives way. */
static bool add_missing(struct assembly *assembly, enum model_pixel_attribute *next,
                        uint64_t position, struct error *err)
{
    const struct model_pixels *pixels = assembly->instance->pixels;
    struct buffer added = buffer_up_to(ADDED_SIZE);
    struct encoder encoder = { &added, true };
    bool ok = true;
    for (; ok && *next < PIXEL_ATTRIBUTE_COUNT && pixels->attributes[*next].place < position;
         ++*next) {
        buffer_clear(&added);
        if (!pixels->attributes[*next].present)
            encode_attribute(&assembly->image, *next, &encoder);
        if (!added.size)
            continue;
        ok = copy_up_to(assembly, pixels->attributes[*next].place, err) &&
             put(assembly, buffer_slice(&added), err);
        assembly->position += pixels->attributes[*next].size;
    }
    buffer_release(&added);
    return ok;
}

/* Values. */

static bool put_head(struct assembly *assembly, uint16_t vr, uint32_t length, struct error *err)
{
    uint8_t head[8] = { (uint8_t)(vr >> 8), (uint8_t)vr };
    if (!vr_has_long_form(vr)) {
        put_u16le(head + 2, (uint16_t)length);
        return put(assembly, slice_of(head, 4), err);
    }
    put_u32le(head + 4, length);
    return put(assembly, slice_of(head, sizeof(head)), err);
}

static bool put_padding(struct assembly *assembly, uint64_t size, uint8_t padding,
                        struct error *err)
{
    return size % 2 == 0 || put(assembly, slice_of(&padding, 1), err);
}

static bool put_item(struct assembly *assembly, uint32_t tag, uint32_t length, struct error *err)
{
    uint8_t item[8];
    put_u16le(item, (uint16_t)(tag >> 16));
    put_u16le(item + 2, (uint16_t)tag);
    put_u32le(item + 4, length);
    return put(assembly, slice_of(item, sizeof(item)), err);
}

/* PS3.5 A.4: an empty Basic Offset Table, and a fragment for each frame. */
static bool put_frames(struct assembly *assembly, struct error *err)
{
    const struct image *image = &assembly->image;
    if (!put_head(assembly, VR_OB, LENGTH_UNDEFINED, err) || !put_item(assembly, TAG_ITEM, 0, err))
        return false;
    for (size_t i = 0; i < image->count; i++) {
        struct image_probe probe;
        if (!probe_part(assembly, &image->parts[i], &probe, err))
            return false;
        if (probe.size > LENGTH_UNDEFINED - 2)
            return error_set(err, ERROR_LIMIT, "a frame is too large for a fragment");
        if (!put_item(assembly, TAG_ITEM, (uint32_t)(probe.size + probe.size % 2), err) ||
            !copy(assembly, image->parts[i].offset + probe.offset, probe.size, err) ||
            !put_padding(assembly, probe.size, 0, err))
            return false;
    }
    return put_item(assembly, TAG_SEQUENCE_DELIMITER, 0, err);
}

/* Pixels as a picture file gave them. */
static bool put_pixels(struct assembly *assembly, struct error *err)
{
    struct slice pixels = buffer_slice(&assembly->image.pixels);
    uint16_t vr = assembly->image.probe.precision > 8 ? VR_OW : VR_OB;
    return put_head(assembly, vr, (uint32_t)(pixels.size + pixels.size % 2), err) &&
           put(assembly, pixels, err) && put_padding(assembly, pixels.size, 0, err);
}

static bool put_value(struct assembly *assembly, const struct model_place *place, struct error *err)
{
    enum { SHORT_FORM_MAX = 0xFFFE };
    size_t count;
    const struct model_part *part = stow_model_find(assembly->model, place->uri, &count);
    if (count != 1)
        return error_set_tag(err, ERROR_NOT_FOUND, place->tag, "(%04X,%04X): %s", place->tag >> 16,
                             place->tag & 0xFFFF,
                             count ? "several parts have its URI" : "no part has its URI");
    if (strcmp(part->media_type, "application/octet-stream") != 0)
        return error_set_tag(err, ERROR_INVALID, place->tag,
                             "(%04X,%04X): bulk data is application/octet-stream", place->tag >> 16,
                             place->tag & 0xFFFF);
    if (part->size > LENGTH_UNDEFINED - 2)
        return error_set_tag(err, ERROR_LIMIT, place->tag, "(%04X,%04X) is too large for a value",
                             place->tag >> 16, place->tag & 0xFFFF);
    uint16_t vr = place->vr;
    if (part->size > SHORT_FORM_MAX && !vr_has_long_form(vr))
        vr = VR_UN;
    return put_head(assembly, vr, (uint32_t)(part->size + part->size % 2), err) &&
           copy(assembly, part->offset, part->size, err) &&
           put_padding(assembly, part->size, vr_padding(vr), err);
}

static bool put_dataset(struct assembly *assembly, struct error *err)
{
    const struct model_instance *instance = assembly->instance;
    const struct image *image = &assembly->image;
    enum model_pixel_attribute next = image->encapsulated || image->decoded
                                          ? (enum model_pixel_attribute)0
                                          : PIXEL_ATTRIBUTE_COUNT;
    for (size_t i = 0; i < instance->reference_count; i++) {
        const struct model_place *place = &assembly->model->places[instance->first_reference + i];
        bool pixels = place->tag == TAG_PIXEL_DATA && !place->nested;
        /* Its tag stands before the place. */
        if (!add_missing(assembly, &next, place->offset - 3, err) ||
            !copy_up_to(assembly, place->offset, err))
            return false;
        bool ok = pixels && image->encapsulated ? put_frames(assembly, err)
                  : pixels && image->decoded    ? put_pixels(assembly, err)
                                                : put_value(assembly, place, err);
        if (!ok)
            return false;
    }
    return copy_up_to(assembly, instance->size, err);
}

/* The instance. */

static bool put_meta(struct assembly *assembly, struct error *err)
{
    struct buffer bytes = buffer_up_to(PART10_META_LIMIT);
    struct file_meta meta = { 0 };
    memcpy(meta.sop_class, assembly->instance->identity.sop_class, UID_SIZE);
    memcpy(meta.sop_instance, assembly->instance->identity.instance, UID_SIZE);
    snprintf(meta.transfer_syntax, UID_SIZE, "%s",
             assembly->image.encapsulated ? assembly->image.probe.syntax->uid
                                          : UID_EXPLICIT_LITTLE_ENDIAN);
    file_meta_write(&meta, &bytes);
    bool ok = put(assembly, buffer_slice(&bytes), err);
    buffer_release(&bytes);
    return ok;
}

/* All parts that will be copied; an instance that asks for too many of them again costs the others
 * nothing. */
static bool take_parts(struct assembly *assembly, struct error *err)
{
    const struct model_instance *instance = assembly->instance;
    struct stow_model *model = assembly->model;
    uint64_t repeated = model->repeated;
    for (size_t i = 0; i < instance->reference_count; i++) {
        const struct model_place *place = &model->places[instance->first_reference + i];
        size_t count;
        struct model_part *parts = stow_model_find(model, place->uri, &count);
        bool frames = place->tag == TAG_PIXEL_DATA && !place->nested;
        for (size_t k = 0; k < count && (frames || count == 1); k++)
            if (!stow_model_take(model, &parts[k], err)) {
                model->repeated = repeated;
                return false;
            }
    }
    return true;
}

/* Pixel data that come as an image. */
static bool find_image(struct assembly *assembly, struct error *err)
{
    const struct model_instance *instance = assembly->instance;
    for (size_t i = 0; i < instance->reference_count; i++) {
        const struct model_place *place = &assembly->model->places[instance->first_reference + i];
        if (place->tag != TAG_PIXEL_DATA || place->nested)
            continue;
        struct image *image = &assembly->image;
        image->parts = stow_model_find(assembly->model, place->uri, &image->count);
        if (!image->count || !strcmp(image->parts[0].media_type, "application/octet-stream"))
            return true;
        return (is_picture(&image->parts[0]) ? read_pictures(assembly, err)
                                             : read_image(assembly, err)) &&
               check_stated(assembly, err);
    }
    return true;
}

bool stow_assemble(struct stow_model *model, const struct model_instance *instance,
                   struct ingest **out, uint64_t *size, struct error *err)
{
    struct assembly assembly = { .model = model, .instance = instance };
    const struct ingest_options options = { .part10 = true,
                                            .study = model->study[0] ? model->study : NULL };
    if (!instance->identity.instance[0])
        return error_set(err, ERROR_INVALID, "SOP Class UID or SOP Instance UID is missing");
    bool ok = take_parts(&assembly, err) && find_image(&assembly, err) &&
              ingest_open(model->dicomweb->archive, &options, &assembly.ingest, err);
    *out = assembly.ingest;
    ok = ok && put_meta(&assembly, err) && put_dataset(&assembly, err);
    *size = assembly.written;
    buffer_release(&assembly.image.pixels);
    decode_budget_give_back(model->dicomweb->decoding, assembly.image.memory);
    return ok;
}
