/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicomweb/stow_model_parts.h"
#include "http/media_type.h"

enum {
    MAX_PLACES = 1 << 20, /* values apart, of one request */
    MAX_TEXT = 64 << 20,  /* of URIs and locations */
    MAX_LOCATION = 4096,
    MEMORY_STEP = 1 << 20,  /* taken of the budget at a time */
    MAX_REPEATED = 1 << 30, /* bytes of parts that are taken more than once, of one request */
    REPEATED_LEAST = 4096,  /* what an empty one counts */
    MEMORY_WAIT_MS = 10000,
};

struct stow_model *stow_model_new(struct dicomweb *dicomweb, enum model_document document,
                                  const char *study)
{
    struct stow_model *model = mem_alloc(sizeof(*model));
    model->dicomweb = dicomweb;
    model->document = document;
    model->study = study;
    model->spool = spool_new(dicomweb->archive);
    return model;
}

void stow_model_free(struct stow_model *model)
{
    if (!model)
        return;
    for (size_t i = 0; i < model->instance_count; i++)
        free(model->instances[i].pixels);
    for (size_t i = 0; i < model->place_count; i++)
        free((void *)(uintptr_t)model->places[i].uri);
    for (size_t i = 0; i < model->part_count; i++)
        free((void *)(uintptr_t)model->parts[i].location);
    free(model->instances);
    free(model->places);
    free(model->parts);
    model_reader_free(model->reader);
    spool_free(model->spool);
    decode_budget_give_back(model->dicomweb->metadata_memory, model->memory);
    free(model);
}

/* Room for one more, twice as many at a time. */
static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? 2 * *capacity : 8;
    return mem_resize_array(array, *capacity, size);
}

/* What grows with the request is within one budget for all of them. */
static bool take_memory(struct stow_model *model, struct error *err)
{
    uint64_t size = model->text_size + model->instance_capacity * sizeof(model->instances[0]) +
                    model->place_capacity * sizeof(model->places[0]) +
                    model->part_capacity * sizeof(model->parts[0]);
    uint64_t taken;
    if (model->reader)
        size += model_reader_memory(model->reader);
    if (size <= model->memory + MEMORY_STEP)
        return true;
    if (!decode_budget_take(model->dicomweb->metadata_memory, size - model->memory, MEMORY_WAIT_MS,
                            &taken, err))
        return false;
    model->memory += taken;
    return true;
}

/* Metadata. */

static bool add_places(struct stow_model *model, const struct model_dataset *dataset,
                       struct error *err)
{
    for (size_t i = 0; i < dataset->reference_count; i++) {
        const struct model_reference *reference = &dataset->references[i];
        model->text_size += reference->uri.size + 1;
        if (model->place_count == MAX_PLACES || model->text_size > MAX_TEXT)
            return error_set(err, ERROR_LIMIT, "too many values are bulk data");
        model->places = grow(model->places, model->place_count, &model->place_capacity,
                             sizeof(model->places[0]));
        model->places[model->place_count++] = (struct model_place){
            .offset = reference->offset,
            .tag = reference->tag,
            .vr = reference->vr,
            .nested = reference->nested,
            .uri = mem_copy_text_up_to((const char *)reference->uri.data, reference->uri.size),
        };
    }
    return true;
}

static bool has_pixels(const struct model_dataset *dataset)
{
    for (size_t i = 0; i < dataset->reference_count; i++)
        if (dataset->references[i].tag == TAG_PIXEL_DATA && !dataset->references[i].nested)
            return true;
    return false;
}

static void identify(const struct model_dataset *dataset, struct identity *identity)
{
    memcpy(identity->sop_class, dataset->sop_class, UID_SIZE);
    memcpy(identity->instance, dataset->instance, UID_SIZE);
    memcpy(identity->study, dataset->study, UID_SIZE);
    memcpy(identity->series, dataset->series, UID_SIZE);
    if (!uid_is_safe(slice_text(identity->instance)) ||
        !uid_is_safe(slice_text(identity->sop_class)))
        memset(identity, 0, sizeof(*identity)); /* nobody can be told of it by name */
}

static bool add_instance(struct stow_model *model, const struct model_dataset *dataset,
                         struct error *err)
{
    if (model->instance_count == model->dicomweb->part_limit)
        return error_set(err, ERROR_LIMIT, "too many instances in one request");
    model->instances = grow(model->instances, model->instance_count, &model->instance_capacity,
                            sizeof(model->instances[0]));
    struct model_instance *instance = &model->instances[model->instance_count++];
    *instance = (struct model_instance){ .offset = spool_size(model->spool),
                                         .first_reference = model->place_count };
    identify(dataset, &instance->identity);
    if (dataset->error.code != ERROR_NONE) {
        stow_log_failure(&instance->identity, &dataset->error);
        instance->reason = FAILURE_CANNOT_UNDERSTAND;
        return true;
    }
    memcpy(instance->transfer_syntax, dataset->transfer_syntax, UID_SIZE);
    instance->size = dataset->bytes.size;
    instance->reference_count = dataset->reference_count;
    if (has_pixels(dataset))
        instance->pixels = mem_copy(&dataset->pixels, sizeof(dataset->pixels));
    return add_places(model, dataset, err) && spool_append(model->spool, dataset->bytes, err);
}

static bool read_metadata(struct stow_model *model, struct error *err)
{
    struct model_dataset dataset;
    enum model_event event;
    do {
        if (!model_reader_next(model->reader, &event, &dataset, err))
            return error_add_context(err, "metadata");
        if (event == MODEL_DATASET && !add_instance(model, &dataset, err))
            return false;
        if (!take_memory(model, err))
            return false;
    } while (event == MODEL_DATASET);
    return true;
}

/* Parts. */

