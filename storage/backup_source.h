/* SPDX-License-Identifier: MIT */
#pragma once
/* What a backup is made of: the archive as of one moment. While it is open, nothing that stood in a
 * segment at that moment changes. Only storage/ and its tests include this header. */

#include "base/job.h"
#include "storage/backup_manifest.h"

struct backup_source {
    struct storage *storage;
    bool alone; /* no other backup may begin */
    bool held;
    int index_fd;                 /* the folder with the files of the index; -1 without */
    struct backup_manifest state; /* without files: their checksums are known when they are read */
    struct blob_id *deleted;      /* committed then, and not marked in their segments yet */
    size_t deleted_count;
    size_t deleted_capacity;
    int64_t paused_us; /* for so long writers waited */
};

/* Stops the writers for the moment. ERROR_BUSY when another backup is under way. */
bool backup_source_open(struct storage *storage, struct job *job, struct backup_source *source,
                        struct error *err);
/* The segments and the number of changes as they are at about this moment; nothing is held. */
bool backup_source_peek(struct storage *storage, struct backup_source *source, struct error *err);
/* The files of the index are copied. */
void backup_source_drop_index(struct backup_source *source);
/* What stood in the segments may change again. */
void backup_source_release(struct backup_source *source);
void backup_source_close(struct backup_source *source);

/* When a data directory is opened: what a backup left that did not come to its end. */
bool backup_clean_up(struct storage *storage, struct error *err);
