/* SPDX-License-Identifier: MIT */
#pragma once
/* What becomes of the instances of a storage commitment transaction. Thread-safe. */

#include "archive/commitment_queue.h"

/* Failure Reason (PS3.3 C.14.1.1). */
enum commitment_reason {
    COMMITMENT_HELD = 0,
    COMMITMENT_FAILED = 0x0110,
    COMMITMENT_NO_INSTANCE = 0x0112,
    COMMITMENT_CLASS_CONFLICT = 0x0119,
    COMMITMENT_NO_CLASS = 0x0122,
};

struct commitment_result {
    struct buffer references; /* see commitment_list.h */
    uint16_t *reasons;        /* enum commitment_reason, by reference */
    size_t count;
    size_t failed;
};
void commitment_result_release(struct commitment_result *result);

/* Reads every byte of every instance. While the entry is younger than `wait_ms` and something has
 * not arrived: false without an error. Looks after `cancelled` between two instances:
 * ERROR_STOPPED. `result` is released after it, whatever the outcome. */
bool commitment_check(struct archive *archive, const struct commitment_entry *entry,
                      int64_t wait_ms, bool (*cancelled)(void *context), void *context,
                      struct commitment_result *result, struct error *err);
