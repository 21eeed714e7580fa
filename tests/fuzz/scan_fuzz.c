/* SPDX-License-Identifier: MIT */
/* A data set behind one byte that chooses the transfer syntax. Scanned whole and in pieces, which
 * must agree; what passes must open, walk to its end, give its texts and frames, and copy into
 * something that passes again. */
#include <stdlib.h>

#include "dicom/dataset.h"
#include "dicom/encode.h"
#include "dicom/frames.h"
#include "dicom/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const syntaxes[] = {
    UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_BIG_ENDIAN,
    UID_DEFLATED_EXPLICIT,      UID_JPEG_BASELINE,          UID_RLE_LOSSLESS,
};
static const struct scan_limits small_limits = {
    .header_size = 1 << 20,
    .value_size = 64,
    .elements = 20000,
    .fragments = 10000,
    .inflated_size = 1 << 20,
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct scan *scan_in_pieces(struct slice bytes, const struct transfer_syntax *syntax,
                                   size_t piece)
{
    struct error err;
    struct scan *scan = scan_new(syntax, &small_limits);
    bool ok = true;
    for (; ok && bytes.size; bytes = slice_skip(bytes, piece))
        ok = scan_write(scan, slice_take(bytes, piece), &err);
    if (ok && scan_finish(scan, &err))
        return scan;
    scan_free(scan);
    return NULL;
}

static void compare(const struct scan *a, const struct scan *b)
{
    size_t count, other_count;
    const struct elision *elisions = scan_elisions(a, &count);
    const struct elision *others = scan_elisions(b, &other_count);
    require(slice_equal(scan_header(a), scan_header(b)));
    require(scan_size(a) == scan_size(b) && count == other_count);
    for (size_t i = 0; i < count; i++)
        require(elisions[i].offset == others[i].offset && elisions[i].size == others[i].size);
    require(scan_pixel_data(a)->fragment_count == scan_pixel_data(b)->fragment_count);
    require(scan_pixel_data(a)->size == scan_pixel_data(b)->size);
}

static void read_all(const struct dataset *dataset)
{
    struct buffer text = buffer_up_to(4 << 20);
    struct element element;
    struct walk walk = dataset_walk(dataset);
    while (walk_next(&walk, &element) != WALK_END) {
        dataset_element_text(dataset, &element, &text);
        buffer_clear(&text);
    }
    require(!walk.broken);
    buffer_release(&text);
}

static void copy_all(const struct dataset *dataset)
{
    struct buffer copy = buffer_up_to(16 << 20);
    struct encoder encoder = { &copy, .explicit_vr = true };
    struct element element;
    struct walk walk = dataset_walk(dataset);
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (walk.depth + (event == WALK_SEQUENCE_END) > (event == WALK_SEQUENCE))
            continue;
        if (event != WALK_ELEMENT && event != WALK_SEQUENCE)
            continue;
        require(encode_copy(&encoder, dataset, element.tag));
        size_t items = dataset_item_count(dataset, element.tag);
        if (items)
            dataset_close(dataset_item(dataset, element.tag, items - 1));
    }
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    struct scan *scan = scan_new(syntax, NULL);
    struct error err;
    /* A tag that is there twice was copied twice, which only of pixel data does not pass again. */
    if (scan_write(scan, buffer_slice(&copy), &err))
        require(scan_finish(scan, &err));
    else
        require(err.tag >> 16 == TAG_PIXEL_DATA >> 16);
    scan_free(scan);
    buffer_release(&copy);
}

static void find_frames(const struct dataset *dataset, const struct scan *scan)
{
    struct buffer table = buffer_up_to(1 << 20);
    frame_table_build(dataset, scan_pixel_data(scan), slice_of(NULL, 0), slice_of(NULL, 0), &table);
    uint32_t count = frame_table_count(buffer_slice(&table));
    for (uint32_t number = 1; number <= count && number <= 100; number++) {
        struct buffer ranges = buffer_up_to(1 << 20);
        unsigned shift;
        struct error err;
        require(frame_table_find(buffer_slice(&table), number, &ranges, &shift, &err));
        for (size_t i = 0; i < ranges.size; i += sizeof(struct fragment64)) {
            struct fragment64 range;
            memcpy(&range, ranges.data + i, sizeof(range));
            require(range.offset + range.size <= scan_size(scan));
        }
        buffer_release(&ranges);
    }
    buffer_release(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(syntaxes[data[0] % (sizeof(syntaxes) / sizeof(syntaxes[0]))]));
    struct slice bytes = slice_of(data + 1, size - 1);
    struct scan *scan = scan_in_pieces(bytes, syntax, SIZE_MAX);
    static const size_t pieces[] = { 1, 5, 100 };
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct scan *cut = scan_in_pieces(bytes, syntax, pieces[i]);
        require((cut != NULL) == (scan != NULL));
        if (cut)
            compare(scan, cut);
        scan_free(cut);
    }
    if (scan) {
        size_t count;
        const struct elision *elisions = scan_elisions(scan, &count);
        struct dataset *dataset;
        struct error err;
        require(dataset_open(scan_header(scan), syntax, elisions, count, &dataset, &err));
        read_all(dataset);
        copy_all(dataset);
        find_frames(dataset, scan);
        dataset_close(dataset);
    }
    scan_free(scan);

    /* The reader is bounded by itself as well. */
    struct dataset *unscanned;
    struct error err;
    if (dataset_open(bytes, syntax, NULL, 0, &unscanned, &err)) {
        struct element element;
        struct walk walk = dataset_walk(unscanned);
        while (walk_next(&walk, &element) != WALK_END)
            ;
        dataset_close(unscanned);
    }
    return 0;
}
