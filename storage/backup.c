/* SPDX-License-Identifier: MIT */
#include "storage/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/backup_copy.h"
#include "storage/backup_deaths.h"
#include "storage/backup_folder.h"
#include "storage/backup_source.h"
#include "storage/backup_target.h"
#include "storage/folder.h"
#include "storage/space.h"
#include "storage/store.h"

enum {
    PARTIAL_DISTANCE = 1 << 30, /* bytes after which what was copied is written down */
    ROOM_LEAST = 64 << 20,      /* for blobs of the archive, when somebody deletes to make some */
};

struct backup {
    struct storage *storage;
    const struct backup_options *options;
    struct backup_source source;
    struct backup_target target;
    struct backup_manifest made; /* what the backup will be */
    struct backup_deaths deaths;
    struct copy copy;
    uint64_t noted; /* of copy.written, when it was written down last */
    uint64_t removed_bytes;
    bool published; /* the manifest may be there */
};

/* Tables keep their names as long as the index does; all else is of this backup alone. */
static void stored_name(const struct backup *backup, const char *name,
                        char stored[BACKUP_FILE_NAME_SIZE])
{
    const struct backup_manifest *state = &backup->source.state;
    size_t size = strlen(name);
    bool table = size > 4 && strcmp(name + size - 4, ".sst") == 0;
    snprintf(stored, BACKUP_FILE_NAME_SIZE, "%.64s-%.60s",
             table ? state->index_identity : state->backup, name);
}

/* NULL when it must be copied. */
static const struct backup_file *file_at_hand(const struct backup *backup,
                                              const struct backup_file *file)
{
    uint64_t size = 0;
    const struct backup_file *known = backup_manifest_file(&backup->target.known, file->stored);
    bool there = known && known->size == file->size &&
                 backup_file_size(backup->target.index_fd, file->stored, &size) &&
                 size == file->size;
    return there ? known : NULL;
}

static bool is_of_index(const char *name)
{
    return strcmp(name, "LOCK") != 0 && strcmp(name, "IDENTITY") != 0 &&
           strncmp(name, "LOG", 3) != 0;
}

static bool count_file(void *context, const char *name, struct error *err)
{
    struct backup *backup = context;
    struct backup_file file = { 0 };
    if (!is_of_index(name))
        return true;
    snprintf(file.name, sizeof(file.name), "%s", name);
    stored_name(backup, name, file.stored);
    if (!backup_file_size(backup->source.index_fd, name, &file.size))
        return backup->options->dry_run || error_set_errno(err, errno, "index/%.60s", name);
    if (!file_at_hand(backup, &file))
        backup->copy.total += file.size;
    backup_manifest_add_file(&backup->made, &file);
    return true;
}

static const struct backup_segment *segment_at_hand(const struct backup *backup,
                                                    const struct backup_segment *segment)
{
    char name[32];
    uint64_t size = 0;
    const struct backup_segment *known = backup_manifest_segment(&backup->target.known,
                                                                 segment->number);
    backup_segment_name(segment->number, name);
    bool there = known && backup_file_size(backup->target.segments_fd, name, &size) &&
                 size >= known->end;
    return there ? known : NULL;
}

/* What there is to do, before anything is done. */
static bool plan(struct backup *backup, struct error *err)
{
    struct backup_manifest *made = &backup->made;
    const struct backup_manifest *state = &backup->source.state;
    *made = *state;
    made->segments = NULL;
    made->segment_count = 0;
    made->segment_capacity = 0;
    if (!folder_each(backup->source.index_fd, count_file, backup, err))
        return false;
    for (size_t i = 0; i < state->segment_count; i++) {
        const struct backup_segment *known = segment_at_hand(backup, &state->segments[i]);
        backup->copy.total += state->segments[i].end - (known ? known->end : 0);
    }
    return true;
}

