/* SPDX-License-Identifier: MIT */
#include "storage/backup_manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "storage/crc32c.h"
#include "storage/folder.h"
#include "storage/segments.h"

enum { FORMAT_VERSION = 1, MANIFEST_MAX = 256 << 20, LINE_MAX_SIZE = 512 };

#define FIRST_WORDS "hounsfield backup "

void backup_manifest_release(struct backup_manifest *manifest)
{
    free(manifest->files);
    free(manifest->segments);
    *manifest = (struct backup_manifest){ 0 };
}

void backup_manifest_add_file(struct backup_manifest *manifest, const struct backup_file *file)
{
    if (manifest->file_count == manifest->file_capacity) {
        manifest->file_capacity = manifest->file_capacity ? manifest->file_capacity * 2 : 64;
        manifest->files = mem_resize_array(manifest->files, manifest->file_capacity,
                                           sizeof(*manifest->files));
    }
    manifest->files[manifest->file_count++] = *file;
}

void backup_manifest_add_segment(struct backup_manifest *manifest,
                                 const struct backup_segment *segment)
{
    if (manifest->segment_count == manifest->segment_capacity) {
        manifest->segment_capacity = manifest->segment_capacity ? manifest->segment_capacity * 2
                                                                : 64;
        manifest->segments = mem_resize_array(manifest->segments, manifest->segment_capacity,
                                              sizeof(*manifest->segments));
    }
    size_t place = manifest->segment_count++;
    while (place && manifest->segments[place - 1].number > segment->number) {
        manifest->segments[place] = manifest->segments[place - 1];
        place--;
    }
    manifest->segments[place] = *segment;
}

const struct backup_file *backup_manifest_file(const struct backup_manifest *manifest,
                                               const char *stored)
{
    for (size_t i = 0; i < manifest->file_count; i++)
        if (strcmp(manifest->files[i].stored, stored) == 0)
            return &manifest->files[i];
    return NULL;
}

static int by_number(const void *key, const void *item)
{
    uint32_t left = *(const uint32_t *)key;
    uint32_t right = ((const struct backup_segment *)item)->number;
    return left < right ? -1 : left > right;
}

struct backup_segment *backup_manifest_segment(const struct backup_manifest *manifest,
                                               uint32_t number)
{
    if (!manifest->segment_count)
        return NULL;
    return bsearch(&number, manifest->segments, manifest->segment_count,
                   sizeof(*manifest->segments), by_number);
}

uint64_t backup_manifest_index_bytes(const struct backup_manifest *manifest)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < manifest->file_count; i++)
        bytes += manifest->files[i].size;
    return bytes;
}

uint64_t backup_manifest_blob_bytes(const struct backup_manifest *manifest)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < manifest->segment_count; i++)
        bytes += manifest->segments[i].end;
    return bytes;
}

static void append_segment(struct buffer *text, const struct backup_segment *segment)
{
    buffer_append_format(text, "segment %" PRIu32 " %d ", segment->number, (int)segment->kind);
    for (size_t i = 0; i < NONCE_SIZE; i++)
        buffer_append_format(text, "%02x", segment->nonce[i]);
    buffer_append_format(text, " %" PRIu64 " %" PRIu64 "\n", segment->end, segment->dead);
}

bool backup_manifest_save(int folder_fd, const char *name, const struct backup_manifest *manifest,
                          struct error *err)
{
    struct buffer text = buffer_up_to(MANIFEST_MAX);
    buffer_append_format(&text, FIRST_WORDS "%d\nstorage %d\n", FORMAT_VERSION,
                         manifest->storage_version);
    buffer_append_format(&text, "archive %s\ndata %s\nbackup %s\nindex %s\n", manifest->archive,
                         manifest->data, manifest->backup, manifest->index_identity);
    buffer_append_format(&text, "taken %" PRId64 "\nchange %" PRIu64 " %08" PRIx32 "\n",
                         manifest->taken_at_ms, manifest->sequence, manifest->change_crc32c);
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct backup_file *file = &manifest->files[i];
        buffer_append_format(&text, "file %s %s %" PRIu64 " %08" PRIx32 "\n", file->stored,
                             file->name, file->size, file->crc32c);
    }
    for (size_t i = 0; i < manifest->segment_count; i++)
        append_segment(&text, &manifest->segments[i]);
    buffer_append_format(&text, "end %08" PRIx32 "\n", crc32c_extend(0, buffer_slice(&text)));
    bool ok = buffer_check(&text, "the manifest", err) &&
              folder_replace_file(folder_fd, name, buffer_slice(&text), err);
    buffer_release(&text);
    return ok;
}

/* A name that leads nowhere but into its folder. */
static bool is_plain_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

static bool parse_file(const char *line, struct backup_manifest *manifest)
{
    struct backup_file file = { 0 };
    if (sscanf(line, "file %127s %127s %" SCNu64 " %" SCNx32, file.stored, file.name, &file.size,
               &file.crc32c) != 4 ||
        !is_plain_name(file.stored) || !is_plain_name(file.name))
        return false;
    backup_manifest_add_file(manifest, &file);
    return true;
}

