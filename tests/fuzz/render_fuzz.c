/* SPDX-License-Identifier: MIT */
/* Pictures of hostile images: the first bytes say what the pixels claim to be and what of the
 * picture is asked for, then come the attributes, each by its number in a list, a length and a
 * value; what is left are the pixels. Every picture that is drawn must have the bytes that its size
 * says, and be within the viewport. */
#include <stdlib.h>
#include <string.h>

#include "dicom/encode.h"
#include "dicom/image_file.h"
#include "dicom/render.h"
#include "dicom/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_HEADER = 4 << 20,
    MAX_VIEW = 1 << 20, /* pixels: time is better spent on other images */
    MAX_DEPTH = 8,
    REPEATS = 512, /* how often a value may stand one after the other */
};

static const char *const photometrics[] = {
    "MONOCHROME1", "MONOCHROME2",     "PALETTE COLOR", "RGB",
    "YBR_FULL",    "YBR_PARTIAL_422", "YBR_FULL_422",  "HSV",
};
static const uint16_t allocations[] = { 1, 8, 16, 32, 64, 0, 12, 16 };

enum { ITEM = 0xFFFEE000u, END = 0xFFFEE00Du };

static const struct {
    uint32_t tag;
    uint16_t vr;
} attributes[] = {
    { TAG_PIXEL_ASPECT_RATIO, VR_IS },
    { TAG_HIGH_BIT, VR_US },
    { TAG_PIXEL_PADDING_VALUE, VR_US },
    { TAG_PIXEL_PADDING_RANGE_LIMIT, VR_SS },
    { TAG_WINDOW_CENTER, VR_DS },
    { TAG_WINDOW_WIDTH, VR_DS },
    { TAG_RESCALE_INTERCEPT, VR_DS },
    { TAG_RESCALE_SLOPE, VR_DS },
    { TAG_VOI_LUT_FUNCTION, VR_CS },
    { TAG_RED_PALETTE_DESCRIPTOR, VR_US },
    { TAG_RED_PALETTE_DESCRIPTOR + 1, VR_US },
    { TAG_RED_PALETTE_DESCRIPTOR + 2, VR_SS },
    { TAG_RED_PALETTE_DATA, VR_OW },
    { TAG_RED_PALETTE_DATA + 1, VR_OW },
    { TAG_RED_PALETTE_DATA + 2, VR_OW },
    { TAG_SEGMENTED_RED_PALETTE_DATA, VR_OW },
    { TAG_SEGMENTED_RED_PALETTE_DATA + 1, VR_OW },
    { TAG_SEGMENTED_RED_PALETTE_DATA + 2, VR_OW },
    { TAG_LUT_DESCRIPTOR, VR_US },
    { TAG_LUT_DATA, VR_OW },
    { TAG_MODALITY_LUT_SEQUENCE, VR_SQ },
    { TAG_VOI_LUT_SEQUENCE, VR_SQ },
    { TAG_FRAME_VOI_LUT_SEQUENCE, VR_SQ },
    { TAG_PIXEL_VALUE_TRANSFORMATION_SEQUENCE, VR_SQ },
    { TAG_SHARED_FUNCTIONAL_GROUPS_SEQUENCE, VR_SQ },
    { TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, VR_SQ },
    { TAG_PRESENTATION_LUT_SHAPE, VR_CS },
    { TAG_FLOAT_PIXEL_DATA, VR_OF },
    { TAG_DOUBLE_FLOAT_PIXEL_DATA, VR_OD },
    { TAG_REPRESENTATIVE_FRAME_NUMBER, VR_US },
    { ITEM, 0 },
    { END, 0 },
};

