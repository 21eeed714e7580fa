/* SPDX-License-Identifier: MIT */
#include "storage/crc32c.h"

#include "tests/storage/support.h"

/* RFC 3720 B.4 gives these. */
TEST(crc32c_agrees_with_the_published_values)
{
    uint8_t bytes[32];
    CHECK(crc32c_extend(0, slice_text("123456789")) == 0xE3069283);
    memset(bytes, 0, sizeof(bytes));
    CHECK(crc32c_extend(0, slice_of(bytes, 32)) == 0x8A9136AA);
    memset(bytes, 0xFF, sizeof(bytes));
    CHECK(crc32c_extend(0, slice_of(bytes, 32)) == 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    CHECK(crc32c_extend(0, slice_of(bytes, 32)) == 0x46DD794E);
    CHECK(crc32c_extend_portable(0, slice_of(bytes, 32)) == 0x46DD794E);
}

TEST(crc32c_is_the_same_with_and_without_hardware_and_in_any_pieces)
{
    uint8_t *bytes = make_bytes(20000, 1);
    bool same = true;
    for (size_t size = 0; size < 20000; size = size * 5 / 4 + 1) {
        uint32_t whole = crc32c_extend(0, slice_of(bytes + 1, size));
        uint32_t pieces = crc32c_extend(0, slice_of(bytes + 1, size / 3));
        pieces = crc32c_extend(pieces, slice_of(bytes + 1 + size / 3, size - size / 3));
        same = same && whole == pieces &&
               whole == crc32c_extend_portable(0, slice_of(bytes + 1, size));
    }
    free(bytes);
    CHECK(same);
}
