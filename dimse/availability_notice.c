/* SPDX-License-Identifier: MIT */
#include "dimse/availability_notice.h"

#include <stdlib.h>
#include <string.h>

#include "archive/retrieve.h"
#include "base/memory.h"
#include "dicom/encode.h"

enum { REFERENCES_MAX = 500000, STEPS_MAX = 64 };

struct reference {
    char series[UID_SIZE];
    char sop_class[UID_SIZE];
    char instance[UID_SIZE];
    bool is_here;
};

struct notice {
    struct reference *references;
    size_t count;
    size_t capacity;
    char steps[STEPS_MAX][2][UID_SIZE]; /* SOP class and instance of performed steps */
    size_t step_count;
};

void deletions_add(struct deletions *deletions, const struct change *change)
{
    if (deletions->count == DELETIONS_MAX)
        return;
    if (deletions->count == deletions->capacity) {
        deletions->capacity = deletions->capacity ? 2 * deletions->capacity : 16;
        deletions->items = mem_resize_array(deletions->items, deletions->capacity,
                                            sizeof(*deletions->items));
    }
    deletions->items[deletions->count++] = *change;
}

void deletions_release(struct deletions *deletions)
{
    free(deletions->items);
    *deletions = (struct deletions){ .items = NULL };
}

static bool add(struct notice *notice, const struct identity *identity, bool is_here,
                struct error *err)
{
    if (notice->count == REFERENCES_MAX)
        return error_set(err, ERROR_LIMIT, "the study has too many instances");
    if (notice->count == notice->capacity) {
        notice->capacity = notice->capacity ? 2 * notice->capacity : 64;
        notice->references = mem_resize_array(notice->references, notice->capacity,
                                              sizeof(*notice->references));
    }
    struct reference *reference = &notice->references[notice->count++];
    memcpy(reference->series, identity->series, UID_SIZE);
    memcpy(reference->sop_class, identity->sop_class, UID_SIZE);
    memcpy(reference->instance, identity->instance, UID_SIZE);
    reference->is_here = is_here;
    return true;
}

/* The performed step that an instance names (PS3.3 C.7.3.1), once each. */
static void add_step(struct notice *notice, const struct dataset *header)
{
    struct dataset *item = dataset_item(header, TAG_REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE,
                                        0);
    char sop_class[UID_SIZE] = "";
    char instance[UID_SIZE] = "";
    bool is_there = item && dataset_uid(item, TAG_REFERENCED_SOP_CLASS_UID, sop_class) &&
                    dataset_uid(item, TAG_REFERENCED_SOP_INSTANCE_UID, instance);
    dataset_close(item);
    for (size_t i = 0; is_there && i < notice->step_count; i++)
        is_there = strcmp(notice->steps[i][1], instance) != 0;
    if (!is_there || notice->step_count == STEPS_MAX)
        return;
    memcpy(notice->steps[notice->step_count][0], sop_class, UID_SIZE);
    memcpy(notice->steps[notice->step_count++][1], instance, UID_SIZE);
}

static bool add_present(struct notice *notice, struct archive *archive, const char *study,
                        struct error *err)
{
    const struct selection selection = { .studies = study };
    struct retrieve *retrieve = NULL;
    struct instance *instance = NULL;
    const struct dataset *header = NULL;
    char series[UID_SIZE] = "";
    bool ok = retrieve_open(archive, &selection, &retrieve, err);
    while (ok && (ok = retrieve_next(retrieve, &instance, err)) && instance) {
        const struct identity *identity = instance_identity(instance);
        ok = add(notice, identity, true, err);
        /* Instances of a series come of one step (PS3.3 C.7.3.1): the first tells. */
        if (ok && strcmp(series, identity->series) != 0 && instance_header(instance, &header, NULL))
            add_step(notice, header);
        memcpy(series, identity->series, UID_SIZE);
    }
    retrieve_close(retrieve);
    return ok;
}

static bool add_deleted(struct notice *notice, struct archive *archive,
                        const struct deletions *deletions, struct error *err)
{
    for (size_t i = 0; i < deletions->count; i++) {
        enum change_state state = CHANGE_CURRENT;
        if (!changes_state(archive, &deletions->items[i], &state, err))
            return false;
        if (state == CHANGE_DELETED && !add(notice, &deletions->items[i].identity, false, err))
            return false;
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct reference *x = a;
    const struct reference *y = b;
    int order = strcmp(x->series, y->series);
    return order ? order : strcmp(x->instance, y->instance);
}

static void encode_steps(const struct notice *notice, struct encoder *encoder)
{
    encode_sequence_begin(encoder, TAG_REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE);
    for (size_t i = 0; i < notice->step_count; i++) {
        encode_item_begin(encoder);
        encode_text(encoder, TAG_REFERENCED_SOP_CLASS_UID, VR_UI, notice->steps[i][0]);
        encode_text(encoder, TAG_REFERENCED_SOP_INSTANCE_UID, VR_UI, notice->steps[i][1]);
        encode_sequence_begin(encoder, TAG_PERFORMED_WORKITEM_CODE_SEQUENCE);
        encode_sequence_end(encoder);
        encode_item_end(encoder);
    }
    encode_sequence_end(encoder);
}

static void encode_reference(const struct reference *reference, const char *retrieve_ae,
                             struct encoder *encoder)
{
    encode_item_begin(encoder);
    encode_text(encoder, TAG_RETRIEVE_AE_TITLE, VR_AE, retrieve_ae);
    encode_text(encoder, TAG_INSTANCE_AVAILABILITY, VR_CS,
                reference->is_here ? "ONLINE" : "UNAVAILABLE");
    encode_text(encoder, TAG_REFERENCED_SOP_CLASS_UID, VR_UI, reference->sop_class);
    encode_text(encoder, TAG_REFERENCED_SOP_INSTANCE_UID, VR_UI, reference->instance);
    encode_item_end(encoder);
}

static void encode_series(const struct notice *notice, const char *retrieve_ae,
                          struct encoder *encoder)
{
    encode_sequence_begin(encoder, TAG_REFERENCED_SERIES_SEQUENCE);
    for (size_t i = 0; i < notice->count;) {
        const char *series = notice->references[i].series;
        encode_item_begin(encoder);
        encode_sequence_begin(encoder, TAG_REFERENCED_SOP_SEQUENCE);
        for (; i < notice->count && strcmp(notice->references[i].series, series) == 0; i++)
            if (!i || compare(&notice->references[i - 1], &notice->references[i]) != 0)
                encode_reference(&notice->references[i], retrieve_ae, encoder);
        encode_sequence_end(encoder);
        encode_text(encoder, TAG_SERIES_INSTANCE_UID, VR_UI, series);
        encode_item_end(encoder);
    }
    encode_sequence_end(encoder);
}

bool availability_notice(struct archive *archive, const char *study,
                         const struct deletions *deletions, const char *retrieve_ae,
                         bool explicit_vr, struct buffer *out, size_t *count, struct error *err)
{
    struct notice *notice = mem_alloc(sizeof(*notice));
    struct encoder encoder = { out, explicit_vr };
    bool ok = add_present(notice, archive, study, err) &&
              add_deleted(notice, archive, deletions, err);
    if (ok) {
        qsort(notice->references, notice->count, sizeof(*notice->references), compare);
        encode_steps(notice, &encoder);
        encode_series(notice, retrieve_ae, &encoder);
        encode_text(&encoder, TAG_STUDY_INSTANCE_UID, VR_UI, study);
        ok = buffer_check(out, "availability notification", err);
    }
    *count = notice->count;
    free(notice->references);
    free(notice);
    return ok;
}
