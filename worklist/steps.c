/* SPDX-License-Identifier: MIT */
#include "worklist/steps.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "worklist/demographics.h"
#include "worklist/edit.h"
#include "worklist/flow.h"
#include "worklist/step_parts.h"

enum { STEP_EVENT_ORDER = 'o' /* events of the feed: the order, */, STEP_EVENT_STORED = 'n' };

/* One message, while it is applied in a turn. */
struct apply {
    struct turn *turn;
    const struct step_order *order;
    int64_t message_us;
    int64_t now_ms;
    struct step_entry *entries;
    struct step_list steps; /* of the order: those that stand, then those that are made */
    size_t known;           /* so many of them stand */
    struct step_outcome *outcome;
};

static bool is_empty(const char *text)
{
    return !text || !text[0];
}

static bool check_order(struct apply *apply, struct error *err)
{
    const struct step_order *order = apply->order;
    const char *const numbers[] = { order->placer, order->filler };
    for (size_t i = 0; i < 2; i++) {
        if (!is_empty(numbers[i]) && strlen(numbers[i]) > OBJECT_LINK_LIMIT)
            return error_set(err, ERROR_INVALID, "an order number exceeds %d bytes",
                             OBJECT_LINK_LIMIT);
    }
    if (order->step_count > STEPS_MAX)
        return error_set(err, ERROR_LIMIT, "an order has more than %d steps", STEPS_MAX);
    if (order->control == STEP_NEW && !order->step_count)
        return error_set_tag(err, ERROR_INVALID, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE,
                             "an order without a step");
    bool has_number = !is_empty(order->placer) || !is_empty(order->filler);
    for (size_t i = 0; i < order->step_count; i++) {
        struct step_entry *entry = &apply->entries[i];
        if (!step_entry_read(order->steps[i], entry, err))
            return false;
        has_number |= entry->accession[0] || entry->study_uid[0];
    }
    return has_number || error_set_tag(err, ERROR_INVALID, TAG_ACCESSION_NUMBER,
                                       "an order without a number by which it is known");
}

/* May a step with this accession number or study be of the order? Not when both have a number of
 * the placer's, or of the filler's, and they differ: several orders may share an accession number
 * and a study (the group case). */
static bool is_compatible(const struct object *step, void *context)
{
    const struct step_order *order = context;
    struct slice number;
    if (!is_empty(order->placer) && object_linked(step, STEP_BY_PLACER, 0, &number))
        return object_is_linked(step, STEP_BY_PLACER, slice_text(order->placer));
    if (!is_empty(order->filler) && object_linked(step, STEP_BY_FILLER, 0, &number))
        return object_is_linked(step, STEP_BY_FILLER, slice_text(order->filler));
    return true;
}

/* By a number that orders share. When an order has another one too, a number that stands for none
 * is left aside. */
static bool find_sharing(struct apply *apply, char link, const char *value, bool has_another,
                         struct error *err)
{
    void *context = (void *)apply->order; /* only read */
    bool common = false;
    if (has_another && !is_empty(value) &&
        !step_number_is_common(turn_worklist(apply->turn), link, value, &common, err))
        return false;
    return common ||
           step_list_load(apply->turn, &apply->steps, link, value, is_compatible, context, err);
}

static bool find_steps(struct apply *apply, struct error *err)
{
    const struct step_order *order = apply->order;
    void *context = (void *)order; /* only read */
    bool is_numbered = !is_empty(order->placer) || !is_empty(order->filler);
    bool ok = step_list_load(apply->turn, &apply->steps, STEP_BY_PLACER, order->placer, NULL, NULL,
                             err) &&
              step_list_load(apply->turn, &apply->steps, STEP_BY_FILLER, order->filler, NULL, NULL,
                             err);
    for (size_t i = 0; ok && i < apply->steps.count; i++) {
        if (!is_compatible(&apply->steps.works[i].object, context))
            ok = error_set(err, ERROR_MISMATCH, "placer and filler number are of different orders");
    }
    for (size_t i = 0; ok && i < order->step_count; i++) {
        const struct step_entry *entry = &apply->entries[i];
        ok = find_sharing(apply, STEP_BY_ACCESSION, entry->accession,
                          is_numbered || entry->study_uid[0], err) &&
             find_sharing(apply, STEP_BY_STUDY, entry->study_uid, is_numbered, err);
    }
    apply->known = apply->steps.count;
    return ok;
}

