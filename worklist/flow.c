/* SPDX-License-Identifier: MIT */
#include "worklist/flow.h"

#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"
#include "worklist/core.h"
#include "worklist/demographics.h"
#include "worklist/kinds.h"

enum {
    KINDS = 4,
    SHELVES = 2,
    FLOW_OBJECTS = 256, /* in a turn, */
    FLOW_BYTES = 4 << 20,
};

/* The objects of a patient as of one moment. */
struct flow {
    struct object_walk *walks[KINDS * SHELVES];
    size_t walk;
    struct object object;
    /* Of the turn that is open: who has the objects that were told of `first`. */
    char first[OBJECT_KEY_SIZE];
    struct object holder; /* its key: ""; nobody yet */
    bool holder_is_known;
};

static const enum object_kind kinds[KINDS] = { OBJECT_STEP, OBJECT_PERFORMED, OBJECT_WORKITEM,
                                               OBJECT_REPORT };
static const enum object_shelf shelves[SHELVES] = { OBJECT_LIVE, OBJECT_DONE };

static void flow_close(struct flow *flow)
{
    for (size_t i = 0; i < KINDS * SHELVES; i++)
        object_walk_close(flow->walks[i]);
    object_release(&flow->object);
    object_release(&flow->holder);
}

/* In a turn, so that no object goes from one shelf to another meanwhile. */
static bool flow_open(struct turn *turn, const char *patient, struct flow *flow, struct error *err)
{
    *flow = (struct flow){ .object = object_init(), .holder = object_init() };
    for (size_t i = 0; i < KINDS * SHELVES; i++) {
        const struct object_range range = { .kind = kinds[i / SHELVES],
                                            .shelf = shelves[i % SHELVES],
                                            .index = PATIENT_NOW,
                                            .value = slice_text(patient) };
        if (!object_walk_open(turn_worklist(turn), &range, &flow->walks[i], err))
            return false;
    }
    return true;
}

/* *key NULL at the end. */
static bool flow_next(struct flow *flow, enum object_kind *kind, const char **key,
                      struct error *err)
{
    *key = NULL;
    for (; flow->walk < KINDS * SHELVES; flow->walk++) {
        *kind = kinds[flow->walk / SHELVES];
        if (!object_walk_next_key(flow->walks[flow->walk], key, err))
            return false;
        if (*key)
            return true;
    }
    return true;
}

/* Who has the object now, as flow->holder. Most of a patient's objects were told of one. */
static bool find_holder(struct turn *turn, struct flow *flow, struct error *err)
{
    char current[OBJECT_KEY_SIZE], first[OBJECT_KEY_SIZE];
    patient_first_of(&flow->object, first);
    if (flow->holder.key[0] && strcmp(first, flow->first) == 0)
        return true;
    if (!patients_resolve_in(turn, first, current, err) ||
        !turn_get(turn, OBJECT_PATIENT, current, &flow->holder, &flow->holder_is_known, err))
        return false;
    memcpy(flow->first, first, sizeof(first));
    memcpy(flow->holder.key, current, sizeof(current)); /* also of one that is not known */
    return true;
}

static bool follow(struct turn *turn, struct flow *flow, size_t *changed, struct error *err)
{
    struct object *object = &flow->object;
    bool is_changed = false;
    if (!find_holder(turn, flow, err))
        return false;
    struct slice holder = slice_text(flow->holder.key);
    if (!object_is_linked(object, PATIENT_NOW, holder)) {
        object_unlink(object, PATIENT_NOW);
        if (!object_link(object, PATIENT_NOW, holder, err))
            return false;
        is_changed = true;
    }
    if (flow->holder_is_known && !demographics_give(object, &flow->holder, &is_changed, err))
        return false;
    if (!is_changed)
        return true;
    if (!turn_put(turn, object, PATIENT_EVENT, err))
        return false;
    ++*changed;
    return true;
}

/* What is wrong with one object does not keep the others: one that cannot be read, which a
 * verification tells of, or that would become too large. */
static bool follow_one(struct turn *turn, struct flow *flow, enum object_kind kind, const char *key,
                       size_t *changed, struct error *err)
{
    struct error why = { 0 };
    bool found;
    if (turn_get(turn, kind, key, &flow->object, &found, &why) &&
        (!found || follow(turn, flow, changed, &why)))
        return true;
    if (why.code != ERROR_CORRUPT && why.code != ERROR_LIMIT && why.code != ERROR_INVALID)
        return error_set(err, why.code, "%s", why.message);
    log_warn("worklist: an object does not follow its patient kind=%s why=\"%s\"",
             object_kind_row(kind)->name, why.message);
    return true;
}

