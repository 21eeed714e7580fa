/* SPDX-License-Identifier: MIT */
#include "dicom/model_reader.h"

#include <stdlib.h>

#include "dicom/model_formats.h"

struct model_reader *model_reader_new(enum model_document document,
                                      const struct model_limits *limits)
{
    return document == MODEL_XML ? xml_reader_new(limits) : json_reader_new(limits);
}

void model_reader_free(struct model_reader *reader)
{
    if (reader)
        reader->format->free(reader);
}

void model_reader_feed(struct model_reader *reader, struct slice bytes)
{
    reader->rest = bytes;
}

void model_reader_finish(struct model_reader *reader)
{
    reader->finished = true;
}

bool model_reader_next(struct model_reader *reader, enum model_event *event,
                       struct model_dataset *dataset, struct error *err)
{
    struct model_builder *builder = &reader->builder;
    if (reader->given)
        model_builder_clear(builder);
    reader->given = false;
    *event = MODEL_MORE;
    if (builder->fatal.code == ERROR_NONE)
        reader->format->next(reader, event);
    if (builder->fatal.code == ERROR_NONE && *event == MODEL_DATASET)
        model_builder_finish(builder);
    if (builder->fatal.code != ERROR_NONE) {
        if (err)
            *err = builder->fatal;
        return false;
    }
    if (*event == MODEL_DATASET) {
        *dataset = builder->dataset;
        reader->given = true;
    }
    return true;
}

bool model_reader_next_of_all(struct model_reader *reader, enum model_event *event,
                              struct model_dataset *dataset, struct error *err)
{
    if (!model_reader_next(reader, event, dataset, err))
        return false;
    if (*event != MODEL_MORE)
        return true;
    model_reader_finish(reader);
    return model_reader_next(reader, event, dataset, err);
}

size_t model_reader_memory(const struct model_reader *reader)
{
    return model_builder_memory(&reader->builder) + reader->format->memory(reader);
}