static bool is_stale(struct apply *apply, bool *stale, struct error *err)
{
    *stale = false;
    for (size_t i = 0; i < apply->known; i++) {
        struct step_facts facts;
        if (!step_facts(&apply->steps.works[i].object, &facts, err))
            return false;
        *stale |= facts.message_us > apply->message_us;
    }
    return true;
}

/* The order's patient is the one that the message names, or was merged with that one. */
static bool check_patient(struct apply *apply, const struct dataset *dataset, struct error *err)
{
    char key[OBJECT_KEY_SIZE], current[OBJECT_KEY_SIZE];
    char id[8];
    if (!dataset_string(dataset, TAG_PATIENT_ID, id, sizeof(id)))
        return true; /* the order's stays; of a new one step_compose says what is missing */
    if (!patient_key_of(dataset, key, err) || !patients_resolve_in(apply->turn, key, current, err))
        return false;
    for (size_t i = 0; i < apply->known; i++) {
        const struct object *step = &apply->steps.works[i].object;
        char holder[OBJECT_KEY_SIZE];
        if (object_is_linked(step, STEP_BY_PATIENT, slice_text(current)))
            continue;
        if (!patients_holder_in(apply->turn, step, holder, err))
            return false;
        if (strcmp(holder, current) != 0)
            return error_set_tag(err, ERROR_MISMATCH, TAG_PATIENT_ID,
                                 "the order is another patient's");
    }
    return true;
}

static bool tell_patients(struct apply *apply, struct error *err)
{
    const struct step_order *order = apply->order;
    struct patient_outcome outcome;
    char id[8];
    for (size_t i = 0; i < order->step_count; i++) {
        const struct dataset *dataset = order->steps[i];
        if (!check_patient(apply, dataset, err))
            return false;
        if (dataset_string(dataset, TAG_PATIENT_ID, id, sizeof(id)) &&
            !patients_tell(apply->turn, dataset, apply->message_us, order->source, &outcome, err))
            return false;
    }
    /* What flowed into the order's own steps. */
    for (size_t i = 0; i < apply->known; i++) {
        struct step_work *work = &apply->steps.works[i];
        bool found;
        if (!turn_get(apply->turn, OBJECT_STEP, work->before.key, &work->object, &found, err))
            return false;
        object_copy(&work->before, &work->object);
    }
    return true;
}

/* Which step an entry is of. */

static struct step_work *find_named(struct apply *apply, const struct step_entry *entry)
{
    for (size_t i = 0; i < apply->steps.count; i++) {
        struct step_work *work = &apply->steps.works[i];
        if (object_is_linked(&work->object, STEP_BY_ID, slice_text(entry->id)))
            return work;
    }
    return NULL;
}

/* Known steps that an entry names: they are no others'. */
static void mark_asked_for(struct apply *apply)
{
    for (size_t i = 0; i < apply->known; i++) {
        struct step_work *work = &apply->steps.works[i];
        for (size_t k = 0; k < apply->order->step_count && !work->asked_for; k++) {
            const char *id = apply->entries[k].id;
            work->asked_for = id[0] && object_is_linked(&work->object, STEP_BY_ID, slice_text(id));
        }
    }
}

/* `made_alone`: one whose id nobody told, so that it may get one now. */
static struct step_work *find_unnamed(struct apply *apply, bool made_alone)
{
    for (size_t i = 0; i < apply->known; i++) {
        struct step_work *work = &apply->steps.works[i];
        struct step_facts facts;
        if (work->named || work->asked_for || !step_facts(&work->object, &facts, NULL))
            continue;
        if (!made_alone || facts.id_was_made)
            return work;
    }
    return NULL;
}

