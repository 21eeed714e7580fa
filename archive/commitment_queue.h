/* SPDX-License-Identifier: MIT */
#pragma once
/* The transactions of storage commitment as they are kept: one entry for a transaction, its list of
 * references in parts beside it until it was reported. Thread-safe. */

#include "archive/archive.h"
#include "archive/commitment_list.h"

/* Transactions over associations, and those over HTTP: each has a list of its own, so that neither
 * can take the other's room. */
enum commitment_queue { COMMITMENT_BY_DIMSE, COMMITMENT_BY_WEB };

enum { COMMITMENT_TITLE_SIZE = 17 };

struct commitment_entry {
    enum commitment_queue queue;
    char calling_ae[COMMITMENT_TITLE_SIZE]; /* who asked */
    char called_ae[COMMITMENT_TITLE_SIZE];  /* "" over HTTP */
    char transaction[UID_SIZE];
    bool is_reported;
    uint16_t parts;
    uint32_t count;      /* references */
    uint32_t attempts;   /* reports that were not taken */
    uint64_t checksum;   /* of the references */
    int64_t received_ms; /* Unix time */
    int64_t changed_ms;  /* when it was reported */
};

uint64_t commitment_checksum(struct slice references);

/* Keeps an entry with its references; sets `parts` and `checksum`. The entry is the last to be
 * written: it is there with all its parts or not at all. */
bool commitment_queue_put(struct archive *archive, struct commitment_entry *entry,
                          struct slice references, struct error *err);
/* Writes what changed of the entry. One that was reported needs its references no more. */
bool commitment_queue_update(struct archive *archive, struct commitment_entry *entry,
                             struct error *err);
bool commitment_queue_references(struct archive *archive, const struct commitment_entry *entry,
                                 struct buffer *references, struct error *err);
bool commitment_queue_remove(struct archive *archive, const struct commitment_entry *entry,
                             struct error *err);
/* The next entry behind `after`, a key that starts empty and is moved on; *found false at the end.
 * Parts whose entry never came are removed on the way. */
bool commitment_queue_next(struct archive *archive, enum commitment_queue queue,
                           struct buffer *after, struct commitment_entry *entry, bool *found,
                           struct error *err);
