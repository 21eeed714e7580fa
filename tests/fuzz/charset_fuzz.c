/* SPDX-License-Identifier: MIT */
/* One byte for the VR, one for the size of the character set's name, the name, the text. */
#include "dicom/charset.h"

#include <stdlib.h>

#include "dicom/tag.h"
#include "dicom/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t vrs[] = { VR_PN, VR_LO, VR_LT, VR_CS, VR_UR };
    if (size < 2)
        return 0;
    uint16_t vr = vrs[data[0] % (sizeof(vrs) / sizeof(vrs[0]))];
    struct slice rest = slice_of(data + 2, size - 2);
    struct slice name = slice_take(rest, data[1]);
    struct slice text = slice_skip(rest, name.size);
    const struct charset *charset = charset_find(name);
    struct buffer utf8 = buffer_up_to(size * 4 + 16);
    charset_decode(charset, vr, text, &utf8);
    struct slice decoded = buffer_slice(&utf8);
    if (utf8.overflowed || !utf8_is_valid(decoded))
        abort();
    if (decoded.size && memchr(decoded.data, 0x1B, decoded.size))
        abort();
    if (charset_is_plain(charset, text) && !slice_equal(text, decoded))
        abort();
    buffer_release(&utf8);
    return 0;
}