static bool begin_bulk_part(struct stow_model *model, const struct media_type *type,
                            const char *location, struct error *err)
{
    const char *syntax = media_type_parameter(type, "transfer-syntax");
    model->text_size += strlen(location) + 1;
    if (strlen(location) > MAX_LOCATION || model->text_size > MAX_TEXT)
        return error_set(err, ERROR_LIMIT, "a Content-Location is too long");
    model->parts = grow(model->parts, model->part_count, &model->part_capacity,
                        sizeof(model->parts[0]));
    struct model_part *part = &model->parts[model->part_count];
    *part = (struct model_part){ .index = model->part_count,
                                 .offset = spool_size(model->spool),
                                 .location = mem_copy_text(location) };
    model->part_count++;
    snprintf(part->media_type, sizeof(part->media_type), "%.31s", type->type);
    if (syntax && strcmp(syntax, "*") != 0)
        snprintf(part->transfer_syntax, sizeof(part->transfer_syntax), "%.64s", syntax);
    model->in_bulk = true;
    return take_memory(model, err);
}

bool stow_model_begin_part(struct stow_model *model, const char *content_type, const char *location,
                           struct error *err)
{
    const char *expected = model->document == MODEL_XML ? "application/dicom+xml"
                                                        : "application/dicom+json";
    struct media_type type;
    if (!content_type)
        content_type = location ? "application/octet-stream" : expected;
    if (!media_type_parse(slice_text(content_type), &type))
        return error_set(err, ERROR_INVALID, "the Content-Type of a part is none");
    bool metadata = !strcmp(type.type, expected) ||
                    (model->document == MODEL_JSON && !strcmp(type.type, "application/json"));
    if (!metadata)
        return begin_bulk_part(model, &type, location ? location : "", err);
    if (model->document == MODEL_JSON && model->metadata_parts)
        return error_set(err, ERROR_INVALID, "the metadata of all instances are one JSON array");
    model->metadata_parts++;
    model->reader = model_reader_new(model->document, NULL);
    return true;
}

bool stow_model_write(struct stow_model *model, struct slice bytes, struct error *err)
{
    if (!model->reader)
        return !model->in_bulk || spool_append(model->spool, bytes, err);
    model_reader_feed(model->reader, bytes);
    return read_metadata(model, err);
}

bool stow_model_end_part(struct stow_model *model, struct error *err)
{
    if (!model->reader) {
        struct model_part *part = &model->parts[model->part_count - 1];
        part->size = spool_size(model->spool) - part->offset;
        model->in_bulk = false;
        return true;
    }
    model_reader_finish(model->reader);
    bool ok = read_metadata(model, err);
    model_reader_free(model->reader);
    model->reader = NULL;
    return ok;
}

/* The end. */

static int compare_parts(const void *a, const void *b)
{
    const struct model_part *first = a, *second = b;
    int order = strcmp(first->location, second->location);
    return order ? order : first->index < second->index ? -1 : first->index > second->index;
}

/* The first part behind those whose location is before `uri`, or is `uri` itself. */
static size_t bound(const struct stow_model *model, const char *uri, bool behind)
{
    size_t low = 0, high = model->part_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(model->parts[middle].location, uri);
        if (order < 0 || (behind && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct model_part *stow_model_find(struct stow_model *model, const char *uri, size_t *count)
{
    size_t first = bound(model, uri, false);
    *count = bound(model, uri, true) - first;
    return model->parts + first;
}

bool stow_model_take(struct stow_model *model, struct model_part *part, struct error *err)
{
    if (part->taken)
        model->repeated += part->size > REPEATED_LEAST ? part->size : REPEATED_LEAST;
    part->taken = true;
    return model->repeated <= MAX_REPEATED ||
           error_set(err, ERROR_LIMIT, "too many values share their bulk data");
}

static void mark_used(struct stow_model *model)
{
    for (size_t i = 0; i < model->place_count; i++) {
        size_t count;
        struct model_part *parts = stow_model_find(model, model->places[i].uri, &count);
        /* All of a URI are marked together. */
        for (size_t k = 0; k < count && !parts[k].used; k++)
            parts[k].used = true;
    }
}

static size_t count_unused(const struct stow_model *model)
{
    size_t count = 0;
    for (size_t i = 0; i < model->part_count; i++)
        count += !model->parts[i].used;
    return count;
}

static void commit_instance(struct stow_model *model, const struct model_instance *instance,
                            struct stow_commit *commit)
{
    struct ingest *ingest = NULL;
    struct error err = { 0 };
    uint64_t size = 0;
    enum failure_reason reason = instance->reason;
    if (reason == FAILURE_NONE && stow_assemble(model, instance, &ingest, &size, &err)) {
        stow_commit_add_take(commit, ingest, size);
        return;
    }
    if (reason == FAILURE_NONE) {
        stow_log_failure(&instance->identity, &err);
        reason = err.code == ERROR_NOT_FOUND ? FAILURE_CANNOT_UNDERSTAND
                                             : failure_reason_of(err.code);
    }
    ingest_close(ingest);
    stow_commit_add_failure(commit, reason, &instance->identity);
}

void stow_model_commit(struct stow_model *model, struct stow_commit *commit)
{
    static const struct identity unknown;
    if (model->part_count)
        qsort(model->parts, model->part_count, sizeof(model->parts[0]), compare_parts);
    mark_used(model);
    size_t unused = count_unused(model);
    if (unused && model->instance_count == 1) {
        model->instances[0].reason = FAILURE_CANNOT_UNDERSTAND;
        unused = 0;
    }
    for (size_t i = 0; i < model->instance_count; i++)
        commit_instance(model, &model->instances[i], commit);
    while (unused--)
        stow_commit_add_failure(commit, FAILURE_CANNOT_UNDERSTAND, &unknown);
}