static bool parse_segment(const char *line, struct backup_manifest *manifest)
{
    struct backup_segment segment = { 0 };
    char nonce[2 * NONCE_SIZE + 1];
    int kind = 0;
    if (sscanf(line, "segment %" SCNu32 " %d %32s %" SCNu64 " %" SCNu64, &segment.number, &kind,
               nonce, &segment.end, &segment.dead) != 5 ||
        (kind != SEGMENT_SHARED && kind != SEGMENT_SINGLE) || !identity_is_valid(nonce) ||
        segment.end < SEGMENT_BLOCK || segment.end % SEGMENT_BLOCK != 0 || segment.end > INT64_MAX)
        return false;
    /* They are written in order: to put millions in order would take hours. */
    if (manifest->segment_count &&
        manifest->segments[manifest->segment_count - 1].number >= segment.number)
        return false;
    segment.kind = (enum segment_kind)kind;
    for (size_t i = 0; i < NONCE_SIZE; i++) {
        unsigned byte = 0;
        sscanf(nonce + 2 * i, "%2x", &byte);
        segment.nonce[i] = (uint8_t)byte;
    }
    backup_manifest_add_segment(manifest, &segment);
    return true;
}

/* Lines with other first words are of a later time, and need not be understood. */
static bool parse_line(const char *line, struct backup_manifest *manifest)
{
    if (strncmp(line, "file ", 5) == 0)
        return parse_file(line, manifest);
    if (strncmp(line, "segment ", 8) == 0)
        return parse_segment(line, manifest);
    sscanf(line, "storage %d", &manifest->storage_version);
    sscanf(line, "archive %32s", manifest->archive);
    sscanf(line, "data %32s", manifest->data);
    sscanf(line, "backup %32s", manifest->backup);
    sscanf(line, "index %64s", manifest->index_identity);
    sscanf(line, "taken %" SCNd64, &manifest->taken_at_ms);
    sscanf(line, "change %" SCNu64 " %" SCNx32, &manifest->sequence, &manifest->change_crc32c);
    return true;
}

/* The last line holds the checksum of all before it. */
static bool check_end(struct slice text, size_t *body)
{
    uint32_t crc32c = 0;
    char line[32] = "";
    size_t size = strlen("end 00000000\n");
    if (text.size < size)
        return false;
    *body = text.size - size;
    memcpy(line, text.data + *body, size);
    return sscanf(line, "end %8" SCNx32, &crc32c) == 1 &&
           crc32c == crc32c_extend(0, slice_of(text.data, *body));
}

static bool parse(struct slice text, struct backup_manifest *manifest, struct error *err)
{
    int version = 0;
    char line[LINE_MAX_SIZE];
    size_t body = 0;
    size_t size = strlen(FIRST_WORDS);
    if (text.size > size && memcmp(text.data, FIRST_WORDS, size) == 0)
        version = atoi((const char *)text.data + size);
    if (version > FORMAT_VERSION)
        return error_set(err, ERROR_UNSUPPORTED,
                         "the backup has format %d, newer than this program, which knows %d",
                         version, FORMAT_VERSION);
    bool ok = version > 0 && check_end(text, &body);
    while (ok && body) {
        const uint8_t *end = memchr(text.data, '\n', body);
        size_t length = end ? (size_t)(end - text.data) : body;
        ok = end && length < sizeof(line);
        if (!ok)
            break;
        memcpy(line, text.data, length);
        line[length] = '\0';
        ok = parse_line(line, manifest);
        text = slice_skip(text, length + 1);
        body -= length + 1;
    }
    ok = ok && identity_is_valid(manifest->archive) && identity_is_valid(manifest->data) &&
         identity_is_valid(manifest->backup);
    return ok || error_set(err, ERROR_CORRUPT, "the backup's manifest is damaged");
}

static bool read_all(int fd, struct buffer *text, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_set_errno(err, errno, "the backup's manifest");
    if (status.st_size > MANIFEST_MAX || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_CORRUPT, "the backup's manifest is damaged");
    uint8_t *bytes = mem_alloc((size_t)status.st_size + 1);
    bool ok = segment_read(fd, (struct space){ bytes, (size_t)status.st_size }, 0, err) &&
              buffer_append(text, slice_of(bytes, (size_t)status.st_size));
    free(bytes);
    buffer_text(text);
    return ok;
}

bool backup_manifest_load(int folder_fd, const char *name, struct backup_manifest *manifest,
                          bool *found, struct error *err)
{
    struct buffer text = buffer_up_to(MANIFEST_MAX);
    *manifest = (struct backup_manifest){ 0 };
    int fd = openat(folder_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    *found = fd >= 0;
    if (fd < 0)
        return errno == ENOENT || error_set_errno(err, errno, "%s", name);
    bool ok = read_all(fd, &text, err) && parse(buffer_slice(&text), manifest, err);
    if (!ok)
        backup_manifest_release(manifest);
    buffer_release(&text);
    close(fd);
    return ok;
}
