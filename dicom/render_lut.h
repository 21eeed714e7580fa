/* SPDX-License-Identifier: MIT */
#pragma once
/* Lookup tables of the standard: modality, VOI and palette (PS3.3 C.11.1.1, C.11.2.1.1,
 * C.7.6.3.1.5). By value; release them. */

#include "base/buffer.h"
#include "dicom/render.h"

struct lut {
    int32_t first;  /* the input that the first entry is for */
    uint32_t count; /* 1 to 65536 */
    unsigned bits;  /* of an entry, 8 to 16 */
    uint16_t *entries;
};

/* From a data set (an item of a LUT sequence, or the image itself for palettes). `is_signed`: the
 * descriptor's first input is. False without an error when it has none. */
bool lut_read(const struct dataset *dataset, uint32_t descriptor_tag, uint32_t data_tag,
              uint32_t segmented_tag, bool is_signed, const struct value_source *source,
              struct lut *lut, bool *found, struct error *err);
void lut_release(struct lut *lut);
/* That of the first item of a LUT sequence. NULL without an error when there is none; free it by
 * lut_free. */
bool lut_find(const struct dataset *place, uint32_t sequence_tag, const struct render_input *input,
              struct lut **out, struct error *err);
void lut_free(struct lut *lut);

static inline uint16_t lut_value(const struct lut *lut, int64_t input)
{
    int64_t index = input - lut->first;
    return lut->entries[index < 0 ? 0 : index >= lut->count ? lut->count - 1 : index];
}
