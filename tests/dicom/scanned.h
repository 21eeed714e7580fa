/* SPDX-License-Identifier: MIT */
#pragma once
/* What the tests of data sets share: a data set from literal bytes, scanned whole and byte by byte.
 */

#include "dicom/dataset.h"
#include "dicom/encode.h"
#include "dicom/frames.h"
#include "dicom/scan.h"
#include "tests/test.h"

/* The bytes of a literal, without its NUL. */
#define BYTES(literal) slice_of(literal, sizeof(literal) - 1)

static inline const struct transfer_syntax *syntax_of(const char *uid)
{
    return transfer_syntax_or_private(slice_text(uid));
}

#define IMPLICIT          syntax_of(UID_IMPLICIT_LITTLE_ENDIAN)
#define EXPLICIT          syntax_of(UID_EXPLICIT_LITTLE_ENDIAN)
#define BIG_ENDIAN_SYNTAX syntax_of(UID_EXPLICIT_BIG_ENDIAN)
#define DEFLATED          syntax_of(UID_DEFLATED_EXPLICIT)
#define JPEG              syntax_of(UID_JPEG_BASELINE)

static inline bool scan_pieces(struct scan *scan, struct slice bytes, size_t piece,
                               struct error *err)
{
    for (; bytes.size; bytes = slice_skip(bytes, piece))
        if (!scan_write(scan, slice_take(bytes, piece), err))
            return false;
    return scan_finish(scan, err);
}

/* Scans whole, and checks that every cut gives the same. NULL and *err when it is refused. */
static inline struct scan *scanned(struct slice bytes, const struct transfer_syntax *syntax,
                                   const struct scan_limits *limits, struct error *err)
{
    static const size_t pieces[] = { 1, 2, 3, 7, 13, 64, 4096 };
    struct error cut_err = { .code = ERROR_NONE };
    *err = cut_err;
    struct scan *whole = scan_new(syntax, limits);
    bool ok = scan_write(whole, bytes, err) && scan_finish(whole, err);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct scan *cut = scan_new(syntax, limits);
        CHECK(scan_pieces(cut, bytes, pieces[i], &cut_err) == ok);
        CHECK_INT(cut_err.code, err->code);
        CHECK_INT(cut_err.tag, err->tag);
        CHECK_TEXT(cut_err.message, err->message);
        if (ok) {
            size_t count, cut_count;
            const struct elision *elisions = scan_elisions(whole, &count);
            const struct elision *cut_elisions = scan_elisions(cut, &cut_count);
            const struct pixel_data *pixels = scan_pixel_data(whole);
            const struct pixel_data *cut_pixels = scan_pixel_data(cut);
            CHECK(slice_equal(scan_header(cut), scan_header(whole)));
            CHECK_INT(scan_size(cut), scan_size(whole));
            CHECK_INT(cut_count, count);
            for (size_t k = 0; k < count; k++) {
                CHECK_INT(cut_elisions[k].offset, elisions[k].offset);
                CHECK_INT(cut_elisions[k].size, elisions[k].size);
            }
            CHECK_INT(cut_pixels->offset, pixels->offset);
            CHECK_INT(cut_pixels->size, pixels->size);
            CHECK_INT(cut_pixels->fragment_count, pixels->fragment_count);
            CHECK(slice_equal(cut_pixels->basic_offset_table, pixels->basic_offset_table));
            for (size_t k = 0; k < pixels->fragment_count; k++) {
                CHECK_INT(cut_pixels->fragments[k].offset, pixels->fragments[k].offset);
                CHECK_INT(cut_pixels->fragments[k].size, pixels->fragments[k].size);
                CHECK_INT(cut_pixels->fragments[k].head, pixels->fragments[k].head);
            }
        }
        scan_free(cut);
    }
    if (!ok) {
        scan_free(whole);
        return NULL;
    }
    return whole;
}

/* Checks that the data set is refused with this code and tag. */
static inline void check_refused(struct slice bytes, const struct transfer_syntax *syntax,
                                 enum error_code code, uint32_t tag)
{
    struct error err;
    struct scan *scan = scanned(bytes, syntax, NULL, &err);
    CHECK(!scan);
    CHECK_INT(err.code, code);
    CHECK_INT(err.tag, tag);
}

/* The data set of a scan's header. */
static inline struct dataset *opened(const struct scan *scan, const struct transfer_syntax *syntax)
{
    struct error err;
    struct dataset *dataset;
    size_t count;
    const struct elision *elisions = scan_elisions(scan, &count);
    CHECK_OK(dataset_open(scan_header(scan), syntax, elisions, count, &dataset, &err), err);
    return dataset;
}