static bool add_step(struct apply *apply, struct step_work **out, struct error *err)
{
    struct step_work *work = step_list_add(&apply->steps);
    if (!work)
        return error_set(err, ERROR_LIMIT, "an order has more than %d steps", STEPS_MAX);
    struct step_facts facts = { .ordered_ms = apply->now_ms };
    work->is_new = true;
    work->object.kind = OBJECT_STEP;
    work->object.shelf = OBJECT_LIVE;
    work->object.state = STEP_SCHEDULED;
    uid_make(work->object.key);
    step_facts_put(&work->object, &facts);
    *out = work;
    return true;
}

/* What is made for a step. */

/* Of the requested procedure the entry is of: what a neighbour of the same procedure has, or a new
 * one. */
static void choose_study(struct apply *apply, const struct step_entry *entry,
                         const char *procedure_id, char study_uid[UID_SIZE])
{
    for (size_t i = 0; i < apply->steps.count; i++) {
        const struct object *step = &apply->steps.works[i].object;
        struct dataset *dataset = NULL;
        char id[17] = "", uid[UID_SIZE] = "";
        if (!step->dataset.size || !object_dataset(step, &dataset, NULL))
            continue;
        dataset_string(dataset, TAG_REQUESTED_PROCEDURE_ID, id, sizeof(id));
        dataset_uid(dataset, TAG_STUDY_INSTANCE_UID, uid);
        dataset_close(dataset);
        if (uid[0] && (!entry->procedure_id[0] || strcmp(id, procedure_id) == 0)) {
            memcpy(study_uid, uid, UID_SIZE);
            return;
        }
    }
    uid_make(study_uid);
}

static void choose_procedure_id(const struct apply *apply, const struct step_entry *entry,
                                char id[17])
{
    const char *number = entry->procedure_id[0]            ? entry->procedure_id
                         : entry->accession[0]             ? entry->accession
                         : !is_empty(apply->order->placer) ? apply->order->placer
                         : !is_empty(apply->order->filler) ? apply->order->filler
                                                           : entry->study_uid;
    int size = (int)strcspn(number, "^\\");
    /* The end of a long number tells more than its beginning. */
    snprintf(id, 17, "%.*s", size > 16 ? 16 : size, number + (size > 16 ? size - 16 : 0));
}

/* The first number behind the procedure's id that no step of the order has. */
static void choose_id(const struct apply *apply, const char *procedure_id, char id[17])
{
    enum { NUMBERS = STEPS_MAX + 2 };
    bool taken[NUMBERS] = { false };
    char prefix[16];
    size_t size = (size_t)snprintf(prefix, sizeof(prefix), "%.11s-", procedure_id);
    size_t number = 1;
    for (size_t i = 0; i < apply->steps.count; i++) {
        struct slice known = slice_of(NULL, 0);
        object_linked(&apply->steps.works[i].object, STEP_BY_ID, 0, &known);
        if (known.size <= size || memcmp(known.data, prefix, size) != 0)
            continue;
        size_t told = 0;
        for (size_t k = size; k < known.size && told < NUMBERS; k++)
            told = known.data[k] >= '0' && known.data[k] <= '9'
                       ? told * 10 + (size_t)(known.data[k] - '0')
                       : NUMBERS;
        if (told < NUMBERS)
            taken[told] = true;
    }
    while (number < NUMBERS - 1 && taken[number])
        number++;
    snprintf(id, 17, "%.12s%zu", prefix, number % NUMBERS);
}

/* What an entry says of its own state counts as far as it is one of a step in the list. */
static void told_state(const struct step_entry *entry, enum step_state *state)
{
    char text[17];
    enum step_state told;
    struct dataset *item = dataset_item(entry->dataset, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, 0);
    if (item && dataset_string(item, TAG_SCHEDULED_PROCEDURE_STEP_STATUS, text, sizeof(text)) &&
        step_state_find(slice_text(text), &told) && step_is_open((uint8_t)told))
        *state = told;
    dataset_close(item);
}

