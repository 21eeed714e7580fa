/* SPDX-License-Identifier: MIT */
/* One step: its states, and what it has besides its data set. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "base/memory.h"
#include "dicom/fold.h"
#include "worklist/edit.h"
#include "worklist/step_parts.h"

enum { FACTS_VERSION = 1 };

static const char *const state_texts[] = {
    [STEP_SCHEDULED] = "SCHEDULED",
    [STEP_ARRIVED] = "ARRIVED",
    [STEP_READY] = "READY",
    [STEP_STARTED] = "STARTED",
    [STEP_DEPARTED] = "DEPARTED",
    [STEP_COMPLETED] = "COMPLETED",
    [STEP_DISCONTINUED] = "DISCONTINUED",
    [STEP_CANCELLED] = "CANCELLED",
};
enum { STATE_END = sizeof(state_texts) / sizeof(state_texts[0]) };

const char *step_state_text(enum step_state state)
{
    return state > 0 && (int)state < STATE_END ? state_texts[state] : "UNKNOWN";
}

bool step_state_find(struct slice text, enum step_state *state)
{
    text = fold_trim(text);
    for (int i = STEP_SCHEDULED; i < STATE_END; i++) {
        if (slice_equals_text(text, state_texts[i])) {
            *state = (enum step_state)i;
            return true;
        }
    }
    return false;
}

bool step_is_open(uint8_t state)
{
    return state < STEP_STARTED;
}

bool step_is_over(uint8_t state)
{
    return state >= STEP_COMPLETED;
}

enum object_shelf step_shelf(uint8_t state)
{
    return step_is_open(state) ? OBJECT_LIVE : OBJECT_DONE;
}

void step_facts_put(struct object *step, const struct step_facts *facts)
{
    buffer_clear(&step->own);
    buffer_append_byte(&step->own, FACTS_VERSION);
    buffer_append_u64le(&step->own, (uint64_t)facts->message_us);
    buffer_append_u64le(&step->own, (uint64_t)facts->ordered_ms);
    buffer_append_u64le(&step->own, (uint64_t)facts->started_ms);
    buffer_append_u64le(&step->own, (uint64_t)facts->ended_ms);
    buffer_append_u64le(&step->own, (uint64_t)facts->stored_ms);
    buffer_append_u64le(&step->own, facts->instances);
    fields_put_text(&step->own, facts->source);
    buffer_append_byte(&step->own, facts->id_was_made);
}

bool step_facts(const struct object *step, struct step_facts *facts, struct error *err)
{
    struct fields fields = { buffer_slice(&step->own), false };
    uint8_t version = fields_u8(&fields);
    facts->message_us = (int64_t)fields_u64(&fields);
    facts->ordered_ms = (int64_t)fields_u64(&fields);
    facts->started_ms = (int64_t)fields_u64(&fields);
    facts->ended_ms = (int64_t)fields_u64(&fields);
    facts->stored_ms = (int64_t)fields_u64(&fields);
    facts->instances = fields_u64(&fields);
    fields_text(&fields, facts->source, sizeof(facts->source));
    facts->id_was_made = fields_u8(&fields) != 0;
    if (fields.broken || version != FACTS_VERSION)
        return error_set(err, ERROR_CORRUPT, "the record of a step cannot be read");
    return true;
}

/* (0040,0020) in the item. */
static bool write_status(struct object *step, enum step_state state, struct error *err)
{
    struct edit top = edit_init(), item = edit_init();
    struct buffer bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct dataset *dataset = NULL, *step_item = NULL;
    bool ok = object_dataset(step, &dataset, err);
    if (!ok)
        goto out;
    step_item = dataset_item(dataset, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, 0);
    edit_copy_all(&top, dataset);
    edit_copy_all(&item, step_item);
    edit_text(&item, TAG_SCHEDULED_PROCEDURE_STEP_STATUS, step_state_text(state));
    edit_item(&top, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, &item);
    ok = edit_write(&top, &bytes, err);
out:
    dataset_close(step_item);
    dataset_close(dataset);
    if (ok) {
        buffer_release(&step->dataset);
        step->dataset = bytes;
    } else {
        buffer_release(&bytes);
    }
    edit_release(&top);
    edit_release(&item);
    return ok;
}

