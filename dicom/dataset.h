/* SPDX-License-Identifier: MIT */
#pragma once
/* A data set in its encoded form, read in place: attribute values by tag, items of sequences, a
 * flat walk. It borrows the bytes. Reads only what dicom/scan has passed, and is bounded all the
 * same. Immutable, thread-safe. */

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "dicom/charset.h"
#include "dicom/scan.h"
#include "dicom/tag.h"
#include "dicom/uid.h"

enum { DATASET_MAX_DEPTH = 64 };

struct dataset;

struct element {
    uint32_t tag;
    uint16_t vr;     /* implicit VR and UN: from the dictionary where it knows the tag */
    bool elided;     /* the value was left out: it stands in the data set at `offset` */
    uint64_t offset; /* of the value in the data set */
    uint64_t size;   /* of the value; for a sequence of undefined length: with its delimiter (in a
                        walk: known only when it ends) */
    struct slice
        value; /* as encoded, in the data set's byte order; empty when elided or zero-length */
    bool undefined_length;
    bool big_endian; /* order of the value's bytes; not the syntax's inside UN (PS3.5 6.2.2) */
    bool implicit;   /* a sequence's items are in implicit VR: the syntax is, or it came as UN */
    const struct charset *charset; /* that of the item it stands in */
};

/* `elisions` (may be NULL) are copied; `bytes` must outlive the data set. For a deflated syntax the
 * bytes are inflated ones. ERROR_INVALID when the top level cannot be walked. */
bool dataset_open(struct slice bytes, const struct transfer_syntax *syntax,
                  const struct elision *elisions, size_t elision_count, struct dataset **out,
                  struct error *err);
void dataset_close(struct dataset *dataset);
const struct transfer_syntax *dataset_syntax(const struct dataset *dataset);

/* Top level only. With several of one tag, the first. */
bool dataset_find(const struct dataset *dataset, uint32_t tag, struct element *element);
/* Along a path: tag, then in the first item of that sequence the next tag, and so on. */
bool dataset_find_path(const struct dataset *dataset, const uint32_t *path, size_t depth,
                       struct element *element);

/* The values as people read them: UTF-8, padding off, all values with backslashes between. Numbers
 * (US, FD ...) are written in decimal. Appends; false and nothing appended when absent, elided or
 * empty. */
bool dataset_text(const struct dataset *dataset, uint32_t tag, struct buffer *text);
/* The first value, as a text that stands in `text` (cut at a character when it is longer); "" when
 * absent. */
bool dataset_string(const struct dataset *dataset, uint32_t tag, char *text, size_t size);
bool dataset_uid(const struct dataset *dataset, uint32_t tag, char uid[UID_SIZE]);
bool dataset_integer(const struct dataset *dataset, uint32_t tag,
                     int64_t *value); /* IS, US, UL ... */

/* Item `index` (from 0) of a sequence, as a data set of its own that borrows the same bytes,
 * character set inherited (PS3.3 C.12.1.1.2). NULL when there is none. Close it. */
struct dataset *dataset_item(const struct dataset *dataset, uint32_t tag, size_t index);
size_t dataset_item_count(const struct dataset *dataset, uint32_t tag);

/* All items in turn, by value: dataset_item counts from the first one each time, which over the
 * many items of a peer takes too long. */
struct dataset_items {
    const struct dataset *dataset;
    uint64_t position;
    uint64_t end;
    size_t elision;
    bool implicit;
};
struct dataset_items dataset_items(const struct dataset *dataset, uint32_t tag);
struct dataset *dataset_items_next(struct dataset_items *items); /* NULL: no more. Close it. */

/* Where the items of one sequence stand, for who asks for many of them by number: to open one costs
 * the same whatever its number. Immutable, thread-safe; borrows the data set. */
struct item_index;
struct item_index *item_index_new(const struct dataset *dataset, uint32_t tag);
void item_index_free(struct item_index *index);
struct dataset *item_index_open(const struct item_index *index,
                                size_t number); /* as dataset_item */

/* A value of this data set (or of an item in it) as UTF-8, padding off, values with backslashes
 * between. */
bool dataset_element_text(const struct dataset *dataset, const struct element *element,
                          struct buffer *text);

/* The flat walk through everything, items and nested sequences included, in the order of the bytes.
 * By value. */
enum walk_event {
    WALK_END,      /* no more; or the bytes are broken: walk.broken */
    WALK_ELEMENT,  /* a value */
    WALK_SEQUENCE, /* a sequence begins; its items follow */
    WALK_SEQUENCE_END,
    WALK_ITEM,
    WALK_ITEM_END,
};
struct walk {
    const struct dataset *dataset;
    bool broken;
    bool inside;  /* one sequence: the walk ends with it */
    size_t depth; /* number of open sequences */
    uint64_t position;
    size_t elision;
    struct {
        uint32_t tag;
        bool in_item;
        bool undefined_sequence;
        bool undefined_item;
        bool implicit; /* inside UN of undefined length (PS3.5 6.2.2) */
        uint64_t sequence_end;
        uint64_t item_end;
        size_t item;                   /* number of the open item, from 0 */
        const struct charset *charset; /* of the open item */
    } open[DATASET_MAX_DEPTH];
};
struct walk dataset_walk(const struct dataset *dataset);
enum walk_event walk_next(struct walk *walk, struct element *element);
