/* SPDX-License-Identifier: MIT */
#pragma once
/* Legal holds: of a study that is held nothing is deleted and no instance replaced by its
 * senders, whoever asks; new instances may come, and what the registration corrects is corrected
 * (archive/registration.h), as what was received stays as a version. A hold is lifted, or ends at
 * its time. It stands in the index, and a copy beside it, so that an index that is made anew has it
 * too. Thread-safe. */

#include "archive/archive.h"

struct transaction;

enum {
    HOLD_MAX = 10000, /* at a time */
    HOLD_USER_SIZE = 128,
    HOLD_REASON_SIZE = 201,
};

struct hold {
    char study[UID_SIZE];
    int64_t since_ms;
    int64_t until_ms;          /* 0: until it is lifted */
    char user[HOLD_USER_SIZE]; /* who set it; "": nobody logged in */
    char reason[HOLD_REASON_SIZE];
};

/* In place of one that is there: *is_new tells whether there was none. ERROR_NOT_FOUND, ERROR_GONE:
 * there is no such study. ERROR_LIMIT beyond HOLD_MAX. After another error the hold may be there,
 * and may be set again. */
bool hold_set(struct archive *archive, const struct hold *hold, bool *is_new, struct error *err);
/* ERROR_NOT_FOUND when the study is not held. */
bool hold_lift(struct archive *archive, const char *study, struct error *err);
bool hold_find(struct archive *archive, const char *study, struct hold *hold, bool *found,
               struct error *err);
/* Those behind the study `after` (""), by UID, up to `limit`. */
bool hold_list(struct archive *archive, const char *after, size_t limit, struct hold *holds,
               size_t *count, struct error *err);

/* In the write turn: ERROR_CONFLICT when the study is held. */
bool hold_check(struct transaction *transaction, const char *study, struct error *err);

/* Writes the copy beside the index if it is not what the index says: at a start. */
bool hold_save_copy(struct archive *archive, struct error *err);
/* Into an index that is made anew. */
bool hold_adopt_copy(struct archive *archive, struct error *err);
