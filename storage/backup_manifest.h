/* SPDX-License-Identifier: MIT */
#pragma once
/* The text file BACKUP: what a backup consists of. docs/storage-format.md has its lines. Only
 * storage/ and its tests include this header. */

#include "base/error.h"
#include "storage/identity.h"
#include "storage/record.h"

enum { BACKUP_FILE_NAME_SIZE = 128, INDEX_IDENTITY_SIZE = 65 };

#define BACKUP_MANIFEST         "BACKUP"
#define BACKUP_MANIFEST_PARTIAL "BACKUP.partial"

/* A file of the index. */
struct backup_file {
    char stored[BACKUP_FILE_NAME_SIZE]; /* in the backup's folder index/ */
    char name[BACKUP_FILE_NAME_SIZE];   /* in that of a data directory */
    uint64_t size;
    uint32_t crc32c;
};

struct backup_segment {
    uint32_t number;
    enum segment_kind kind;
    uint8_t nonce[NONCE_SIZE];
    uint64_t end;  /* bytes that count */
    uint64_t dead; /* the archive's count of dead records when they were last made dead here */
};

struct backup_manifest {
    char archive[IDENTITY_SIZE];
    char data[IDENTITY_SIZE];
    char backup[IDENTITY_SIZE]; /* of this one; each has another */
    char index_identity[INDEX_IDENTITY_SIZE];
    int storage_version; /* of the data directory */
    int64_t taken_at_ms;
    uint64_t sequence;      /* the last change */
    uint32_t change_crc32c; /* of that change's entry; 0 when there is none */
    struct backup_file *files;
    size_t file_count;
    size_t file_capacity;
    struct backup_segment *segments; /* by number */
    size_t segment_count;
    size_t segment_capacity;
};

/* *found false when there is none. ERROR_CORRUPT when it is damaged. */
bool backup_manifest_load(int folder_fd, const char *name, struct backup_manifest *manifest,
                          bool *found, struct error *err);
/* By rename; durable when it returns. */
bool backup_manifest_save(int folder_fd, const char *name, const struct backup_manifest *manifest,
                          struct error *err);
void backup_manifest_release(struct backup_manifest *manifest);

void backup_manifest_add_file(struct backup_manifest *manifest, const struct backup_file *file);
void backup_manifest_add_segment(struct backup_manifest *manifest,
                                 const struct backup_segment *segment);
/* NULL when there is none. */
const struct backup_file *backup_manifest_file(const struct backup_manifest *manifest,
                                               const char *stored);
struct backup_segment *backup_manifest_segment(const struct backup_manifest *manifest,
                                               uint32_t number);
uint64_t backup_manifest_index_bytes(const struct backup_manifest *manifest);
uint64_t backup_manifest_blob_bytes(const struct backup_manifest *manifest);