static bool fill_step(struct apply *apply, struct step_work *work, const struct step_entry *entry,
                      struct error *err)
{
    struct step_defaults defaults = { .placer = apply->order->placer,
                                      .filler = apply->order->filler,
                                      .message_us = apply->message_us };
    choose_procedure_id(apply, entry, defaults.procedure_id);
    if (!entry->id[0])
        choose_id(apply, defaults.procedure_id, defaults.id);
    if (!entry->study_uid[0])
        choose_study(apply, entry, defaults.procedure_id, defaults.study_uid);
    if (!step_compose(&work->object, entry->dataset, &defaults, err))
        return false;
    if (work->is_new &&
        !object_link(&work->object, STEP_BY_SOURCE, slice_text(apply->order->source), err))
        return false;
    struct step_facts facts;
    if (!step_facts(&work->object, &facts, err))
        return false;
    facts.id_was_made = !entry->id[0] && (work->is_new || facts.id_was_made);
    step_facts_put(&work->object, &facts);
    enum step_state state = (enum step_state)work->object.state;
    if (state == STEP_CANCELLED && apply->order->control == STEP_NEW)
        state = STEP_SCHEDULED; /* ordered again */
    told_state(entry, &state);
    return step_set_state(&work->object, state, apply->now_ms, err) &&
           patients_claim(apply->turn, &work->object, err);
}

static bool take_entry(struct apply *apply, const struct step_entry *entry, struct error *err)
{
    struct step_work *work = entry->id[0] ? find_named(apply, entry) : find_unnamed(apply, false);
    if (!work && entry->id[0])
        work = find_unnamed(apply, true);
    if (!work && !add_step(apply, &work, err))
        return false;
    if (work->named && entry->id[0])
        return error_set_tag(err, ERROR_INVALID, TAG_SCHEDULED_PROCEDURE_STEP_ID,
                             "two steps have one id");
    work->named = true;
    bool is_fixed = !work->is_new && !step_is_open(work->object.state) &&
                    !(work->object.state == STEP_CANCELLED && apply->order->control == STEP_NEW);
    if (is_fixed) {
        apply->outcome->kept++;
        return true;
    }
    return fill_step(apply, work, entry, err);
}

/* Those of the same procedures that a message with ids for all does not name. */
static bool cancel_unnamed(struct apply *apply, struct error *err)
{
    if (apply->order->is_part)
        return true;
    for (size_t i = 0; i < apply->order->step_count; i++) {
        if (!apply->entries[i].id[0] || !apply->entries[i].procedure_id[0])
            return true;
    }
    for (size_t i = 0; i < apply->known; i++) {
        struct step_work *work = &apply->steps.works[i];
        struct dataset *dataset = NULL;
        char id[OBJECT_LINK_LIMIT + 1] = "";
        bool is_same = false;
        if (work->named || !step_is_open(work->object.state))
            continue;
        if (!object_dataset(&work->object, &dataset, err))
            return false;
        dataset_string(dataset, TAG_REQUESTED_PROCEDURE_ID, id, sizeof(id));
        dataset_close(dataset);
        for (size_t k = 0; k < apply->order->step_count; k++)
            is_same |= strcmp(apply->entries[k].procedure_id, id) == 0;
        if (is_same && !step_set_state(&work->object, STEP_CANCELLED, apply->now_ms, err))
            return false;
    }
    return true;
}

static bool take_entries(struct apply *apply, struct error *err)
{
    mark_asked_for(apply);
    for (size_t i = 0; i < apply->order->step_count; i++) {
        if (!take_entry(apply, &apply->entries[i], err))
            return false;
    }
    return cancel_unnamed(apply, err);
}

/* Without data sets all steps are meant, else those that have their ids. */
static bool is_meant(const struct apply *apply, const struct step_work *work)
{
    bool any_id = false;
    for (size_t i = 0; i < apply->order->step_count; i++) {
        const char *id = apply->entries[i].id;
        any_id |= id[0] != '\0';
        if (id[0] && object_is_linked(&work->object, STEP_BY_ID, slice_text(id)))
            return true;
    }
    return !any_id;
}

/* The state that a step takes by this message; its own when it stays. */
static enum step_state wanted_state(const struct step_order *order, const struct object *step)
{
    enum step_state state = (enum step_state)step->state;
    struct slice performed;
    bool is_performed = object_linked(step, STEP_BY_PERFORMED, 0, &performed);
    switch (order->control) {
    case STEP_CANCEL:
        return step_is_open(state) ? STEP_CANCELLED : state;
    case STEP_DISCONTINUE:
        return step_is_open(state)   ? STEP_CANCELLED
               : step_is_over(state) ? state
                                     : STEP_DISCONTINUED;
    case STEP_STATUS:
        /* What a modality told of a step is better known there. */
        return step_is_over(state) || is_performed ? state : order->status;
    case STEP_NEW:
    case STEP_CHANGE:
        break;
    }
    return state;
}

