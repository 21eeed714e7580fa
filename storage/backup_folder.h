/* SPDX-License-Identifier: MIT */
#pragma once
/* A folder that holds a backup, for reading. Only storage/ includes this header. */

#include "base/job.h"
#include "storage/backup.h"
#include "storage/backup_manifest.h"

struct backup_folder {
    int fd;
    int lock_fd;
    int index_fd;
    int segments_fd;
};

/* For reading; ERROR_NOT_FOUND when no backup was finished there. */
bool backup_folder_open(const char *path, struct backup_folder *folder,
                        struct backup_manifest *manifest, struct error *err);
void backup_folder_close(struct backup_folder *folder);
/* Every file is there and long enough. */
bool backup_folder_check(const struct backup_folder *folder, const struct backup_manifest *manifest,
                         struct error *err);
/* Reads all and compares. */
bool backup_folder_verify(const struct backup_folder *folder,
                          const struct backup_manifest *manifest, struct job *job,
                          struct error *err);
void backup_report_of(const struct backup_manifest *manifest, struct backup_report *report);
