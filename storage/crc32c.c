/* SPDX-License-Identifier: MIT */
#include "storage/crc32c.h"

#include <pthread.h>

#include "base/bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum {
    POLYNOMIAL = (int)0x82F63B78, /* reflected */
    LANE = 1024,                  /* bytes of each of the three interleaved streams */
};

/* table[0] is the ordinary byte table; table[k] advances a byte through k more zero bytes. */
static uint32_t table[8][256];
/* lane_table[k] advances byte k of a checksum through LANE zero bytes. */
static uint32_t lane_table[4][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t shift_zeros(uint32_t crc, size_t count)
{
    while (count--)
        crc = table[0][crc & 0xFF] ^ crc >> 8;
    return crc;
}

static void fill_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ (uint32_t)POLYNOMIAL : crc >> 1;
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = table[0][table[k - 1][i] & 0xFF] ^ table[k - 1][i] >> 8;
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 0; k < 4; k++)
            lane_table[k][i] = shift_zeros(i << 8 * k, LANE);
}

uint32_t crc32c_extend_portable(uint32_t crc, struct slice bytes)
{
    pthread_once(&once, fill_tables);
    crc = ~crc;
    const uint8_t *p = bytes.data;
    size_t left = bytes.size;
    for (; left >= 8; p += 8, left -= 8) {
        uint32_t low = crc ^ get_u32le(p);
        uint32_t high = get_u32le(p + 4);
        crc = table[7][low & 0xFF] ^ table[6][low >> 8 & 0xFF] ^ table[5][low >> 16 & 0xFF] ^
              table[4][low >> 24] ^ table[3][high & 0xFF] ^ table[2][high >> 8 & 0xFF] ^
              table[1][high >> 16 & 0xFF] ^ table[0][high >> 24];
    }
    while (left--)
        crc = table[0][(crc ^ *p++) & 0xFF] ^ crc >> 8;
    return ~crc;
}

#if defined(__x86_64__)

static uint64_t skip_lane(uint64_t crc)
{
    return lane_table[0][crc & 0xFF] ^ lane_table[1][crc >> 8 & 0xFF] ^
           lane_table[2][crc >> 16 & 0xFF] ^ lane_table[3][crc >> 24 & 0xFF];
}

static uint64_t load(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

/* The instruction takes three cycles but one can begin in each, so three streams run side by side
 * and are joined with the tables above. */
__attribute__((target("sse4.2"))) static uint32_t extend_sse42(uint32_t start, struct slice bytes)
{
    uint64_t crc = ~start;
    const uint8_t *p = bytes.data;
    size_t left = bytes.size;
    for (; left >= 3 * LANE; p += 3 * LANE, left -= 3 * LANE) {
        uint64_t second = 0;
        uint64_t third = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            crc = _mm_crc32_u64(crc, load(p + i));
            second = _mm_crc32_u64(second, load(p + LANE + i));
            third = _mm_crc32_u64(third, load(p + 2 * LANE + i));
        }
        crc = skip_lane(crc) ^ second;
        crc = skip_lane(crc) ^ third;
    }
    for (; left >= 8; p += 8, left -= 8)
        crc = _mm_crc32_u64(crc, load(p));
    uint32_t rest = (uint32_t)crc;
    while (left--)
        rest = _mm_crc32_u8(rest, *p++);
    return ~rest;
}

uint32_t crc32c_extend(uint32_t crc, struct slice bytes)
{
    pthread_once(&once, fill_tables);
    if (__builtin_cpu_supports("sse4.2"))
        return extend_sse42(crc, bytes);
    return crc32c_extend_portable(crc, bytes);
}

#else

uint32_t crc32c_extend(uint32_t crc, struct slice bytes)
{
    return crc32c_extend_portable(crc, bytes);
}

#endif
