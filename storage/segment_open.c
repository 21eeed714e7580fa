/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/segments.h"

static int by_number(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

/* The numbers of the segment files, in order. */
static bool list_files(const char *path, uint32_t **numbers, size_t *count, struct error *err)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    size_t capacity = 0;
    if (!folder)
        return error_set_errno(err, errno, "%.100s", path);
    while (errno = 0, (entry = readdir(folder))) {
        unsigned number = 0;
        int end = 0;
        if (sscanf(entry->d_name, "%10u.seg%n", &number, &end) != 1 || !end || entry->d_name[end])
            continue;
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            *numbers = mem_resize_array(*numbers, capacity, sizeof(**numbers));
        }
        (*numbers)[(*count)++] = number;
    }
    int failure = errno;
    closedir(folder);
    if (failure)
        return error_set_errno(err, failure, "%.100s", path);
    if (*count)
        qsort(*numbers, *count, sizeof(**numbers), by_number);
    return true;
}

/* The entry of a segment whose file is not there: nobody removes a file before the index forgets
 * it. */
static void look_for_file(struct segments *segments, uint32_t number, const uint32_t *numbers,
                          size_t count)
{
    if (count && bsearch(&number, numbers, count, sizeof(*numbers), by_number))
        return;
    segments->missing++;
    log_error("storage: the file of segment=%u is gone: what stands in it cannot be read", number);
}

/* What the index remembers beyond the files: numbers that were used must not come again. */
static bool load_numbers(struct segments *segments, struct keyvalue *keyvalue,
                         const uint32_t *numbers, size_t count, struct error *err)
{
    struct keyvalue_cursor *cursor = NULL;
    struct slice key;
    struct slice value;
    bool found = true;
    if (!keyvalue->operations->cursor_open(keyvalue, TABLE_SEGMENT, slice_of(NULL, 0),
                                           slice_of(NULL, 0), false, &cursor, err))
        return false;
    bool ok = true;
    while (ok && found) {
        ok = keyvalue->operations->cursor_next(cursor, &key, &value, &found, err);
        if (!ok || !found)
            break;
        uint32_t next = 0;
        if (key.data[0] == SEGMENT_KEY_NEXT && value.size == 4)
            next = get_u32be(value.data);
        else if (key.data[0] != SEGMENT_KEY_NEXT && key.size >= 5)
            next = get_u32be(key.data + 1) + 1;
        if (next > segments->next_number)
            segments->next_number = next;
        if (key.data[0] == SEGMENT_KEY_ENTRY && key.size == 5)
            look_for_file(segments, get_u32be(key.data + 1), numbers, count);
    }
    keyvalue->operations->cursor_close(cursor);
    return ok;
}

static bool load_entry(struct segment *segment, struct keyvalue *keyvalue, bool *known,
                       struct error *err)
{
    uint8_t key[5];
    struct buffer value = buffer_up_to(1024);
    segment_entry_key(segment->number, key);
    bool ok = keyvalue->operations->get(keyvalue, TABLE_SEGMENT, slice_of(key, sizeof(key)), &value,
                                        known, err);
    if (ok && *known && !segment_entry_decode(buffer_slice(&value), segment))
        ok = error_set(err, ERROR_CORRUPT, "the index entry of segment %u is broken",
                       segment->number);
    buffer_release(&value);
    return ok;
}

/* Of a segment whose header rotted the first record tells what is needed. *empty: there is none. */
static void read_first_record(struct segment *segment, bool *empty)
{
    uint8_t bytes[RECORD_HEADER_SIZE];
    struct record_header record;
    struct error why = { 0 };
    if (!segment_read(segment->fd, (struct space){ bytes, sizeof(bytes) }, SEGMENT_BLOCK, &why))
        *empty = why.code == ERROR_CORRUPT; /* it ends there; else it may hold anything */
    else
        *empty = !record_header_decode(bytes, &record, segment->nonce);
    if (!*empty)
        log_warn("storage: header of segment=%u is broken, its records are read all the same",
                 segment->number);
}

/* Kind and nonce from the file itself. A file without a header was being made when the machine
 * stopped and holds nothing, unless a record stands in it. */
static bool read_header(struct segment *segment, bool *empty, struct error *err)
{
    uint8_t block[SEGMENT_BLOCK];
    struct segment_header header;
    struct error why = { 0 };
    struct stat status;
    *empty = false;
    if (fstat(segment->fd, &status) != 0)
        return error_set_errno(err, errno, "segment %u", segment->number);
    if (status.st_size < SEGMENT_BLOCK) {
        *empty = true;
        return true;
    }
    bool read = segment_read(segment->fd, (struct space){ block, sizeof(block) }, 0, &why);
    if (read && segment_header_decode(block, &header, &why)) {
        segment->kind = header.kind;
        memcpy(segment->nonce, header.nonce, NONCE_SIZE);
        return true;
    }
    if (why.code == ERROR_UNSUPPORTED)
        return error_set(err, ERROR_UNSUPPORTED, "%s", why.message);
    read_first_record(segment, empty);
    if (!read)
        segment->damaged = true;
    *empty = *empty && read;
    return true;
}

