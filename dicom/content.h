/* SPDX-License-Identifier: MIT */
#pragma once
/* The content tree of an SR document (PS3.3 C.17.3): its items in document order, each with what
 * stands below it. No recursion; as deep as a data set may nest, and of so many items. Thread-safe.
 */

#include "dicom/dataset.h"

enum { CONTENT_MAX_ITEMS = 200000, CONTENT_TREE_MAX_ITEMS = 20000 };

/* Has it a content tree? */
bool content_is_there(const struct dataset *document);

/* Value Type (0040,A040). */
enum content_type {
    CONTENT_OTHER,
    CONTENT_BY_REFERENCE, /* no value: names an item elsewhere in the tree */
    CONTENT_CONTAINER,
    CONTENT_TEXT,
    CONTENT_NUM,
    CONTENT_CODE,
    CONTENT_DATETIME,
    CONTENT_DATE,
    CONTENT_TIME,
    CONTENT_UIDREF,
    CONTENT_PNAME,
    CONTENT_COMPOSITE,
    CONTENT_IMAGE,
    CONTENT_WAVEFORM,
};

/* Relationship Type (0040,A010): how an item stands to the one that it is in. */
enum content_relation {
    RELATION_OTHER,
    RELATION_CONTAINS,
    RELATION_HAS_PROPERTIES,
    RELATION_HAS_OBSERVATION_CONTEXT,
    RELATION_HAS_ACQUISITION_CONTEXT,
    RELATION_HAS_CONCEPT_MODIFIER,
    RELATION_INFERRED_FROM,
    RELATION_SELECTED_FROM,
};

enum content_event {
    CONTENT_END,
    CONTENT_ITEM,     /* `item` begins */
    CONTENT_ITEM_END, /* `item` and all below it are over */
};

/* By value. */
struct content_walk {
    const struct dataset *item; /* of the event; borrowed until the next call */
    bool has_items;             /* others stand below it */
    bool cut;                   /* there are more items than CONTENT_MAX_ITEMS, or deeper ones */
    bool keeps;                 /* set it: items are not closed, they are the caller's to close */
    size_t depth;               /* of the item: 1 for those right below the document */
    size_t count;
    struct {
        struct dataset *item; /* NULL: the document itself */
        struct dataset_items items;
    } open[DATASET_MAX_DEPTH];
    size_t levels;
    struct dataset *ended; /* closed by the next call */
};
struct content_walk content_walk(const struct dataset *document);
enum content_event content_next(struct content_walk *walk);
/* Needed only before the end. */
void content_walk_end(struct content_walk *walk);

/* The same as nodes, for who has to look up and down. Borrows the document's bytes. Immutable. */
enum { CONTENT_CODE_SIZE = 24, CONTENT_NONE = 0 };
struct content_node {
    struct dataset *item; /* see content_item */
    enum content_type type;
    enum content_relation relation;
    /* Concept name: code and scheme, "" when there is none or it is longer than any of PS3.16's. */
    char code[CONTENT_CODE_SIZE];
    char scheme[CONTENT_CODE_SIZE];
    /* Indices into the nodes; CONTENT_NONE: there is none. */
    size_t parent, child, next;
    unsigned number; /* among those of its parent, from 1 */
};
struct content_tree {
    struct content_node *nodes; /* [0] is the document, whose item is NULL */
    const struct dataset *document;
    size_t count;
    bool cut; /* there were more than CONTENT_TREE_MAX_ITEMS, or they nest too deep */
};
void content_tree_init(struct content_tree *tree, const struct dataset *document);
void content_tree_release(struct content_tree *tree);

/* The data set of a node; of the first one the document. */
const struct dataset *content_item(const struct content_tree *tree, size_t node);

/* "1.2.3", the way of an item from the root (PS3.3 C.17.3.2.5). */
enum { CONTENT_PATH_SIZE = 11 * DATASET_MAX_DEPTH };
void content_path(const struct content_tree *tree, size_t node, char path[CONTENT_PATH_SIZE]);
/* The first item right below `node` with this concept name; CONTENT_NONE when there is none. */
size_t content_child(const struct content_tree *tree, size_t node, const char *scheme,
                     const char *code);
bool content_is(const struct content_node *node, const char *scheme, const char *code);