static bool change_states(struct apply *apply, struct error *err)
{
    bool any = false, all_cancelled = true;
    if (apply->order->control == STEP_STATUS &&
        (apply->order->status < STEP_SCHEDULED || apply->order->status > STEP_COMPLETED))
        return error_set(err, ERROR_INVALID, "no state that an order can have");
    for (size_t i = 0; i < apply->known; i++) {
        struct step_work *work = &apply->steps.works[i];
        if (!is_meant(apply, work))
            continue;
        enum step_state wanted = wanted_state(apply->order, &work->object);
        all_cancelled &= work->object.state == STEP_CANCELLED;
        if (wanted == work->object.state) {
            apply->outcome->kept += work->object.state != STEP_CANCELLED;
            continue;
        }
        any = true;
        if (!step_set_state(&work->object, wanted, apply->now_ms, err))
            return false;
    }
    return any || all_cancelled || apply->order->control == STEP_STATUS ||
           error_set(err, ERROR_CONFLICT, "no step of the order can be cancelled any more");
}

/* Writing. */

static bool is_changed(const struct step_work *work)
{
    const struct object *a = &work->object, *b = &work->before;
    return work->is_new || a->state != b->state ||
           !slice_equal(buffer_slice(&a->dataset), buffer_slice(&b->dataset)) ||
           !slice_equal(buffer_slice(&a->links), buffer_slice(&b->links));
}

static void count(struct step_outcome *outcome, const struct step_work *work)
{
    if (work->is_new)
        outcome->created++;
    else if (work->object.state == STEP_CANCELLED && work->before.state != STEP_CANCELLED)
        outcome->cancelled++;
    else if (is_changed(work))
        outcome->updated++;
}

/* The time of the message is noted with every step of the order, so that an older one is known as
 * such whatever it is about. */
static bool put_steps(struct apply *apply, struct error *err)
{
    for (size_t i = 0; i < apply->steps.count; i++) {
        struct step_work *work = &apply->steps.works[i];
        struct step_facts facts;
        if (!step_facts(&work->object, &facts, err))
            return false;
        count(apply->outcome, work);
        if (!is_changed(work) && facts.message_us == apply->message_us)
            continue;
        facts.message_us = apply->message_us;
        snprintf(facts.source, sizeof(facts.source), "%s",
                 apply->order->source ? apply->order->source : "");
        step_facts_put(&work->object, &facts);
        if (!turn_put(apply->turn, &work->object, STEP_EVENT_ORDER, err))
            return false;
    }
    return true;
}

/* Of the first step that the message names, or of the order. */
static void tell_first(struct apply *apply)
{
    const struct step_work *first = NULL;
    struct dataset *dataset = NULL;
    for (size_t i = 0; i < apply->steps.count && (!first || !first->named); i++) {
        if (!first || apply->steps.works[i].named)
            first = &apply->steps.works[i];
    }
    if (!first)
        return;
    memcpy(apply->outcome->key, first->object.key, sizeof(apply->outcome->key));
    if (object_dataset(&first->object, &dataset, NULL))
        dataset_uid(dataset, TAG_STUDY_INSTANCE_UID, apply->outcome->study_uid);
    dataset_close(dataset);
}

static bool apply_in_turn(struct apply *apply, struct error *err)
{
    struct step_outcome *outcome = apply->outcome;
    enum step_control control = apply->order->control;
    bool stale, ok;
    if (!check_order(apply, err) || !find_steps(apply, err) || !is_stale(apply, &stale, err))
        return false;
    if (!apply->known && control != STEP_NEW)
        return error_set(err, ERROR_NOT_FOUND, "no such order");
    if (stale) {
        outcome->result = STEPS_STALE;
        tell_first(apply);
        return true;
    }
    if (control == STEP_NEW || (control == STEP_CHANGE && apply->order->step_count))
        ok = tell_patients(apply, err) && take_entries(apply, err);
    else
        ok = change_states(apply, err);
    if (!ok || !put_steps(apply, err))
        return false;
    outcome->result = !apply->known                                              ? STEPS_CREATED
                      : outcome->created + outcome->updated + outcome->cancelled ? STEPS_UPDATED
                                                                                 : STEPS_UNCHANGED;
    tell_first(apply);
    return true;
}