bool step_set_state(struct object *step, enum step_state state, int64_t at_ms, struct error *err)
{
    struct step_facts facts;
    if (!step_facts(step, &facts, err))
        return false;
    if (step_is_open(state))
        facts.started_ms = facts.ended_ms = 0;
    else if (!facts.started_ms && state != STEP_CANCELLED)
        facts.started_ms = at_ms;
    if (step_is_over(state) && !step_is_over(step->state))
        facts.ended_ms = at_ms;
    step->state = state;
    step->shelf = step_shelf(state);
    step_facts_put(step, &facts);
    return write_status(step, state, err);
}

/* Lists. */

void step_list_release(struct step_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        object_release(&list->works[i].object);
        object_release(&list->works[i].before);
    }
    free(list->works);
    list->works = NULL;
    list->count = 0;
}

struct step_work *step_list_add(struct step_list *list)
{
    if (list->count == STEPS_MAX)
        return NULL;
    if (!list->works)
        list->works = mem_alloc_array(STEPS_MAX, sizeof(*list->works));
    struct step_work *work = &list->works[list->count++];
    memset(work, 0, sizeof(*work));
    work->object = object_init();
    work->before = object_init();
    return work;
}

static bool is_listed(const struct step_list *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->works[i].object.key, key) == 0)
            return true;
    }
    return false;
}

static bool take_step(struct turn *turn, struct step_list *list, const char *key,
                      bool (*accepts)(const struct object *step, void *context), void *context,
                      struct error *err)
{
    bool found;
    if (is_listed(list, key))
        return true;
    struct step_work *work = step_list_add(list);
    if (!work)
        return error_set(err, ERROR_LIMIT, "an order has more than %d steps", STEPS_MAX);
    bool ok = turn_get(turn, OBJECT_STEP, key, &work->object, &found, err);
    if (ok && found && (!accepts || accepts(&work->object, context))) {
        object_copy(&work->before, &work->object);
        return true;
    }
    object_release(&work->object);
    object_release(&work->before);
    list->count--;
    return ok;
}

static const enum object_shelf shelves[] = { OBJECT_LIVE, OBJECT_DONE };

bool step_number_is_common(struct worklist *worklist, char link, const char *value, bool *common,
                           struct error *err)
{
    size_t count = 0, total = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct object_range range = {
            .kind = OBJECT_STEP, .shelf = shelves[i], .index = link, .value = slice_text(value)
        };
        if (!object_walk_count(worklist, &range, STEPS_MAX + 1, &count, err))
            return false;
        total += count;
    }
    *common = total > STEPS_MAX;
    return true;
}

bool step_list_load(struct turn *turn, struct step_list *list, char link, const char *value,
                    bool (*accepts)(const struct object *step, void *context), void *context,
                    struct error *err)
{
    bool ok = true, common;
    if (!value || !value[0])
        return true;
    if (!step_number_is_common(turn_worklist(turn), link, value, &common, err))
        return false;
    if (common)
        return error_set(err, ERROR_LIMIT, "more than %d steps share a number", STEPS_MAX);
    for (size_t i = 0; ok && i < 2; i++) {
        struct object_walk *walk = NULL;
        const char *key;
        struct object_range range = {
            .kind = OBJECT_STEP, .shelf = shelves[i], .index = link, .value = slice_text(value)
        };
        ok = object_walk_open(turn_worklist(turn), &range, &walk, err);
        while (ok && (ok = object_walk_next_key(walk, &key, err)) && key)
            ok = take_step(turn, list, key, accepts, context, err);
        object_walk_close(walk);
    }
    return ok;
}
