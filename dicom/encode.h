/* SPDX-License-Identifier: MIT */
#pragma once
/* Data sets written: explicit or implicit VR little endian into a buffer, elements given in
 * ascending order by the caller, values padded to even length (PS3.5 7.1). A value too long for a
 * short VR becomes UN (PS3.5 6.2.2). */

#include "base/buffer.h"
#include "base/slice.h"
#include "dicom/charset_write.h"
#include "dicom/dataset.h"

struct encoder {
    struct buffer *out;
    bool explicit_vr;
};

void encode_bytes(struct encoder *encoder, uint32_t tag, uint16_t vr, struct slice value);
void encode_text(struct encoder *encoder, uint32_t tag, uint16_t vr, const char *text);
void encode_u16(struct encoder *encoder, uint32_t tag, uint16_t value);    /* US */
void encode_u32(struct encoder *encoder, uint32_t tag, uint32_t value);    /* UL */
void encode_integer(struct encoder *encoder, uint32_t tag, int64_t value); /* IS */

/* A sequence or item of undefined length: begin, content, end. */
void encode_sequence_begin(struct encoder *encoder, uint32_t tag);
void encode_item_begin(struct encoder *encoder);
void encode_item_end(struct encoder *encoder);
void encode_sequence_end(struct encoder *encoder);
/* What a walk meets besides elements: where sequences and items begin and end. */
void encode_structure(struct encoder *encoder, enum walk_event event, uint32_t tag);

/* One attribute of `dataset` (a sequence with all in it), re-encoded in UTF-8 and little endian.
 * Elided values are written empty. False when it is not there. */
bool encode_copy(struct encoder *encoder, const struct dataset *dataset, uint32_t tag);
/* One element that a walk through `dataset` gave, in the same way; no sequence. */
void encode_element(struct encoder *encoder, const struct dataset *dataset,
                    const struct element *element);
/* encode_copy with texts in the sets of a writer. *lost is set when one of them cannot be said in
 * these; its value is then empty. */
bool encode_copy_in(struct encoder *encoder, const struct dataset *dataset, uint32_t tag,
                    struct charset_writer *charset, bool *lost);
