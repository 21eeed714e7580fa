/* SPDX-License-Identifier: MIT */
/* Which studies one receiver is to be told of: what is stored and deleted, which performed steps
 * ended, and what it refused before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/changes.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dimse/availability_parts.h"
#include "worklist/changes.h"
#include "worklist/performed.h"

#define PARKED "parked."

enum {
    STUDIES_MAX = 1000, /* that wait; the feeds are read on when one is told */
    PARKED_KEY_SIZE = sizeof(PARKED) + UID_SIZE,
};

/* One that is new comes behind those that wait; `is_retry`: behind all, and else before those that
 * are only tried once more. */
static struct waiting *find(struct receiver *receiver, const char *study, bool is_retry)
{
    struct waiting **link = &receiver->waiting;
    struct waiting **place = NULL;
    for (; *link; link = &(*link)->next) {
        if (strcmp((*link)->study, study) == 0)
            return *link;
        if (!place && !is_retry && waiting_is_retry(*link))
            place = link;
    }
    place = place ? place : link;
    struct waiting *waiting = mem_alloc(sizeof(*waiting));
    memcpy(waiting->study, study, UID_SIZE);
    waiting->next = *place;
    *place = waiting;
    receiver->waiting_count++;
    return waiting;
}

static struct waiting *note(struct receiver *receiver, const char *study,
                            enum availability_feed feed, uint64_t sequence)
{
    struct waiting *waiting = find(receiver, study, false);
    if (!waiting->first[feed])
        waiting->first[feed] = sequence;
    waiting->changed_ms = clock_monotonic_ms();
    waiting->may_be_whole = true;
    waiting->attempts = 0;
    return waiting;
}

static void note_change(struct receiver *receiver, const struct change *change)
{
    struct waiting *waiting = note(receiver, change->identity.study, FEED_INSTANCES,
                                   change->sequence);
    if (change->action != CHANGE_DELETE)
        return;
    if (!waiting->deleted_ms)
        waiting->deleted_ms = waiting->changed_ms;
    deletions_add(&waiting->deletions, change);
}

static bool read_instances(struct receiver *receiver, struct error *err)
{
    struct availability_position *position = &receiver->positions[FEED_INSTANCES];
    struct changes *changes = NULL;
    struct change change;
    bool found = true;
    bool ok = changes_open(receiver->availability->archive, position->read, &changes, err);
    while (ok && receiver->waiting_count < STUDIES_MAX) {
        ok = changes_next(changes, &change, &found, err);
        if (!ok || !found)
            break;
        note_change(receiver, &change);
        position->read = change.sequence;
    }
    changes_close(changes);
    return ok;
}

/* --- performed steps ----------------------------------------------------------------------- */

static bool has_ended(const struct object_change *change)
{
    return change->kind == OBJECT_PERFORMED && change->action == OBJECT_UPDATED &&
           change->state != change->state_before &&
           (change->state == PERFORMED_COMPLETED || change->state == PERFORMED_DISCONTINUED);
}

static bool note_step(struct receiver *receiver, struct worklist *worklist,
                      const struct object_change *change, struct error *err)
{
    struct object performed = object_init();
    struct slice value;
    bool found = false;
    bool ok = object_get(worklist, OBJECT_PERFORMED, change->key, &performed, &found, err);
    for (size_t i = 0; ok && found; i++) {
        char study[UID_SIZE];
        if (!object_linked(&performed, PERFORMED_BY_STUDY, i, &value))
            break;
        if (uid_copy(value, study))
            uid_copy(slice_text(change->key),
                     note(receiver, study, FEED_STEPS, change->sequence)->step);
    }
    object_release(&performed);
    return ok;
}

static bool read_steps(struct receiver *receiver, struct worklist *worklist, struct error *err)
{
    struct availability_position *position = &receiver->positions[FEED_STEPS];
    struct object_changes *changes = NULL;
    struct object_change change;
    bool found = true;
    bool ok = object_changes_open(worklist, position->read, &changes, err);
    while (ok && receiver->waiting_count < STUDIES_MAX) {
        ok = object_changes_next(changes, &change, &found, err);
        if (!ok || !found)
            break;
        /* One that cannot be read holds up no others. */
        ok = !has_ended(&change) || note_step(receiver, worklist, &change, err) ||
             err->code == ERROR_CORRUPT;
        if (ok)
            position->read = change.sequence;
    }
    object_changes_close(changes);
    return ok;
}

