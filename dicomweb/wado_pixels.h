/* SPDX-License-Identifier: MIT */
#pragma once
/* Frames of an instance brought into memory, as frames, pictures and bulk data need them. */

#include "archive/retrieve.h"
#include "dicom/codec.h"

enum {
    PIXELS_MAX_FRAME = 1 << 30,     /* bytes, encoded or decoded */
    PIXELS_MAX_FRAGMENTS = 1 << 28, /* bytes of a list of them */
    PIXELS_DECODER_SHARE = 5,       /* memory, of a decoded frame: itself, a word a sample */
    PIXELS_MEMORY_WAIT_MS = 10000,  /* for others to have sent their frames */
};

/* As the attributes say; 0 or "" for what is absent. */
struct pixel_format pixels_format(const struct dataset *header);

/* To native bytes in little endian, pixels of one bit from bit 0 on: what frame_table_find found.
 * `decode`: encapsulated ones are decoded, and *format tells what they are then. */
bool pixels_read(struct instance *instance, const struct dataset *header,
                 const struct buffer *fragments, unsigned bit_shift, bool decode,
                 struct pixel_format *format, struct buffer *bytes, struct error *err);
