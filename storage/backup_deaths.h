/* SPDX-License-Identifier: MIT */
#pragma once
/* Records that were copied by an earlier backup and have been deleted since: they become dead in
 * the backup too, so that an index that is built from it does not bring deleted images back. Only
 * storage/ includes this header. */

#include "storage/backup_manifest.h"

struct backup_deaths {
    struct blob_id *ids;
    size_t count;
    size_t capacity;
};

void backup_deaths_add(struct backup_deaths *deaths, const struct blob_id *id);
/* Those of a segment that live in the backup (whose folder segments/ is given), begin before `end`,
 * and are dead in the archive, where their headers may be gone. */
bool backup_deaths_collect(struct backup_deaths *deaths, int archive_fd, int segments_fd,
                           const struct backup_segment *entry, uint64_t end, struct error *err);
/* In the folder segments/ of the backup. Adds the bytes that were given back. May be done again. */
bool backup_deaths_apply(const struct backup_deaths *deaths, int segments_fd,
                         const struct backup_manifest *manifest, uint64_t *removed_bytes,
                         struct error *err);
void backup_deaths_release(struct backup_deaths *deaths);