/* --- what is parked ------------------------------------------------------------------------ */

static const char *follower_of(const struct receiver *receiver)
{
    return receiver->positions[FEED_INSTANCES].follower;
}

static void make_key(const char *study, char key[PARKED_KEY_SIZE])
{
    snprintf(key, PARKED_KEY_SIZE, PARKED "%.64s", study);
}

static void count_parked(struct receiver *receiver, int64_t change)
{
    receiver->parked += (uint64_t)change;
    metric_add(METRIC_AVAILABILITY_PARKED, change);
}

/* The study of the next one behind `after`. */
static bool next_parked(struct receiver *receiver, const char *after, char study[UID_SIZE],
                        bool *found, struct error *err)
{
    char key[PARKED_KEY_SIZE];
    struct buffer next = buffer_up_to(PARKED_KEY_SIZE);
    make_key(after, key);
    bool ok = follower_next_key(receiver->availability->archive, follower_of(receiver), key, &next,
                                found, err);
    *found = ok && *found && slice_starts_with(buffer_slice(&next), slice_text(PARKED)) &&
             uid_copy(slice_skip(buffer_slice(&next), sizeof(PARKED) - 1), study);
    buffer_release(&next);
    return ok;
}

static bool is_parked(struct receiver *receiver, const char *study, bool *parked, struct error *err)
{
    struct buffer value = buffer_up_to(16);
    char key[PARKED_KEY_SIZE];
    make_key(study, key);
    bool ok = follower_get(receiver->availability->archive, follower_of(receiver), key, &value,
                           parked, err);
    buffer_release(&value);
    return ok;
}

/* What is parked and in doubt. */
static void doubt(struct doubts *doubts, const char *study)
{
    if (doubts->next) {
        doubts->count -= doubts->next;
        doubts->due -= doubts->next;
        memmove(doubts->studies, doubts->studies + doubts->next, doubts->count * UID_SIZE);
        doubts->next = 0;
    }
    doubts->are_all |= doubts->count == AVAILABILITY_DOUBTS;
    if (doubts->are_all)
        return;
    if (doubts->count == doubts->capacity) {
        doubts->capacity = doubts->capacity ? 2 * doubts->capacity : 16;
        doubts->studies = mem_resize_array(doubts->studies, doubts->capacity, UID_SIZE);
    }
    memcpy(doubts->studies[doubts->count++], study, UID_SIZE);
}

void availability_retry_all(struct receiver *receiver)
{
    receiver->parked_due = true;
    receiver->parked_at[0] = '\0';
}

static void resume(struct receiver *receiver)
{
    struct doubts *doubts = &receiver->doubts;
    if (doubts->are_all) {
        availability_retry_all(receiver);
        doubts->next = doubts->due = doubts->count = 0;
        doubts->are_all = false;
    }
    doubts->due = doubts->count;
}

/* The next one that is to be tried, of those in doubt first. */
static bool next_retry(struct receiver *receiver, char study[UID_SIZE], bool *found,
                       struct error *err)
{
    struct doubts *doubts = &receiver->doubts;
    *found = false;
    while (doubts->next < doubts->due) {
        memcpy(study, doubts->studies[doubts->next], UID_SIZE);
        if (!is_parked(receiver, study, found, err))
            return false;
        doubts->next++;
        if (*found)
            return true;
    }
    if (!receiver->parked_due)
        return true;
    if (!next_parked(receiver, receiver->parked_at, study, found, err))
        return false;
    receiver->parked_due = *found;
    memcpy(receiver->parked_at, *found ? study : "", *found ? UID_SIZE : 1);
    return true;
}

static size_t count_retries(const struct receiver *receiver)
{
    size_t count = 0;
    for (const struct waiting *one = receiver->waiting; one; one = one->next)
        count += waiting_is_retry(one);
    return count;
}

/* One attempt each, a few at a time: a receiver that goes on refusing them must not keep others
 * from being told. */