static void release(struct apply *apply)
{
    step_list_release(&apply->steps);
    free(apply->entries);
    turn_close(apply->turn);
}

static bool begin(struct worklist *worklist, const struct step_order *order,
                  struct step_outcome *outcome, struct apply *apply, struct error *err)
{
    memset(outcome, 0, sizeof(*outcome));
    *apply = (struct apply){ .order = order, .outcome = outcome, .now_ms = clock_unix_ms() };
    apply->message_us = order->message_us ? order->message_us : clock_unix_us();
    size_t entries = order->step_count < STEPS_MAX ? order->step_count : STEPS_MAX;
    apply->entries = mem_alloc_array(entries + 1, sizeof(*apply->entries));
    return turn_open(worklist, &apply->turn, err);
}

bool steps_apply(struct worklist *worklist, const struct step_order *order,
                 struct step_outcome *outcome, struct error *err)
{
    struct apply apply;
    bool ok = begin(worklist, order, outcome, &apply, err) && apply_in_turn(&apply, err) &&
              turn_commit(apply.turn, err);
    bool is_left = ok && flow_is_left(apply.turn);
    size_t followed;
    if (ok)
        metric_add(METRIC_WORKLIST_ORDERS, 1);
    release(&apply);
    return ok && (!is_left || patients_settle(worklist, &followed, err));
}

bool steps_explain(struct worklist *worklist, const struct step_order *order,
                   struct step_outcome *outcome, struct buffer *out, struct error *err)
{
    struct apply apply;
    bool ok = begin(worklist, order, outcome, &apply, err) && apply_in_turn(&apply, err);
    for (size_t i = 0; ok && i < apply.steps.count; i++) {
        const struct buffer *dataset = &apply.steps.works[i].object.dataset;
        buffer_append_u32le(out, (uint32_t)dataset->size);
        buffer_append(out, buffer_slice(dataset));
    }
    release(&apply);
    return ok && buffer_check(out, "explanation", err);
}

/* The changes as an entry that names its step by itself. */
static bool make_entry(const struct object *step, const struct dataset *changes,
                       struct buffer *bytes, struct error *err)
{
    struct edit top = edit_init(), item = edit_init();
    struct dataset *known = NULL, *known_item = NULL, *told_item = NULL;
    bool ok = object_dataset(step, &known, err);
    size_t items = dataset_item_count(changes, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE);
    if (ok && items > 1)
        ok = error_set_tag(err, ERROR_INVALID, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE,
                           "(0040,0100) must have one item");
    if (ok) {
        known_item = dataset_item(known, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, 0);
        told_item = items ? dataset_item(changes, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, 0) : NULL;
        edit_copy_all(&top, changes);
        edit_copy(&top, known, TAG_STUDY_INSTANCE_UID);
        edit_copy_all(&item, told_item);
        edit_copy(&item, known_item, TAG_SCHEDULED_PROCEDURE_STEP_ID);
        edit_item(&top, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, &item);
        ok = edit_write(&top, bytes, err);
    }
    dataset_close(known_item);
    dataset_close(told_item);
    dataset_close(known);
    edit_release(&top);
    edit_release(&item);
    return ok;
}

static const char *first_link(const struct object *step, char link,
                              char text[OBJECT_LINK_LIMIT + 1])
{
    struct slice value = slice_text("");
    object_linked(step, link, 0, &value);
    snprintf(text, OBJECT_LINK_LIMIT + 1, "%.*s", (int)value.size, (const char *)value.data);
    return text;
}

