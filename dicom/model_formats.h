/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside model_reader.c, json_reader.c and xml_reader.c: what a reader of either document is. */

#include "dicom/model_builder.h"

struct model_format_reader {
    /* Reads on until a data set or the document is complete (MODEL_DATASET, MODEL_END), all that
     * was fed is used up (MODEL_MORE), or the builder has a fatal error. */
    void (*next)(struct model_reader *reader, enum model_event *event);
    size_t (*memory)(const struct model_reader *reader); /* beside the builder's */
    void (*free)(struct model_reader *reader);
};

/* The beginning of either. */
struct model_reader {
    const struct model_format_reader *format;
    struct slice rest; /* of what was fed */
    bool finished;
    bool given; /* the data set in the builder was given to the caller */
    struct model_builder builder;
};

struct model_reader *json_reader_new(const struct model_limits *limits);
struct model_reader *xml_reader_new(const struct model_limits *limits);