static bool read_parked(struct receiver *receiver, struct error *err)
{
    size_t retries = count_retries(receiver);
    bool found = true;
    bool ok = true;
    while (ok && found && retries < AVAILABILITY_RETRIES && receiver->waiting_count < STUDIES_MAX) {
        char study[UID_SIZE];
        ok = next_retry(receiver, study, &found, err);
        if (!ok || !found)
            break;
        struct waiting *waiting = find(receiver, study, true);
        waiting->is_parked = true;
        waiting->is_whole = true;
        if (!waiting->changed_ms) {
            waiting->attempts = AVAILABILITY_ATTEMPTS - 1;
            retries++;
        }
    }
    return ok;
}

static void drop(struct receiver *receiver, struct waiting *waiting)
{
    struct waiting **link = &receiver->waiting;
    while (*link != waiting)
        link = &(*link)->next;
    *link = waiting->next;
    receiver->waiting_count--;
    deletions_release(&waiting->deletions);
    free(waiting);
}

bool availability_conclude(struct receiver *receiver, struct waiting *waiting, bool told,
                           struct error *err)
{
    struct archive *archive = receiver->availability->archive;
    char key[PARKED_KEY_SIZE];
    bool was_parked = false; /* by an earlier change, too */
    make_key(waiting->study, key);
    bool ok = is_parked(receiver, waiting->study, &was_parked, err) &&
              (was_parked != told || follower_put(archive, follower_of(receiver), key,
                                                  told ? slice_of(NULL, 0) : slice_text("1"), err));
    if (!ok)
        return false;
    if (was_parked == told)
        count_parked(receiver, told ? -1 : 1);
    if (!waiting->is_parked && told)
        resume(receiver);
    else if (!waiting->is_parked)
        doubt(&receiver->doubts, waiting->study);
    drop(receiver, waiting);
    return true;
}

/* --- positions ----------------------------------------------------------------------------- */

bool availability_read(struct receiver *receiver, struct worklist *worklist, struct error *err)
{
    return read_parked(receiver, err) && read_instances(receiver, err) &&
           (!worklist || read_steps(receiver, worklist, err));
}

bool availability_save(struct receiver *receiver, struct error *err)
{
    for (size_t feed = 0; feed < AVAILABILITY_FEEDS; feed++) {
        struct availability_position *position = &receiver->positions[feed];
        uint64_t upto = position->read;
        for (const struct waiting *one = receiver->waiting; one; one = one->next)
            if (one->first[feed] && one->first[feed] <= upto)
                upto = one->first[feed] - 1;
        if (upto == position->saved)
            continue;
        if (!follower_save(receiver->availability->archive, position->follower, upto, err))
            return false;
        position->saved = upto;
    }
    return true;
}

static bool load_position(struct receiver *receiver, struct availability_position *position,
                          uint64_t latest, struct error *err)
{
    struct archive *archive = receiver->availability->archive;
    struct buffer begun = buffer_up_to(16);
    bool found = false;
    bool ok = follower_position(archive, position->follower, &position->saved, err) &&
              follower_get(archive, position->follower, "begun", &begun, &found, err);
    buffer_release(&begun);
    position->read = position->saved;
    if (!ok || found)
        return ok;
    position->read = position->saved = latest;
    return follower_save(archive, position->follower, latest, err) &&
           follower_put(archive, position->follower, "begun", slice_text("1"), err);
}

bool availability_load(struct receiver *receiver, struct worklist *worklist, struct error *err)
{
    char study[UID_SIZE] = "";
    bool found = true;
    bool ok = load_position(receiver, &receiver->positions[FEED_INSTANCES],
                            changes_latest(receiver->availability->archive), err) &&
              (!worklist || load_position(receiver, &receiver->positions[FEED_STEPS],
                                          object_changes_latest(worklist), err));
    while (ok && (ok = next_parked(receiver, study, study, &found, err)) && found)
        count_parked(receiver, 1);
    return ok;
}

void availability_forget(struct receiver *receiver)
{
    while (receiver->waiting)
        drop(receiver, receiver->waiting);
    free(receiver->doubts.studies);
    receiver->doubts = (struct doubts){ .studies = NULL };
    count_parked(receiver, -(int64_t)receiver->parked);
}
