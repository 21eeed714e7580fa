/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside model_writer.c: what was written of the data set before. The instances of a series have
 * most attributes in common; where the bytes of one are the same, its text is copied. An attribute
 * is told by its bytes alone once the transfer syntax, the character set and the signedness of the
 * pixels are the same, and unless it refers to bulk data, which is the instance's own. */

#include "dicom/cursor.h"
#include "dicom/model_writer.h"

/* An attribute of the top level. */
struct alike_member {
    uint32_t tag;
    bool beyond_ascii;
    size_t begin; /* in the bytes at hand of its data set, and behind its end */
    size_t end;
    size_t text; /* in what was written of it, and behind its end */
    size_t text_end;
};

struct alike_members {
    struct alike_member *list;
    size_t count;
    size_t capacity;
};

struct model_alike {
    /* The data set before. */
    const struct transfer_syntax *syntax; /* NULL: there is none */
    const struct charset *charset;
    bool signed_pixels;
    size_t inline_limit;
    struct buffer bytes;
    struct buffer text;
    struct alike_members before;
    size_t next; /* of it, the first that may come in the present one */

    /* The present one. */
    struct alike_members now;
    uint64_t position;   /* where its attribute begins */
    size_t member_count; /* of the writer's, before that attribute */
    bool has_bulk;       /* in that attribute */
    bool beyond_ascii;   /* before it */
};

struct model_alike *model_alike_new(void);
void model_alike_free(struct model_alike *alike);

/* Before the first attribute; before each attribute of the top level and behind the last one; when
 * all is written. The step may copy attributes and move the walk behind them. */
void model_alike_begin(struct model_writer *writer, const struct dataset *dataset);
void model_alike_step(struct model_writer *writer, struct walk *walk);
void model_alike_end(struct model_writer *writer, const struct dataset *dataset);