/* As many as a turn may have. *more: there are others, perhaps. */
static bool follow_some(struct turn *turn, struct flow *flow, size_t *changed, bool *more,
                        struct error *err)
{
    enum object_kind kind;
    const char *key;
    flow->holder.key[0] = '\0';
    *more = true;
    while (turn->followed < FLOW_OBJECTS && turn->followed_bytes < FLOW_BYTES) {
        if (!flow_next(flow, &kind, &key, err))
            return false;
        *more = key != NULL;
        if (!key)
            break;
        if (!follow_one(turn, flow, kind, key, changed, err))
            return false;
        turn->followed++;
        turn->followed_bytes += flow->object.dataset.size;
    }
    return true;
}

static bool leave_note(struct turn *turn, const char *patient, struct error *err)
{
    struct object note = object_init();
    note.kind = OBJECT_FLOW;
    note.shelf = OBJECT_LIVE;
    snprintf(note.key, sizeof(note.key), "%s", patient);
    bool ok = turn_put(turn, &note, 0, err);
    turn->flow_is_left = true;
    object_release(&note);
    return ok;
}

bool flow_begin(struct turn *turn, const char *patient, size_t *changed, struct error *err)
{
    struct flow flow;
    enum object_kind kind;
    const char *key = NULL;
    bool more = false;
    bool ok = flow_open(turn, patient, &flow, err) &&
              follow_some(turn, &flow, changed, &more, err) &&
              (!more || flow_next(&flow, &kind, &key, err)) &&
              (!key || leave_note(turn, patient, err));
    flow_close(&flow);
    return ok;
}

bool flow_is_left(const struct turn *turn)
{
    return turn->flow_is_left;
}

/* Behind its note. */

static bool follow_in_turn(struct worklist *worklist, struct flow *flow, size_t *changed,
                           bool *more, struct error *err)
{
    struct turn *turn = NULL;
    size_t count = 0;
    bool ok = turn_open(worklist, &turn, err) && follow_some(turn, flow, &count, more, err) &&
              (!count || turn_commit(turn, err));
    turn_close(turn);
    *changed += ok ? count : 0;
    return ok;
}

/* Unless it was left anew meanwhile: then all must follow once more. */
static bool remove_note(struct worklist *worklist, const char *patient, uint64_t revision,
                        struct error *err)
{
    struct turn *turn = NULL;
    struct object note = object_init();
    bool found = false;
    bool ok = turn_open(worklist, &turn, err) &&
              turn_get(turn, OBJECT_FLOW, patient, &note, &found, err);
    if (ok && found && note.revision == revision)
        ok = turn_delete(turn, OBJECT_FLOW, patient, &found, err) && turn_commit(turn, err);
    turn_close(turn);
    object_release(&note);
    return ok;
}

static bool begin_behind(struct worklist *worklist, const char *patient, struct flow *flow,
                         uint64_t *revision, bool *found, struct error *err)
{
    struct turn *turn = NULL;
    struct object note = object_init();
    bool ok = turn_open(worklist, &turn, err) &&
              turn_get(turn, OBJECT_FLOW, patient, &note, found, err) &&
              (!*found || flow_open(turn, patient, flow, err));
    *revision = note.revision;
    turn_close(turn);
    object_release(&note);
    return ok;
}

static bool finish_one(struct worklist *worklist, const char *patient, size_t *changed,
                       struct error *err)
{
    struct flow flow = { .object = object_init(), .holder = object_init() };
    uint64_t revision;
    bool found = false, more = true;
    bool ok = begin_behind(worklist, patient, &flow, &revision, &found, err);
    while (ok && found && more) {
        ok = follow_in_turn(worklist, &flow, changed, &more, err);
        FAULT_POINT("patient-followed");
    }
    flow_close(&flow);
    return ok && (!found || remove_note(worklist, patient, revision, err));
}

bool flow_finish(struct worklist *worklist, size_t *changed, struct error *err)
{
    char patient[OBJECT_KEY_SIZE] = "";
    for (;;) {
        const struct object_range range = { .kind = OBJECT_FLOW,
                                            .shelf = OBJECT_LIVE,
                                            .after = patient[0] ? patient : NULL };
        struct object_walk *walk = NULL;
        const char *key = NULL;
        bool ok = object_walk_open(worklist, &range, &walk, err) &&
                  object_walk_next_key(walk, &key, err);
        if (ok && key)
            snprintf(patient, sizeof(patient), "%s", key);
        object_walk_close(walk);
        if (!ok || !key)
            return ok;
        if (!finish_one(worklist, patient, changed, err))
            return false;
    }
}
