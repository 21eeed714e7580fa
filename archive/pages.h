/* SPDX-License-Identifier: MIT */
#pragma once
/* Walks over whole tables of the index that hold no snapshot for long. One thread at a time. */

#include "base/buffer.h"
#include "storage/storage.h"

struct pages {
    struct storage *storage;
    enum table table;
    struct buffer lower;
    struct buffer upper;
    struct storage_cursor *cursor; /* NULL between two pages */
    unsigned taken;
    bool whole; /* all of it as of one moment */
};
void pages_open(struct pages *pages, struct storage *storage, enum table table, struct slice lower,
                struct slice upper);
/* All keys of one kind of record or document. */
void pages_open_kind(struct pages *pages, struct storage *storage, enum table table, char kind);
/* From now on as of this moment, however long it takes: for what is not many. */
bool pages_hold(struct pages *pages, struct error *err);
bool pages_next(struct pages *pages, struct slice *key, struct slice *value, bool *found,
                struct error *err);
void pages_close(struct pages *pages);
