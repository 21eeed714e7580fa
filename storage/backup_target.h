/* SPDX-License-Identifier: MIT */
#pragma once
/* The folder into which a backup is written. Only storage/ includes this header. */

#include "storage/backup.h"
#include "storage/backup_manifest.h"

struct backup_target {
    int fd;
    int lock_fd;
    int index_fd;
    int segments_fd;
    bool has_backup;
    struct backup_manifest known; /* what is there already, also of an attempt that was cut off */
};

/* With dry_run nothing is made: then descriptors may be -1. */
bool backup_target_open(struct backup_target *target, struct storage *storage,
                        const struct backup_options *options, struct error *err);
/* What is there is of this archive, of an earlier state of it. */
bool backup_target_check(struct backup_target *target, struct storage *storage,
                         const struct backup_manifest *state, struct error *err);
/* Removes all that `made` does not name. */
bool backup_target_purge(const struct backup_target *target, const struct backup_manifest *made,
                         uint64_t *removed_bytes, struct error *err);
/* The backup did not come to its end: removes what it brought, but for segments that the next one
 * needs. */
void backup_target_forget(const struct backup_target *target);
void backup_target_close(struct backup_target *target);
