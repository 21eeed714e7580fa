/* SPDX-License-Identifier: MIT */
#pragma once
/* Writes what stands around the members of a ZIP archive (APPNOTE.TXT 6.3, with the 64-bit fields
 * of 4.5.3 where a number needs them). Members are stored as they are: images hardly deflate, and
 * the size of the archive is known before its first byte. One thread at a time. */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

struct zip_writer;

/* `fd_take` as of scratch_new, for the directory of an archive of very many members. */
struct zip_writer *zip_writer_new(int fd_take);
void zip_writer_free(struct zip_writer *writer);

/* The CRC-32 of what `crc` covers followed by `bytes`; 0 is that of nothing. */
uint32_t zip_crc32(uint32_t crc, struct slice bytes);

struct zip_member {
    const char *name; /* at most ZIP_NAME_MAX characters of ASCII, folders with slashes */
    uint64_t size;
    int64_t modified_ms; /* Unix time */
    bool crc_follows;    /* it is known only when the bytes have gone: zip_end_member tells it */
    uint32_t crc32;
};
enum { ZIP_NAME_MAX = 255 };

/* Appends what stands before the member's bytes. */
bool zip_begin_member(struct zip_writer *writer, const struct zip_member *member,
                      struct buffer *out, struct error *err);
/* Appends what stands behind them, which is nothing unless the CRC follows. */
bool zip_end_member(struct zip_writer *writer, const struct zip_member *member, struct buffer *out,
                    struct error *err);

/* The central directory and the end: `out` gets the end, behind the bytes of `directory`. */
struct scratch;
void zip_finish(struct zip_writer *writer, struct scratch **directory, struct buffer *out);
/* Where the archive has got to: the size of all of it, after zip_finish. */
uint64_t zip_size(const struct zip_writer *writer);
