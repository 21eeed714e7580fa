/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside stow_model*.c: what a request has brought, by where it stands in the spool. */

#include "archive/spool.h"
#include "dicom/image_probe.h"
#include "dicom/tag.h"
#include "dicomweb/stow_model.h"

/* A data set without its bulk data. */
struct model_instance {
    uint64_t offset; /* in the spool */
    uint64_t size;
    size_t first_reference;
    size_t reference_count;
    enum failure_reason reason; /* why it failed already */
    struct identity identity;
    char transfer_syntax[UID_SIZE]; /* as its metadata say, or "" */
    struct model_pixels *pixels;    /* when pixel data are bulk data; else NULL */
};

/* Where a value belongs. */
struct model_place {
    uint64_t offset; /* in the data set, behind the element's tag */
    uint32_t tag;
    uint16_t vr;
    bool nested;
    const char *uri; /* in an arena */
};

struct model_part {
    const char *location;
    uint64_t offset; /* in the spool */
    uint64_t size;
    size_t index; /* in the request */
    bool used;    /* a place has its location */
    bool taken;   /* into an instance */
    char media_type[32];
    char transfer_syntax[UID_SIZE];
};

struct stow_model {
    struct dicomweb *dicomweb;
    enum model_document document;
    const char *study;
    struct spool *spool;
    struct model_reader *reader; /* of the metadata part that is open */
    bool in_bulk;                /* a bulk part is open: the last one */
    struct model_instance *instances;
    size_t instance_count;
    size_t instance_capacity;
    struct model_place *places;
    size_t place_count;
    size_t place_capacity;
    struct model_part *parts;
    size_t part_count;
    size_t part_capacity;
    uint64_t text_size; /* of all URIs */
    uint64_t memory;    /* taken of the budget */
    uint64_t repeated;  /* bytes of parts that were taken already */
    size_t metadata_parts;
};

/* The parts of a URI, which stand together once they are sorted by it; *count 0 for none. */
struct model_part *stow_model_find(struct stow_model *model, const char *uri, size_t *count);

/* Before each time that a part goes into an instance. A few bytes of metadata can ask for a large
 * part, so that repetitions have a limit of their own; ERROR_LIMIT beyond it. */
bool stow_model_take(struct stow_model *model, struct model_part *part, struct error *err);

/* stow_assemble.c: writes the instance into an ingest of it, which is *out when that begins; *size
 * counts its bytes. */
bool stow_assemble(struct stow_model *model, const struct model_instance *instance,
                   struct ingest **out, uint64_t *size, struct error *err);
