/* SPDX-License-Identifier: MIT */
#pragma once
/* What an image file or codestream says of itself, and which transfer syntax it belongs to, so that
 * it can become pixel data as it is (PS3.18 8.7.3.3.2, PS3.5 8.2). Thread-safe. */

#include "base/error.h"
#include "base/slice.h"
#include "dicom/uid.h"

struct image_probe {
    const struct transfer_syntax *syntax;
    bool is_video; /* all frames are one stream */
    bool has_size; /* the stream tells it; RLE does not, nor does some video */
    uint32_t rows;
    uint32_t columns;
    uint32_t frames; /* of a video that tells it; else 0 */
    uint16_t samples;
    uint8_t precision; /* bits of a sample */
    bool is_signed;
    const char *photometric_interpretation; /* that fits, where the image says none */
    uint64_t offset; /* of the stream in the file: a JP2 file is not what PS3.5 8.2.4 wants */
    uint64_t size;
};

enum { IMAGE_PROBE_SIZE = 1 << 20 }; /* bytes of the head that are looked at */

/* `media_type` as in PS3.18 table 8.7.3-5, `asked` a transfer syntax UID or "". `head` is the whole
 * or the first IMAGE_PROBE_SIZE bytes of a file of `size`. ERROR_UNSUPPORTED for a media type that
 * is not taken or a transfer syntax that is not of it; ERROR_INVALID for what is no such image, or
 * one of another transfer syntax than asked. */
bool image_probe(const char *media_type, const char *asked, struct slice head, uint64_t size,
                 struct image_probe *probe, struct error *err);
