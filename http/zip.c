/* SPDX-License-Identifier: MIT */
#include "http/zip.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/scratch.h"

/* The numbers of the sections are those of APPNOTE.TXT. */
enum {
    LOCAL_SIGNATURE = 0x04034B50,
    DESCRIPTOR_SIGNATURE = 0x08074B50,
    CENTRAL_SIGNATURE = 0x02014B50,
    END64_SIGNATURE = 0x06064B50,
    LOCATOR64_SIGNATURE = 0x07064B50,
    END_SIGNATURE = 0x06054B50,

    VERSION = 20,   /* folders; 4.4.3 */
    VERSION64 = 45, /* 64-bit fields */
    MADE_BY_UNIX = 3 << 8,
    FLAG_DESCRIPTOR = 1 << 3, /* 4.4.4 */
    METHOD_STORED = 0,
    EXTRA64 = 1, /* 4.5.3 */

    END64_SIZE = 56,
    MANY16 = 0xFFFF,
    HEADERS_SIZE = 1 << 10,
    DIRECTORY_MEMORY = 256 << 10,
};
#define LARGE32      0xFFFFFFFFu
#define REGULAR_FILE (0100644u << 16) /* Unix mode, in the high half of the external attributes */

struct zip_writer {
    struct scratch *directory;
    uint64_t position;
    uint64_t count;
    uint64_t member_begin;
};

struct zip_writer *zip_writer_new(int fd_take)
{
    struct zip_writer *writer = mem_alloc(sizeof(*writer));
    writer->directory = scratch_new(DIRECTORY_MEMORY, fd_take);
    return writer;
}

void zip_writer_free(struct zip_writer *writer)
{
    if (!writer)
        return;
    scratch_free(writer->directory);
    free(writer);
}

uint32_t zip_crc32(uint32_t crc, struct slice bytes)
{
    return (uint32_t)crc32_z(crc, bytes.data, bytes.size);
}

/* 4.4.6: from 1980 on, in steps of two seconds; here in UTC. */
static uint32_t dos_time(int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm when;
    if (!gmtime_r(&seconds, &when) || when.tm_year < 80 || when.tm_year > 207)
        return 1u << 21 | 1u << 16;
    return (uint32_t)(when.tm_year - 80) << 25 | (uint32_t)(when.tm_mon + 1) << 21 |
           (uint32_t)when.tm_mday << 16 | (uint32_t)when.tm_hour << 11 |
           (uint32_t)when.tm_min << 5 | (uint32_t)when.tm_sec / 2;
}

static bool is_large(const struct zip_member *member)
{
    return member->size >= LARGE32;
}

static uint32_t short_number(uint64_t number)
{
    return number < LARGE32 ? (uint32_t)number : LARGE32;
}

/* What the local header and the central one have in common (4.3.7, 4.3.12). */
static void append_common(const struct zip_member *member, bool wide, uint32_t crc, uint64_t size,
                          uint16_t extra_size, struct buffer *out)
{
    buffer_append_u16le(out, wide ? VERSION64 : VERSION);
    buffer_append_u16le(out, member->crc_follows ? FLAG_DESCRIPTOR : 0);
    buffer_append_u16le(out, METHOD_STORED);
    buffer_append_u32le(out, dos_time(member->modified_ms));
    buffer_append_u32le(out, crc);
    buffer_append_u32le(out, short_number(size));
    buffer_append_u32le(out, short_number(size));
    buffer_append_u16le(out, (uint16_t)strlen(member->name));
    buffer_append_u16le(out, extra_size);
}

bool zip_begin_member(struct zip_writer *writer, const struct zip_member *member,
                      struct buffer *out, struct error *err)
{
    bool wide = is_large(member);
    size_t before = out->size;
    if (strlen(member->name) > ZIP_NAME_MAX)
        return error_set(err, ERROR_LIMIT, "the name of a member of an archive is too long");
    writer->member_begin = writer->position;
    /* A header whose CRC follows has zeros for the sizes too (4.4.4), but for the mark that the
     * numbers behind the member are of 64 bits (4.3.9.2). */
    uint64_t size = member->crc_follows && !wide ? 0 : member->size;
    buffer_append_u32le(out, LOCAL_SIGNATURE);
    append_common(member, wide, member->crc_follows ? 0 : member->crc32, size, wide ? 20 : 0, out);
    buffer_append_text(out, member->name);
    if (wide) {
        buffer_append_u16le(out, EXTRA64);
        buffer_append_u16le(out, 16);
        buffer_append_u64le(out, member->crc_follows ? 0 : member->size);
        buffer_append_u64le(out, member->crc_follows ? 0 : member->size);
    }
    if (!buffer_check(out, "the header of a member", err))
        return false;
    writer->position += out->size - before;
    if (__builtin_add_overflow(writer->position, member->size, &writer->position))
        return error_set(err, ERROR_LIMIT, "an archive is too large");
    return true;
}

