/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside model_reader.c, json_reader.c and xml_reader.c: a data set that is put together attribute
 * by attribute, as a document tells of it. What is wrong with an attribute is kept as the data
 * set's error, and building goes on; what ends the document is `fatal`. */

#include "dicom/encode.h"
#include "dicom/model_reader.h"
#include "dicom/model_value.h"

/* Of one value, as the document has it. */
enum model_token {
    TOKEN_EMPTY,
    TOKEN_TEXT,
    TOKEN_NUMBER,
    TOKEN_OTHER, /* true, false: no value of any VR */
};

struct model_builder {
    struct error error; /* of the data set */
    struct error fatal;
    size_t reference_limit;
    struct buffer bytes;
    struct buffer tokens; /* values of the present attribute: kind, size, bytes */
    size_t token_count;
    struct buffer value; /* scratch */
    struct buffer uris;
    struct reference *references;
    size_t reference_count;
    size_t reference_capacity;
    struct member *members;
    size_t member_count;
    size_t member_capacity;
    struct creator *creators;
    size_t creator_count;
    struct level *levels; /* DATASET_MAX_DEPTH + 1 */
    size_t depth;
    bool beyond_ascii;
    bool charset_stated;
    struct model_reference *given; /* to the caller, with uris in place */
    struct model_dataset dataset;  /* identity and pixels are gathered here */
};

void model_builder_init(struct model_builder *builder, const struct model_limits *limits);
void model_builder_release(struct model_builder *builder);
/* For the next data set. */
void model_builder_clear(struct model_builder *builder);

void model_builder_fail(struct model_builder *builder, const char *what);
void model_builder_break(struct model_builder *builder, const char *what);

void model_builder_begin(struct model_builder *builder, uint32_t tag);
/* Unknown letters are a failure. */
void model_builder_vr(struct model_builder *builder, struct slice letters);
/* The tag of a private element by its creator's name in this item; a block is reserved when there
 * is none. */
uint32_t model_builder_private_tag(struct model_builder *builder, uint32_t tag,
                                   struct slice creator);
void model_builder_value(struct model_builder *builder, enum model_token token, struct slice text);
/* A person's name by its groups. */
void model_builder_name(struct model_builder *builder,
                        const struct slice groups[MODEL_NAME_GROUPS]);
void model_builder_item_begin(struct model_builder *builder);
void model_builder_item_end(struct model_builder *builder);
/* In base64; `spaces`: white space in it is left out. */
void model_builder_inline(struct model_builder *builder, struct slice base64, bool spaces);
void model_builder_bulk_data(struct model_builder *builder, struct slice uri);
void model_builder_end(struct model_builder *builder);
/* VR of the attribute that is open, 0 when it was not told yet. */
uint16_t model_builder_present_vr(const struct model_builder *builder);

/* The data set is complete: builder->dataset tells of it. */
void model_builder_finish(struct model_builder *builder);
size_t model_builder_memory(const struct model_builder *builder);

/* Inside model_builder*.c: the values of an attribute into its bytes. False with a reason that
 * names no value. */
struct token {
    enum model_token kind;
    struct slice text;
};
bool model_token_next(struct slice *tokens, struct token *token);
bool model_values_encode(uint16_t vr, struct slice tokens, struct buffer *value, bool *beyond_ascii,
                         const char **why);
int model_hex_digit(uint8_t c);                         /* -1: none */
bool model_tag_parse(struct slice text, uint32_t *tag); /* ggggeeee */
bool model_base64_decode(struct slice base64, bool spaces, struct buffer *bytes);
