/* SPDX-License-Identifier: MIT */
#pragma once
/* Where each frame lies (PS3.5 8.2, A.4; PS3.3 C.7.6.3). Computed once at ingest, kept in a compact
 * form. Trust, in this order: Extended Offset Table, Basic Offset Table, one fragment per frame,
 * scan of the fragments; a table that does not meet the fragments is not believed (DAT-07). */

#include "base/buffer.h"
#include "base/error.h"
#include "dicom/dataset.h"
#include "dicom/scan.h"
#include "dicom/value_source.h"

/* The table of an instance, ready to keep; empty for an object without frames. `header` is the
 * scanned header, `eot` and `eot_lengths` the values of (7FE0,0001) and (7FE0,0002), empty when
 * absent. Never fails: frames that cannot be told are not in the table. */
void frame_table_build(const struct dataset *header, const struct pixel_data *pixels,
                       struct slice eot, struct slice eot_lengths, struct buffer *table);

uint32_t frame_table_count(struct slice table);
bool frame_table_is_encapsulated(struct slice table);

/* The ranges of the data set that hold frame `number` (from 1), in order; for a native frame one
 * range. A native frame of 1-bit pixels may begin inside a byte: *bit_shift says at which bit.
 * Appends to `fragments` as an array of struct fragment64. ERROR_NOT_FOUND beyond the end;
 * ERROR_CORRUPT for a frame that is cut short. */
struct fragment64 {
    uint64_t offset;
    uint64_t size;
};
bool frame_table_find(struct slice table, uint32_t number, struct buffer *fragments,
                      unsigned *bit_shift, struct error *err);
/* Would the frame be found? Costs the same however many fragments it has. */
bool frame_table_check(struct slice table, uint32_t number, struct error *err);

/* Of an array of struct fragment64: the sum of their sizes; and their bytes, appended. ERROR_LIMIT
 * when those are more than `bytes` takes. */
uint64_t fragments_size(const struct buffer *fragments);
bool fragments_gather(const struct buffer *fragments, const struct value_source *source,
                      struct buffer *bytes, struct error *err);
