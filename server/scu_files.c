/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "dicom/part10.h"
#include "server/scu.h"
#include "server/scu_send.h"

#define UID_MEDIA_DIRECTORY "1.2.840.10008.1.3.10"

enum { FIRST_READ = 2 << 10 };

static uint32_t combination_of(struct scu_files *files, const struct file_meta *meta)
{
    /* Files of a kind come together. */
    for (size_t i = files->combination_count; i-- > 0;)
        if (!strcmp(files->combinations[i].sop_class, meta->sop_class) &&
            !strcmp(files->combinations[i].transfer_syntax, meta->transfer_syntax))
            return (uint32_t)i;
    files->combinations = mem_resize_array(files->combinations, files->combination_count + 1,
                                           sizeof(*files->combinations));
    struct scu_combination *combination = &files->combinations[files->combination_count];
    memcpy(combination->sop_class, meta->sop_class, UID_SIZE);
    memcpy(combination->transfer_syntax, meta->transfer_syntax, UID_SIZE);
    return (uint32_t)files->combination_count++;
}

static bool read_meta(int fd, struct file_meta *meta)
{
    uint8_t *start = mem_alloc(PART10_META_LIMIT);
    bool complete = false;
    bool ok = true;
    for (size_t size = FIRST_READ; ok && !complete; size = PART10_META_LIMIT) {
        ssize_t got = pread(fd, start, size, 0);
        ok = got > 0 && file_meta_read(slice_of(start, (size_t)got), meta, &complete, NULL);
        if ((size_t)got < size || size == PART10_META_LIMIT)
            break;
    }
    free(start);
    return ok && complete;
}

static void append(struct scu_files *files, const char *path, const struct file_meta *meta,
                   uint64_t size)
{
    /* In powers of two: a folder may hold a million files. */
    if ((files->count & (files->count - 1)) == 0)
        files->files = mem_resize_array(files->files, files->count ? files->count * 2 : 1,
                                        sizeof(*files->files));
    struct scu_file *file = &files->files[files->count++];
    *file = (struct scu_file){ .path = mem_copy_text(path),
                               .size = size - meta->size,
                               .offset = meta->size,
                               .combination = combination_of(files, meta) };
    memcpy(file->instance, meta->sop_instance, UID_SIZE);
    files->bytes += file->size;
}

static void add_file(struct scu_files *files, const char *path)
{
    struct file_meta meta;
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        files->unreadable++;
    } else if (!S_ISREG(status.st_mode) || !read_meta(fd, &meta) || !*meta.sop_class ||
               !*meta.sop_instance || !*meta.transfer_syntax ||
               !strcmp(meta.sop_class, UID_MEDIA_DIRECTORY) ||
               (uint64_t)status.st_size <= meta.size) {
        files->passed_over++;
    } else {
        append(files, path, &meta, (uint64_t)status.st_size);
    }
    if (fd >= 0)
        close(fd);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

bool scu_files_add(struct scu_files *files, const char *path, struct error *err)
{
    char *paths[] = { (char *)(uintptr_t)path, NULL };
    if (access(path, F_OK) < 0)
        return error_set_errno(err, errno, "%.200s", path);
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR | FTS_NOSTAT, by_name);
    if (!tree)
        return error_set_errno(err, errno, "%.200s", path);
    for (FTSENT *entry; (entry = fts_read(tree)) && !scu_is_interrupted();) {
        if (entry->fts_info == FTS_F || entry->fts_info == FTS_NSOK) {
            add_file(files, entry->fts_path);
        } else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR) {
            fprintf(stderr, "%s: %s\n", entry->fts_path, strerror(entry->fts_errno));
            files->unreadable++;
        }
    }
    fts_close(tree);
    return true;
}

static int by_combination(const void *a, const void *b)
{
    const struct scu_file *x = a;
    const struct scu_file *y = b;
    if (x->combination != y->combination)
        return x->combination < y->combination ? -1 : 1;
    return strcmp(x->path, y->path);
}

void scu_files_sort(struct scu_files *files)
{
    if (files->count)
        qsort(files->files, files->count, sizeof(*files->files), by_combination);
}

void scu_files_release(struct scu_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->files[i].path);
    free(files->files);
    free(files->combinations);
}
