/* SPDX-License-Identifier: MIT */
#pragma once
/* What bringing instances into other forms may take at a time, of all protocols together: each
 * association and each request is small, all of them are not. Thread-safe. */

#include "archive/retrieve.h"
#include "base/decode_budget.h"

/* Memory of frames that are decoded and encoded, and of what is made of them until it is sent. */
struct decode_budget *archive_decoding(struct archive *archive);
/* Bytes of temporary files. */
struct decode_budget *archive_spooling(struct archive *archive);

enum { TRANSCODING_WAIT_MS = 10000 }; /* for others to have sent their frames */

/* Takes the memory of a frame as it is read, decoded and encoded to `to`, and up to `copy_limit`
 * for the result, of the budget. ERROR_BUSY when others have it for too long. */
bool transcoding_take(struct instance *instance, const struct transfer_syntax *to,
                      uint64_t copy_limit, uint64_t *taken, struct error *err);
void transcoding_give_back(struct instance *instance, uint64_t taken);

/* The bytes of one temporary file, as it grows. By value. */
struct spool_share {
    struct decode_budget *budget;
    uint64_t taken;
};
struct spool_share instance_spool(struct instance *instance);
/* ERROR_NO_SPACE when all temporary files together would take too much. */
bool spool_share_grow(struct spool_share *share, uint64_t size, struct error *err);
void spool_share_release(struct spool_share *share);