bool steps_edit(struct worklist *worklist, const char *key, const struct dataset *changes,
                const char *source, struct step_outcome *outcome, struct error *err)
{
    struct object step = object_init();
    struct buffer bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct dataset *entry = NULL;
    char placer[OBJECT_LINK_LIMIT + 1], filler[OBJECT_LINK_LIMIT + 1];
    bool found;
    bool ok = object_get(worklist, OBJECT_STEP, key, &step, &found, err) &&
              (found || error_set(err, ERROR_NOT_FOUND, "no such entry of the worklist")) &&
              (step_is_open(step.state) ||
               error_set(err, ERROR_CONFLICT, "the step was started, or is over")) &&
              make_entry(&step, changes, &bytes, err) &&
              dataset_open(buffer_slice(&bytes),
                           transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                           &entry, err);
    if (ok) {
        const struct dataset *steps[] = { entry };
        const struct step_order order = { .control = STEP_CHANGE,
                                          .placer = first_link(&step, STEP_BY_PLACER, placer),
                                          .filler = first_link(&step, STEP_BY_FILLER, filler),
                                          .source = source,
                                          .steps = steps,
                                          .step_count = 1,
                                          .is_part = true };
        ok = steps_apply(worklist, &order, outcome, err);
    }
    dataset_close(entry);
    buffer_release(&bytes);
    object_release(&step);
    return ok;
}

bool steps_delete(struct worklist *worklist, const char *key, bool *found, struct error *err)
{
    struct object step = object_init();
    struct turn *turn = NULL;
    bool ok = turn_open(worklist, &turn, err) &&
              turn_get(turn, OBJECT_STEP, key, &step, found, err);
    if (ok && *found && (step.state == STEP_STARTED || step.state == STEP_DEPARTED))
        ok = error_set(err, ERROR_CONFLICT, "the step is being performed");
    ok = ok &&
         (!*found || (turn_delete(turn, OBJECT_STEP, key, found, err) && turn_commit(turn, err)));
    turn_close(turn);
    object_release(&step);
    return ok;
}

bool steps_exist(struct worklist *worklist, bool *any, struct error *err)
{
    struct object_range range = { .kind = OBJECT_STEP, .shelf = OBJECT_LIVE };
    size_t live, done = 0;
    if (!object_walk_count(worklist, &range, 1, &live, err))
        return false;
    range.shelf = OBJECT_DONE;
    if (!live && !object_walk_count(worklist, &range, 1, &done, err))
        return false;
    *any = live || done;
    return true;
}

/* Most studies that are stored were not ordered here: they cost no write turn. */
static bool has_steps(struct worklist *worklist, char link, const char *value, bool *any,
                      struct error *err)
{
    static const enum object_shelf shelves[] = { OBJECT_LIVE, OBJECT_DONE };
    for (size_t i = 0; i < 2 && !*any && !is_empty(value); i++) {
        size_t count;
        const struct object_range range = {
            .kind = OBJECT_STEP, .shelf = shelves[i], .index = link, .value = slice_text(value)
        };
        if (!object_walk_count(worklist, &range, 1, &count, err))
            return false;
        *any = count > 0;
    }
    return true;
}

bool steps_count_instances(struct worklist *worklist, const char *study_uid, const char *accession,
                           uint64_t instances, int64_t at_ms, struct error *err)
{
    struct step_list steps = { 0 };
    struct turn *turn = NULL;
    bool any = false;
    if (!has_steps(worklist, STEP_BY_STUDY, study_uid, &any, err) ||
        !has_steps(worklist, STEP_BY_ACCESSION, accession, &any, err))
        return false;
    if (!any)
        return true;
    any = false;
    bool ok = turn_open(worklist, &turn, err) &&
              step_list_load(turn, &steps, STEP_BY_STUDY, study_uid, NULL, NULL, err) &&
              (steps.count ||
               step_list_load(turn, &steps, STEP_BY_ACCESSION, accession, NULL, NULL, err));
    for (size_t i = 0; ok && i < steps.count; i++) {
        struct object *step = &steps.works[i].object;
        struct step_facts facts;
        ok = step_facts(step, &facts, err);
        if (!ok || facts.instances == instances)
            continue;
        facts.instances = instances;
        facts.stored_ms = at_ms;
        step_facts_put(step, &facts);
        any = true;
        ok = turn_put(turn, step, STEP_EVENT_STORED, err);
    }
    ok = ok && (!any || turn_commit(turn, err));
    step_list_release(&steps);
    turn_close(turn);
    return ok;
}