static bool append_entry(struct zip_writer *writer, const struct zip_member *member,
                         struct error *err)
{
    bool large = is_large(member);
    bool far = writer->member_begin >= LARGE32;
    uint16_t fields = (uint16_t)(16 * large + 8 * far);
    struct buffer entry = buffer_up_to(HEADERS_SIZE);
    buffer_append_u32le(&entry, CENTRAL_SIGNATURE);
    buffer_append_u16le(&entry, MADE_BY_UNIX | VERSION64);
    append_common(member, large || far, member->crc32, member->size, fields ? fields + 4 : 0,
                  &entry);
    buffer_append_u16le(&entry, 0); /* comment */
    buffer_append_u16le(&entry, 0); /* disk */
    buffer_append_u16le(&entry, 0); /* internal attributes */
    buffer_append_u32le(&entry, REGULAR_FILE);
    buffer_append_u32le(&entry, short_number(writer->member_begin));
    buffer_append_text(&entry, member->name);
    if (fields) {
        buffer_append_u16le(&entry, EXTRA64);
        buffer_append_u16le(&entry, fields);
    }
    if (large) {
        buffer_append_u64le(&entry, member->size);
        buffer_append_u64le(&entry, member->size);
    }
    if (far)
        buffer_append_u64le(&entry, writer->member_begin);
    bool ok = buffer_check(&entry, "an entry of an archive", err) &&
              scratch_append(writer->directory, buffer_slice(&entry), err);
    buffer_release(&entry);
    writer->count++;
    return ok;
}

bool zip_end_member(struct zip_writer *writer, const struct zip_member *member, struct buffer *out,
                    struct error *err)
{
    size_t before = out->size;
    if (member->crc_follows) {
        buffer_append_u32le(out, DESCRIPTOR_SIGNATURE);
        buffer_append_u32le(out, member->crc32);
        for (size_t i = 0; i < 2; i++) {
            if (is_large(member))
                buffer_append_u64le(out, member->size);
            else
                buffer_append_u32le(out, (uint32_t)member->size);
        }
    }
    writer->position += out->size - before;
    return buffer_check(out, "the end of a member", err) && append_entry(writer, member, err);
}

/* 4.3.14, 4.3.15 */
static void append_end64(const struct zip_writer *writer, uint64_t size, struct buffer *out)
{
    buffer_append_u32le(out, END64_SIGNATURE);
    buffer_append_u64le(out, END64_SIZE - 12); /* of what follows */
    buffer_append_u16le(out, MADE_BY_UNIX | VERSION64);
    buffer_append_u16le(out, VERSION64);
    buffer_append_u32le(out, 0); /* this disk */
    buffer_append_u32le(out, 0); /* that of the directory */
    buffer_append_u64le(out, writer->count);
    buffer_append_u64le(out, writer->count);
    buffer_append_u64le(out, size);
    buffer_append_u64le(out, writer->position);

    buffer_append_u32le(out, LOCATOR64_SIGNATURE);
    buffer_append_u32le(out, 0);
    buffer_append_u64le(out, writer->position + size);
    buffer_append_u32le(out, 1); /* disks */
}

void zip_finish(struct zip_writer *writer, struct scratch **directory, struct buffer *out)
{
    uint64_t size = scratch_size(writer->directory);
    size_t before = out->size;
    uint16_t count = writer->count < MANY16 ? (uint16_t)writer->count : MANY16;
    if (count == MANY16 || size >= LARGE32 || writer->position >= LARGE32)
        append_end64(writer, size, out);
    buffer_append_u32le(out, END_SIGNATURE);
    buffer_append_u16le(out, 0);
    buffer_append_u16le(out, 0);
    buffer_append_u16le(out, count);
    buffer_append_u16le(out, count);
    buffer_append_u32le(out, short_number(size));
    buffer_append_u32le(out, short_number(writer->position));
    buffer_append_u16le(out, 0); /* comment */
    writer->position += size + (out->size - before);
    *directory = writer->directory;
}

uint64_t zip_size(const struct zip_writer *writer)
{
    return writer->position;
}