/* Takes the segment into the set; with its file open. A removed one is freed. */
static void settle_opened(struct segments *segments, struct segment *segment, bool known,
                          bool empty)
{
    char path[4096];
    if (empty || (segment->kind == SEGMENT_SINGLE && !segment->records && !segment->damaged)) {
        segments_path(segments, segment->number, path, sizeof(path));
        if (segment->number >= segments->next_number)
            segments->next_number = segment->number + 1;
        if (!segments->untouched) {
            log_info("storage: removed segment=%u, nothing was finished in it", segment->number);
            unlink(path);
        }
        segment_free(segment);
        return;
    }
    if (segment->kind == SEGMENT_SINGLE)
        segment->sealed = true;
    segment->checkpoint = (struct segment_checkpoint){ segment->end, segment->records,
                                                       segment->bytes, segment->sealed };
    segments_insert(segments, segment);
    if (!known || !segment->sealed)
        segments_touch(segment);
}

/* *written_last: no later shared segment was found. Of one that the index does not know, payloads
 * are read only when it is the one that was written last: else the index is lost, and all would be.
 */
static bool open_segment(struct segments *segments, uint32_t number, bool *written_last,
                         struct keyvalue *keyvalue, struct error *err)
{
    char path[4096];
    bool known = false;
    bool empty = false;
    struct segment *segment = segment_new(segments, number, SEGMENT_SHARED);
    if (!load_entry(segment, keyvalue, &known, err))
        goto failed;
    if (known && segment->sealed) {
        *written_last &= segment->kind != SEGMENT_SHARED;
        segments_insert(segments, segment);
        return true;
    }
    segments_path(segments, number, path, sizeof(path));
    segment->fd = FAULT_ERRNO("segment-open") ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (segment->fd < 0) {
        error_set_errno(err, errno, "segment %u", number);
        goto failed;
    }
    if (!known && !read_header(segment, &empty, err))
        goto failed;
    bool verify = !segments->untouched && (known || *written_last);
    if (!empty)
        segment_recover(segment, known, verify);
    if (segment->damaged)
        segment->sealed = true;
    *written_last &= empty || segment->kind != SEGMENT_SHARED;
    segment->size = (uint64_t)lseek(segment->fd, 0, SEEK_END) / SEGMENT_BLOCK * SEGMENT_BLOCK;
    if (segment->size < segment->end)
        segment->size = segment->end;
    int fd = segment->fd;
    segment->fd = -1;
    settle_opened(segments, segment, known, empty);
    close(fd);
    return true;
failed:
    error_add_context(err, "segment %u", number);
    segment_free(segment);
    return false;
}

/* Only the last shared segment goes on to be written; the others were left by a crash. */
static bool choose_active(struct segments *segments, struct error *err)
{
    struct segment *active = NULL;
    for (size_t i = 0; i < segments->count; i++) {
        struct segment *segment = segments->items[i];
        if (segment->sealed)
            continue;
        if (active) {
            active->sealed = true;
            active->checkpoint.sealed = true;
            segments_touch(active);
        }
        active = segment;
    }
    if (!active)
        return true;
    if (!segments_pin(segments, active->number, &segments->active, err))
        return false;
    segment_open_direct(active);
    return true;
}

bool segments_open(const char *path, uint64_t segment_size, bool untouched,
                   struct keyvalue *keyvalue, atomic_bool *failed, struct segments **out,
                   struct error *err)
{
    uint32_t *numbers = NULL;
    size_t count = 0;
    bool written_last = true;
    bool ok = false;
    struct segments *segments = mem_alloc(sizeof(*segments));
    segments->path = mem_copy_text(path);
    segments->segment_size = segment_size;
    segments->untouched = untouched;
    segments->failed = failed;
    segments->sync_file = fdatasync;
    segments->next_number = 1;
    pthread_mutex_init(&segments->append_lock, NULL);
    pthread_mutex_init(&segments->lock, NULL);
    TAILQ_INIT(&segments->idle);
    TAILQ_INIT(&segments->dirty);
    TAILQ_INIT(&segments->collecting);
    segments->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (segments->folder_fd < 0) {
        error_set_errno(err, errno, "%.100s", path);
        goto out;
    }
    if (!list_files(path, &numbers, &count, err) ||
        !load_numbers(segments, keyvalue, numbers, count, err))
        goto out;
    /* Also when the machine stopped before the very first transaction: then nothing is missing. */
    if (count && segments->next_number == 1 && !untouched)
        log_warn("storage: the index knows none of segments=%zu: what stands in them is not shown",
                 count);
    for (size_t i = count; i > 0; i--)
        if (!open_segment(segments, numbers[i - 1], &written_last, keyvalue, err))
            goto out;
    if (!choose_active(segments, err))
        goto out;
    *out = segments;
    ok = true;
out:
    free(numbers);
    if (!ok)
        segments_close(segments);
    return ok;
}

void segments_close(struct segments *segments)
{
    if (segments->active && !segments->untouched && !atomic_load(segments->failed) &&
        ftruncate(segments->active->fd, (off_t)segments->active->end) != 0)
        log_warn("storage: segment=%u keeps its unused space", segments->active->number);
    for (size_t i = 0; i < segments->count; i++)
        segment_free(segments->items[i]);
    if (segments->folder_fd >= 0)
        close(segments->folder_fd);
    pthread_mutex_destroy(&segments->append_lock);
    pthread_mutex_destroy(&segments->lock);
    free(segments->items);
    free(segments->removed);
    free(segments->path);
    free(segments);
}
