/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside json.c and xml.c: the one walk by which a data set becomes a document, and what each kind
 * of document puts at every step of it. */

#include "dicom/json.h"
#include "dicom/json_value.h"

/* Where an attribute stands in the output: from its begin up to the separator of the next one. */
struct model_member {
    uint32_t tag;
    size_t begin;
};

/* A data set or item that is being written. Tags that do not ascend are put in order at its end. */
struct model_object {
    size_t first_member;
    size_t begin; /* of its first attribute */
    size_t first_creator;
    bool ascending;
    bool in_sequence;  /* its last attribute is a sequence that is still open */
    size_t item_count; /* of that sequence */
};

/* Who has reserved a block of private elements (PS3.5 7.8.1) in an open item. */
struct model_creator {
    uint32_t tag; /* of the Private Creator element */
    size_t text;  /* in the writer's names, up to the next one */
};
enum { MODEL_MAX_CREATORS = 256 }; /* further ones are not named */

struct model_writer {
    const struct model_format *format;
    const struct json_options *options;
    size_t inline_limit;
    struct buffer *out;
    struct buffer text; /* scratch */
    struct model_member *members;
    size_t member_count;
    size_t member_capacity;
    struct model_object objects[DATASET_MAX_DEPTH + 1];
    size_t depth;                   /* of the innermost object: objects[depth] */
    bool beyond_ascii;              /* some text is */
    struct model_alike *alike;      /* NULL: the data set before is not known */
    struct model_creator *creators; /* MODEL_MAX_CREATORS; NULL where they are not named */
    size_t creator_count;
    struct buffer names;
};

struct model_format {
    size_t separator_size; /* of what member_begin puts before all members but the first */
    bool names_creators;   /* of private attributes */
    void (*separator)(struct buffer *out);
    void (*begin)(struct buffer *out); /* the document */
    void (*end)(struct buffer *out);
    void (*member_begin)(struct model_writer *writer, uint32_t tag, uint16_t vr);
    void (*member_end)(struct buffer *out);
    void (*item_begin)(struct buffer *out, size_t number); /* from 1 */
    void (*item_end)(struct buffer *out);
    void (*sequence_end)(struct buffer *out, size_t item_count); /* before its member_end */
    /* The values of any kind but MODEL_BINARY. */
    void (*values)(struct model_writer *writer, const struct element *element,
                   enum model_kind kind);
    void (*utf8)(struct buffer *out); /* the value of (0008,0005) */
    void (*binary)(struct buffer *out, const struct element *element);
    void (*bulk_data)(struct model_writer *writer, const char *path);
};

/* Writes all of `dataset` that the options ask for. With `alike`, for a format that names no
 * creators and options without tags: what the data set before had alike is copied, and this one
 * takes its place. */
void model_write(const struct model_format *format, const struct dataset *dataset,
                 const struct json_options *options, struct model_alike *alike, struct buffer *out);

/* The next attribute of the innermost object begins here, behind a separator; or stands there. */
void model_add_member(struct model_writer *writer, uint32_t tag);
void model_note_member(struct model_writer *writer, uint32_t tag, size_t begin);

/* Who has reserved the block of a private element; empty when nobody did. */
struct slice model_creator_of(const struct model_writer *writer, uint32_t tag);
