/* SPDX-License-Identifier: MIT */
#include "archive/commit_check.h"

#include <string.h>

#include "archive/lookup.h"

enum { TRIES = 4 };

bool commit_settle(struct archive *archive, struct error *err)
{
    return storage_settle(archive->storage, err);
}

/* Where the instance is and how it was kept. */
static bool find(struct archive *archive, const char *sop_instance, struct instance_record *record,
                 bool *found, struct error *err)
{
    struct identity identity = { 0 };
    return lookup_place(archive, sop_instance, &identity, found, err) &&
           (!*found || lookup_instance(archive, &identity, record, found, err));
}

/* *moved: the blob is not (any more) where the record said. */
static bool verify(struct archive *archive, const struct blob_id *id, bool *whole, bool *moved,
                   struct error *err)
{
    struct blob *blob = NULL;
    struct error reason = { .code = ERROR_NONE };
    *moved = false;
    *whole = blob_open(archive->storage, id, &blob, &reason) && blob_verify(blob, &reason);
    blob_close(blob);
    if (*whole)
        return true;
    *moved = reason.code == ERROR_NOT_FOUND || reason.code == ERROR_GONE;
    if (*moved || reason.code == ERROR_CORRUPT || reason.code == ERROR_IO)
        return true;
    return error_set(err, reason.code, "%s", reason.message);
}

bool commit_check(struct archive *archive, const char *sop_class, const char *sop_instance,
                  bool read_bytes, enum commit_state *state, struct error *err)
{
    struct instance_record record;
    bool found = false;
    bool whole = true;
    bool moved = true;
    bool ok = true;
    instance_record_init(&record);
    *state = COMMIT_ABSENT;
    /* A blob may move or be deleted between the look at its record and the look at its bytes. */
    for (int i = 0; ok && moved && i < TRIES; i++) {
        moved = false;
        ok = find(archive, sop_instance, &record, &found, err);
        if (ok && found && read_bytes)
            ok = verify(archive, &record.blob, &whole, &moved, err);
    }
    if (ok && found)
        *state = strcmp(record.sop_class, sop_class) != 0 ? COMMIT_OTHER_CLASS
                 : whole                                  ? COMMIT_HELD
                                                          : COMMIT_DAMAGED;
    instance_record_release(&record);
    return ok;
}
