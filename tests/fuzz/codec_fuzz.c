/* SPDX-License-Identifier: MIT */
/* A frame for each decoder: the first byte names the transfer syntax, the next four the format,
 * then comes the stream. What is decoded must fill the frame, what is not must leave nothing. */
#include <stdlib.h>
#include <string.h>

#include "dicom/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* What OpenJPEG loses when one of its assertions ends it (dicom/codec_guard.h). */
const char *__lsan_default_suppressions(void)
{
    return "leak:libopenjp2.so";
}

enum { HEAD = 5, MAX_FRAME = 1 << 20 };

static const char *const syntaxes[] = {
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51",  "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",  "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",  "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.5",    "1.2.840.10008.1.2.4.203",
};

/* Samples (1 or 3), wide, signed: a bit each; bits stored; rows; columns. */
static struct pixel_format format_of(const uint8_t *head)
{
    struct pixel_format format = { .rows = head[2], .columns = head[3] };
    format.samples_per_pixel = head[0] & 1 ? 3 : 1;
    format.bits_allocated = head[0] & 2 ? 16 : 8;
    format.pixel_representation = head[0] >> 2 & 1;
    format.bits_stored = head[1];
    strcpy(format.photometric_interpretation, head[0] & 8   ? "YBR_FULL_422"
                                              : head[0] & 1 ? "RGB"
                                                            : "MONOCHROME2");
    return format;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    const char *uid = syntaxes[data[0] % (sizeof(syntaxes) / sizeof(syntaxes[0]))];
    struct pixel_format format = format_of(data + 1);
    struct buffer out = buffer_up_to(MAX_FRAME);
    struct error err;
    size_t frame = (size_t)format.rows * format.columns * format.samples_per_pixel *
                   (format.bits_allocated / 8u);
    bool ok = codec_decode_frame(transfer_syntax_find(slice_text(uid)), &format,
                                 slice_of(data + HEAD, size - HEAD), &out, &err);
    if (out.size != (ok ? frame : 0))
        abort();
    buffer_release(&out);
    return 0;
}