struct reader {
    const uint8_t *data;
    size_t size;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static uint8_t take_byte(struct reader *reader)
{
    if (!reader->size)
        return 0;
    reader->size--;
    return *reader->data++;
}

static uint16_t take_word(struct reader *reader)
{
    uint16_t low = take_byte(reader);
    return (uint16_t)(low | take_byte(reader) << 8);
}

static struct slice take_bytes(struct reader *reader, size_t size)
{
    struct slice bytes = slice_of(reader->data, size < reader->size ? size : reader->size);
    reader->data += bytes.size;
    reader->size -= bytes.size;
    return bytes;
}

static double take_double(struct reader *reader)
{
    double value = 0;
    struct slice bytes = take_bytes(reader, sizeof(value));
    if (bytes.size)
        memcpy(&value, bytes.data, bytes.size);
    return value;
}

/* A value, repeated: long tables out of few bytes. */
static void write_value(struct encoder *encoder, struct reader *reader, uint32_t tag, uint16_t vr)
{
    struct buffer value = buffer_up_to(MAX_HEADER);
    size_t size = take_byte(reader);
    size_t times = size & 0x80 ? take_word(reader) % REPEATS + 1u : 1;
    struct slice bytes = take_bytes(reader, size & 0x7F);
    for (; times; times--)
        buffer_append(&value, bytes);
    encode_bytes(encoder, tag, vr, buffer_slice(&value));
    buffer_release(&value);
}

/* What is open, sequences and items in turn. */
static void write_header(struct reader *reader, struct buffer *header)
{
    enum { COUNT = sizeof(attributes) / sizeof(attributes[0]) };
    struct encoder encoder = { header, .explicit_vr = true };
    size_t depth = 0;
    for (unsigned left = take_byte(reader); left; left--) {
        unsigned choice = take_byte(reader) % COUNT;
        uint32_t tag = attributes[choice].tag;
        if (tag == ITEM && depth) { /* the next one of the sequence */
            encode_item_end(&encoder);
            encode_item_begin(&encoder);
        } else if (tag == END && depth) {
            encode_item_end(&encoder);
            encode_sequence_end(&encoder);
            depth--;
        } else if (attributes[choice].vr == VR_SQ && depth < MAX_DEPTH) {
            encode_sequence_begin(&encoder, tag);
            encode_item_begin(&encoder);
            depth++;
        } else if (attributes[choice].vr && attributes[choice].vr != VR_SQ) {
            write_value(&encoder, reader, tag, attributes[choice].vr);
        }
    }
    for (; depth; depth--) {
        encode_item_end(&encoder);
        encode_sequence_end(&encoder);
    }
}

struct wishes {
    struct pixel_format format;
    uint32_t frame;
    bool has_window;
    struct voi_window window;
    struct viewport viewport;
    bool png;
};

static struct wishes take_wishes(struct reader *reader)
{
    struct wishes wishes = { 0 };
    struct pixel_format *format = &wishes.format;
    uint8_t flags = take_byte(reader);
    uint8_t kind = take_byte(reader);
    format->rows = flags & 1 ? take_word(reader) : take_byte(reader);
    format->columns = flags & 2 ? take_word(reader) : take_byte(reader);
    format->samples_per_pixel = kind & 8 ? 3 : 1;
    format->bits_allocated = allocations[kind >> 4 & 7];
    format->bits_stored = take_byte(reader);
    format->pixel_representation = flags & 4 ? 1 : 0;
    format->planar_configuration = flags & 8 ? 1 : 0;
    strcpy(format->photometric_interpretation, photometrics[kind & 7]);
    wishes.frame = flags & 16 ? take_word(reader) + 1u : 1;
    wishes.png = kind & 128;
    wishes.has_window = flags & 32;
    if (wishes.has_window) {
        wishes.window.center = take_double(reader);
        wishes.window.width = take_double(reader);
        wishes.window.function = (enum voi_function)(take_byte(reader) % 3);
    }
    if (flags & 64) {
        wishes.viewport.width = take_word(reader);
        wishes.viewport.height = take_word(reader);
    }
    wishes.viewport.has_region = flags & 128;
    if (wishes.viewport.has_region) {
        wishes.viewport.left = take_double(reader);
        wishes.viewport.top = take_double(reader);
        wishes.viewport.region_width = take_double(reader);
        wishes.viewport.region_height = take_double(reader);
    }
    return wishes;
}

static bool read_memory(void *context, uint64_t offset, struct space space, struct error *err)
{
    const struct slice *bytes = context;
    (void)err;
    require(offset <= bytes->size && space.size <= bytes->size - offset);
    memcpy(space.data, bytes->data + offset, space.size);
    return true;
}

static void require_whole(const struct raster *raster)
{
    require(raster->samples == 1 || raster->samples == 3);
    require(raster->rows && raster->columns);
    require(raster->bytes.size == (size_t)raster->rows * raster->columns * raster->samples);
}

static void view(const struct wishes *wishes, const struct dataset *header,
                 const struct raster *raster)
{
    struct raster seen = { 0 };
    struct viewport viewport = wishes->viewport;
    struct buffer file = buffer_up_to(1 << 28);
    struct error err;
    /* Without limits the picture of one row may have 65535. */
    if (!viewport.width || viewport.width > 512)
        viewport.width = 512;
    if (!viewport.height || viewport.height > 512)
        viewport.height = 512;
    if (raster_view(raster, &viewport, render_pixel_height(header), &seen, &err)) {
        require_whole(&seen);
        require(seen.rows <= viewport.height && seen.columns <= viewport.width);
        require((uint64_t)seen.rows * seen.columns <=
                raster_view_pixels(raster->rows, raster->columns, &viewport,
                                   render_pixel_height(header)));
        if (wishes->png)
            image_write_png(&seen, slice_of(NULL, 0), &file, &err);
        else
            image_write_jpeg(&seen, 1 + (int)(wishes->frame % 100), slice_of(NULL, 0), &file, &err);
    }
    buffer_release(&file);
    raster_release(&seen);
}

static void draw(const struct wishes *wishes, struct slice bytes, const struct scan *scan,
                 struct slice pixels)
{
    const struct value_source source = { read_memory, &bytes };
    struct dataset *header;
    struct raster raster;
    struct error err;
    size_t count;
    const struct elision *elisions = scan_elisions(scan, &count);
    require(dataset_open(scan_header(scan),
                         transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), elisions,
                         count, &header, &err));
    uint32_t representative = render_representative_frame(header, wishes->frame);
    require(representative >= 1 && representative <= wishes->frame);
    const struct render_input input = {
        .header = header,
        .source = &source,
        .format = &wishes->format,
        .pixels = pixels,
        .frame = wishes->frame,
        .window = wishes->has_window ? &wishes->window : NULL,
    };
    if (render_frame(&input, &raster, &err)) {
        require_whole(&raster);
        if ((size_t)raster.rows * raster.columns <= MAX_VIEW)
            view(wishes, header, &raster);
    }
    raster_release(&raster);
    dataset_close(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct scan_limits limits = {
        .header_size = 4 << 20,
        .elements = 20000,
        .fragments = 10000,
        .inflated_size = 1 << 20,
        .value_size = 1 << 10, /* longer ones are read from the source */
    };
    struct reader reader = { data, size };
    struct buffer bytes = buffer_up_to(MAX_HEADER);
    struct error err;
    struct wishes wishes = take_wishes(&reader);
    write_header(&reader, &bytes);
    /* Pixels out of few bytes, too: the last 8 again and again. */
    struct buffer pixels = buffer_up_to(MAX_HEADER);
    buffer_append(&pixels, slice_of(reader.data, reader.size));
    while (reader.size >= 8 &&
           pixels.size < (size_t)wishes.format.rows * wishes.format.columns * 8 &&
           pixels.size < 1 << 16)
        buffer_append(&pixels, slice_of(reader.data + reader.size - 8, 8));
    struct scan *scan = scan_new(transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)),
                                 &limits);
    if (!bytes.overflowed && scan_write(scan, buffer_slice(&bytes), &err) &&
        scan_finish(scan, &err))
        draw(&wishes, buffer_slice(&bytes), scan, buffer_slice(&pixels));
    scan_free(scan);
    buffer_release(&pixels);
    buffer_release(&bytes);
    return 0;
}
