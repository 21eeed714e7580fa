/* SPDX-License-Identifier: MIT */
#pragma once
/* A copy of a data directory that is whole as of one moment, made while the server goes on, and
 * brought up to date by what has changed since. docs/storage-format.md has its layout. */

#include "base/job.h"
#include "storage/storage.h"

struct backup_report {
    uint64_t segments;        /* of the backup */
    uint64_t blob_bytes;      /* of the backup */
    uint64_t index_bytes;     /* of the backup */
    uint64_t copied_bytes;    /* this time (with dry_run: that would be copied) */
    uint64_t removed_bytes;   /* given back in the backup, of what was deleted in the archive */
    uint64_t latest_sequence; /* the last change of the feed that is in it */
    int64_t taken_at_ms;
    int64_t paused_us; /* for so long writers waited */
};

struct backup_options {
    const char *directory; /* made when missing (what it is in must be there); else a backup of the
                            * same archive, or empty */
    bool dry_run;          /* tells what would be copied and writes nothing */
    bool verify;           /* reads all of the backup when it is written: storage_backup_verify */
};

/* Until it returns the backup in the directory is the one before; a crash in between leaves that.
 * What was copied up to an error, a cancel or a crash is not copied again by the next one.
 * Meanwhile others store, read and delete; the space of what they delete is given back behind it.
 * ERROR_CONFLICT when the directory holds something else, or a backup of another archive;
 * ERROR_INVALID when it is the data directory, or one is within the other; ERROR_BUSY when another
 * backup is under way. */
bool storage_backup(struct storage *storage, const struct backup_options *options, struct job *job,
                    struct backup_report *report, struct error *err);

/* Reads all of a backup and compares every checksum: of the index' files, and of the records that
 * live. ERROR_CORRUPT names the first thing that does not fit; ERROR_NOT_FOUND when no backup was
 * finished there. */
bool storage_backup_verify(const char *backup_directory, struct job *job,
                           struct backup_report *report, struct error *err);

/* Fills `data_directory`, which must be missing or empty, from a backup. Nothing of it is a data
 * directory before all of it is there; an error leaves nothing. The change feed goes on at a number
 * that is above all that the lost archive gave out: Unix time in microseconds. */
bool storage_restore(const char *backup_directory, const char *data_directory, bool dry_run,
                     struct job *job, struct backup_report *report, struct error *err);