static bool copy_index_file(struct backup *backup, struct backup_file *file, struct error *err)
{
    int index_fd = backup->target.index_fd;
    const struct backup_file *known = file_at_hand(backup, file);
    if (known) {
        file->crc32c = known->crc32c;
        return true;
    }
    int from = openat(backup->source.index_fd, file->name, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1
                      : openat(index_fd, file->stored,
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    bool ok = to >= 0 || error_set_errno(err, errno, "index/%.60s", file->name);
    ok = ok && copy_file(&backup->copy, from, to, file->size, &file->crc32c, err) &&
         copy_finish(to, file->stored, err);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return ok;
}

static bool copy_index(struct backup *backup, struct error *err)
{
    bool ok = true;
    backup->copy.phase = "copying the index";
    for (size_t i = 0; ok && i < backup->made.file_count; i++)
        ok = copy_index_file(backup, &backup->made.files[i], err);
    backup_source_drop_index(&backup->source);
    return ok && folder_sync(backup->target.index_fd, err);
}

/* What the next backup need not copy again when this one does not come to its end. */
static bool note_segments(struct backup *backup, struct error *err)
{
    struct backup_manifest partial = backup->made;
    partial.files = NULL;
    partial.file_count = 0;
    backup->noted = backup->copy.written;
    return folder_sync(backup->target.segments_fd, err) &&
           backup_manifest_save(backup->target.fd, BACKUP_MANIFEST_PARTIAL, &partial, err);
}

static bool copy_into(struct backup *backup, int from, const char *name,
                      const struct backup_segment *segment, uint64_t have, struct error *err)
{
    int to = openat(backup->target.segments_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                    0640);
    if (to < 0)
        return error_set_errno(err, errno, "segments/%s", name);
    bool ok = true;
    /* What an attempt before left behind `have` goes: in its place there must be a hole. */
    if (ftruncate(to, (off_t)have) != 0 || ftruncate(to, (off_t)segment->end) != 0)
        ok = error_set_errno(err, errno, "segments/%s", name);
    ok = ok && copy_range(&backup->copy, from, to, have, segment->end, err) &&
         copy_finish(to, name, err);
    close(to);
    return ok;
}

static bool copy_segment(struct backup *backup, const struct backup_segment *segment,
                         struct error *err)
{
    char name[32];
    struct segment *pinned = NULL;
    struct segments *segments = backup->storage->segments;
    const struct backup_segment *known = segment_at_hand(backup, segment);
    struct backup_segment made = *segment;
    uint64_t have = known ? known->end : 0;
    backup_segment_name(segment->number, name);
    if (known)
        made.dead = known->dead;
    bool copied = have == segment->end;
    if (!copied || made.dead != segment->dead) {
        if (!segments_pin(segments, segment->number, &pinned, err))
            return false;
        bool ok = (copied || copy_into(backup, pinned->fd, name, segment, have, err)) &&
                  (made.dead == segment->dead ||
                   backup_deaths_collect(&backup->deaths, pinned->fd, backup->target.segments_fd,
                                         segment, have, err));
        segments_unpin(segments, pinned);
        if (!ok)
            return error_add_context(err, "segments/%s", name);
    }
    backup_manifest_add_segment(&backup->made, &made);
    return true;
}

/* While segments are copied nothing is given back. When the archive has no room left and somebody
 * deletes to make some, that is more urgent; the next backup goes on where this one was. */
static bool check_room(const struct backup *backup, struct error *err)
{
    struct storage *storage = backup->storage;
    return space_for_blobs(storage->folder_fd) >= ROOM_LEAST ||
           !reclaim_pending_bytes(storage->reclaim) ||
           error_set(err, ERROR_NO_SPACE,
                     "the archive's disk is full, and the space of what was deleted is needed: "
                     "call it again, it goes on from here");
}

static bool copy_segments(struct backup *backup, struct error *err)
{
    const struct backup_manifest *state = &backup->source.state;
    bool ok = true;
    backup->copy.phase = "copying segments";
    for (size_t i = 0; ok && i < state->segment_count; i++) {
        ok = check_room(backup, err) && copy_segment(backup, &state->segments[i], err);
        if (ok && backup->copy.written - backup->noted >= PARTIAL_DISTANCE)
            ok = note_segments(backup, err);
    }
    if (!ok && backup->copy.written != backup->noted)
        note_segments(backup, NULL);
    for (size_t i = 0; i < backup->source.deleted_count; i++)
        backup_deaths_add(&backup->deaths, &backup->source.deleted[i]);
    return ok && folder_sync(backup->target.segments_fd, err);
}

static bool has_news_of_deaths(const struct backup *backup)
{
    for (size_t i = 0; i < backup->made.segment_count; i++)
        if (backup->made.segments[i].dead != backup->source.state.segments[i].dead)
            return true;
    return false;
}

/* The backup is whole. What it does not need any more goes, and may go at any later time. */
static bool tidy(struct backup *backup, struct error *err)
{
    struct backup_manifest *made = &backup->made;
    FAULT_POINT("backup-after-manifest");
    unlinkat(backup->target.fd, BACKUP_MANIFEST_PARTIAL, 0);
    if (!backup_target_purge(&backup->target, made, &backup->removed_bytes, err) ||
        !backup_deaths_apply(&backup->deaths, backup->target.segments_fd, made,
                             &backup->removed_bytes, err))
        return false;
    FAULT_POINT("backup-after-deaths");
    if (!has_news_of_deaths(backup))
        return true;
    for (size_t i = 0; i < made->segment_count; i++)
        made->segments[i].dead = backup->source.state.segments[i].dead;
    return backup_manifest_save(backup->target.fd, BACKUP_MANIFEST, made, err);
}

static bool make(struct backup *backup, struct error *err)
{
    if (!copy_index(backup, err))
        return false;
    FAULT_POINT("backup-after-index");
    if (!copy_segments(backup, err))
        return false;
    FAULT_POINT("backup-after-segments");
    backup_source_release(&backup->source);
    backup->published = true;
    return backup_manifest_save(backup->target.fd, BACKUP_MANIFEST, &backup->made, err) &&
           tidy(backup, err);
}

static bool run(struct backup *backup, struct job *job, struct error *err)
{
    struct storage *storage = backup->storage;
    bool dry_run = backup->options->dry_run;
    if (!backup_target_open(&backup->target, storage, backup->options, err))
        return false;
    if (dry_run ? !backup_source_peek(storage, &backup->source, err)
                : !backup_source_open(storage, job, &backup->source, err))
        return false;
    if (!backup_target_check(&backup->target, storage, &backup->source.state, err) ||
        !plan(backup, err))
        return false;
    if (dry_run || make(backup, err))
        return true;
    if (!backup->published)
        backup_target_forget(&backup->target);
    return error_add_context(err, "%.100s", backup->options->directory);
}

static void fill_report(const struct backup *backup, struct backup_report *report)
{
    bool dry_run = backup->options->dry_run;
    backup_report_of(dry_run ? &backup->source.state : &backup->made, report);
    report->index_bytes = backup_manifest_index_bytes(&backup->made);
    report->copied_bytes = dry_run ? backup->copy.total : backup->copy.written;
    report->removed_bytes = backup->removed_bytes;
    report->paused_us = backup->source.paused_us;
}

bool storage_backup(struct storage *storage, const struct backup_options *options, struct job *job,
                    struct backup_report *report, struct error *err)
{
    struct backup backup = {
        .storage = storage,
        .options = options,
        .source = { .index_fd = -1 },
        .target = { .fd = -1, .lock_fd = -1, .index_fd = -1, .segments_fd = -1 },
        .copy = { .job = job },
    };
    struct error why = { 0 };
    bool ok = run(&backup, job, &why);
    if (ok)
        fill_report(&backup, report);
    else
        error_set(err, why.code, "%s", why.message);
    backup_target_close(&backup.target);
    backup_source_close(&backup.source);
    backup_manifest_release(&backup.made);
    backup_deaths_release(&backup.deaths);
    return ok &&
           (!options->verify || options->dry_run ||
            storage_backup_verify(options->directory, job, &(struct backup_report){ 0 }, err));
}
