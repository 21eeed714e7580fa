/* SPDX-License-Identifier: MIT */
#pragma once
/* Instances by their places, in the order of study, series number, series, instance number and UID:
 * what a retrieval has to hold of all that it will send. Small, as a study may have a hundred
 * thousand: what many share is kept once. By value; one thread at a time. */

#include "archive/archive.h"
#include "base/buffer.h"

struct entry_list {
    struct buffer items;
    struct buffer series;   /* of the items; those behind each other in the adding are one */
    struct buffer syntaxes; /* char[UID_SIZE] each */
    struct buffer uids;     /* NUL-terminated */
};

struct entry_list entry_list_init(void);
void entry_list_release(struct entry_list *list);
void entry_list_clear(struct entry_list *list);

/* ERROR_LIMIT beyond 512 MiB. */
bool entry_list_add(struct entry_list *list, const struct identity *place, int64_t series_number,
                    int64_t number, const char *transfer_syntax, struct error *err);
void entry_list_sort(struct entry_list *list);

size_t entry_list_count(const struct entry_list *list);
/* Below the count. sop_class stays empty. */
void entry_list_place(const struct entry_list *list, size_t index, struct identity *place);
const char *entry_list_syntax(const struct entry_list *list, size_t index); /* borrowed */
