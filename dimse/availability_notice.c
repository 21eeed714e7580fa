/* SPDX-License-Identifier: MIT */
#include "dimse/availability_notice.h"

#include <stdlib.h>
#include <string.h>

#include "archive/retrieve.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "worklist/performed.h"

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

/* Once each. */
static void add_step(struct notice *notice, const char *sop_class, const char *instance)
{
    for (size_t i = 0; i < notice->step_count; i++)
        if (strcmp(notice->steps[i][1], instance) == 0)
            return;
    if (notice->step_count == STEPS_MAX)
        return;
    uid_copy(slice_text(sop_class), notice->steps[notice->step_count][0]);
    uid_copy(slice_text(instance), notice->steps[notice->step_count++][1]);
}

/* The performed step that an instance names (PS3.3 C.7.3.1). */
static void add_step_of(struct notice *notice, const struct dataset *header)
{
    struct dataset *item = dataset_item(header, TAG_REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE,
                                        0);
    char sop_class[UID_SIZE] = "";
    char instance[UID_SIZE] = "";
    if (item && dataset_uid(item, TAG_REFERENCED_SOP_CLASS_UID, sop_class) &&
        dataset_uid(item, TAG_REFERENCED_SOP_INSTANCE_UID, instance))
        add_step(notice, sop_class, instance);
    dataset_close(item);
}

static bool has_ended(const struct object *performed)
{
    return performed->state == PERFORMED_COMPLETED || performed->state == PERFORMED_DISCONTINUED;
}

/* Those of which the modality said that they are of this study. */
static bool add_performed(struct notice *notice, struct worklist *worklist, const char *study,
                          struct error *err)
{
    static const enum object_shelf shelves[] = { OBJECT_LIVE, OBJECT_DONE };
    struct object performed = object_init();
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof(shelves) / sizeof(shelves[0]); i++) {
        const struct object_range range = { .kind = OBJECT_PERFORMED,
                                            .shelf = shelves[i],
                                            .index = PERFORMED_BY_STUDY,
                                            .value = slice_text(study) };
        struct object_walk *walk = NULL;
        bool found = true;
        char uid[UID_SIZE];
        ok = object_walk_open(worklist, &range, &walk, err);
        while (ok && notice->step_count < STEPS_MAX &&
               (ok = object_walk_next(walk, &performed, &found, err)) && found)
            if (has_ended(&performed) && uid_copy(slice_text(performed.key), uid))
                add_step(notice, UID_MPPS, uid);
        object_walk_close(walk);
    }
    object_release(&performed);
    return ok;
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
            add_step_of(notice, header);
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

bool availability_notice(struct archive *archive, struct worklist *worklist, const char *study,
                         const struct deletions *deletions, const char *retrieve_ae,
                         bool explicit_vr, struct buffer *out, size_t *count, struct error *err)
{
    struct notice *notice = mem_alloc(sizeof(*notice));
    struct encoder encoder = { out, explicit_vr };
    bool ok = add_present(notice, archive, study, err) &&
              (!worklist || add_performed(notice, worklist, study, err)) &&
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

/* --- whether a step is here ---------------------------------------------------------------- */

/* In one of the studies of the step. */
static bool is_stored(struct archive *archive, const struct object *performed, const char *series,
                      const char *uid)
{
    struct slice value;
    for (size_t i = 0; object_linked(performed, PERFORMED_BY_STUDY, i, &value); i++) {
        char study[UID_SIZE];
        struct instance *instance = NULL;
        struct error absent;
        if (uid_copy(value, study) &&
            instance_open(archive, study, series, uid, &instance, &absent)) {
            instance_close(instance);
            return true;
        }
    }
    return false;
}

/* *count of those that are here; false at the first that is not. */
static bool are_stored(struct archive *archive, const struct object *performed,
                       const struct dataset *series, uint32_t sequence, size_t *count)
{
    struct dataset_items items = dataset_items(series, sequence);
    struct dataset *item;
    char series_uid[UID_SIZE] = "";
    bool ok = true;
    dataset_uid(series, TAG_SERIES_INSTANCE_UID, series_uid);
    while (ok && (item = dataset_items_next(&items))) {
        char uid[UID_SIZE] = "";
        dataset_uid(item, TAG_REFERENCED_SOP_INSTANCE_UID, uid);
        ok = is_stored(archive, performed, series_uid, uid);
        *count += ok;
        dataset_close(item);
    }
    return ok;
}

bool availability_step_is_here(struct archive *archive, struct worklist *worklist, const char *step,
                               bool *is_here, struct error *err)
{
    struct object performed = object_init();
    struct dataset *dataset = NULL;
    struct dataset *series;
    bool found = false;
    bool all = true;
    size_t count = 0;
    *is_here = false;
    bool ok = object_get(worklist, OBJECT_PERFORMED, step, &performed, &found, err) &&
              (!found || object_dataset(&performed, &dataset, err));
    if (ok && found) {
        struct dataset_items items = dataset_items(dataset, TAG_PERFORMED_SERIES_SEQUENCE);
        while (all && (series = dataset_items_next(&items))) {
            all = are_stored(archive, &performed, series, TAG_REFERENCED_IMAGE_SEQUENCE, &count) &&
                  are_stored(archive, &performed, series,
                             TAG_REFERENCED_NON_IMAGE_COMPOSITE_SEQUENCE, &count);
            dataset_close(series);
        }
        *is_here = all && count > 0;
    }
    dataset_close(dataset);
    object_release(&performed);
    return ok;
}
