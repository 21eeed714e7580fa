/* SPDX-License-Identifier: MIT */
#include "worklist/patients.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/fields.h"
#include "dicom/fold.h"
#include "dicom/patient_chain.h"
#include "worklist/demographics.h"
#include "worklist/flow.h"

enum { FACTS_VERSION = 1, SOURCE_SIZE = 32, KIN_MAX = 1000 };

/* What a patient has besides the demographics. */
struct facts {
    int64_t told_us;   /* time of the message that told the demographics */
    int64_t merged_us; /* and of the one that merged or unmerged */
    char survivor[OBJECT_KEY_SIZE];
    char source[SOURCE_SIZE];
};

static void put_facts(struct object *patient, const struct facts *facts)
{
    buffer_clear(&patient->own);
    buffer_append_byte(&patient->own, FACTS_VERSION);
    buffer_append_u64le(&patient->own, (uint64_t)facts->told_us);
    buffer_append_u64le(&patient->own, (uint64_t)facts->merged_us);
    fields_put_text(&patient->own, facts->survivor);
    fields_put_text(&patient->own, facts->source);
}

static bool get_facts(const struct object *patient, struct facts *facts, struct error *err)
{
    struct fields fields = { buffer_slice(&patient->own), false };
    uint8_t version = fields_u8(&fields);
    facts->told_us = (int64_t)fields_u64(&fields);
    facts->merged_us = (int64_t)fields_u64(&fields);
    fields_text(&fields, facts->survivor, sizeof(facts->survivor));
    fields_text(&fields, facts->source, sizeof(facts->source));
    if (fields.broken || version != FACTS_VERSION)
        return error_set(err, ERROR_CORRUPT, "the record of a patient cannot be read");
    return true;
}

bool patient_survivor(const struct object *patient, char key[OBJECT_KEY_SIZE], struct error *err)
{
    struct facts facts;
    if (!get_facts(patient, &facts, err))
        return false;
    snprintf(key, OBJECT_KEY_SIZE, "%s", facts.survivor);
    return true;
}

bool patient_key_make(struct slice patient_id, struct slice issuer, char key[OBJECT_KEY_SIZE],
                      struct error *err)
{
    patient_id = fold_trim(patient_id);
    issuer = fold_trim(issuer);
    if (!patient_id.size)
        return error_set_tag(err, ERROR_INVALID, TAG_PATIENT_ID, "there is no Patient ID");
    if (patient_id.size + issuer.size + 2 > OBJECT_KEY_SIZE)
        return error_set_tag(err, ERROR_INVALID, TAG_PATIENT_ID,
                             "Patient ID and issuer exceed %d bytes", OBJECT_KEY_SIZE - 2);
    if (memchr(patient_id.data, '\\', patient_id.size) ||
        memchr(patient_id.data, 0, patient_id.size) ||
        (issuer.size && memchr(issuer.data, 0, issuer.size)))
        return error_set_tag(err, ERROR_INVALID, TAG_PATIENT_ID, "Patient ID is none");
    memcpy(key, patient_id.data, patient_id.size);
    key[patient_id.size] = '\\';
    if (issuer.size)
        memcpy(key + patient_id.size + 1, issuer.data, issuer.size);
    key[patient_id.size + 1 + issuer.size] = '\0';
    return true;
}

bool patient_key_of(const struct dataset *dataset, char key[OBJECT_KEY_SIZE], struct error *err)
{
    struct buffer id = buffer_up_to(OBJECT_OWN_LIMIT);
    struct buffer issuer = buffer_up_to(OBJECT_OWN_LIMIT);
    dataset_text(dataset, TAG_PATIENT_ID, &id);
    dataset_text(dataset, TAG_ISSUER_OF_PATIENT_ID, &issuer);
    bool ok = patient_key_make(buffer_slice(&id), buffer_slice(&issuer), key, err);
    buffer_release(&id);
    buffer_release(&issuer);
    return ok;
}

/* Who has an ID now. */

typedef bool read_object(void *from, enum object_kind kind, const char *key, struct object *object,
                         bool *found, struct error *err);

static bool read_in_turn(void *from, enum object_kind kind, const char *key, struct object *object,
                         bool *found, struct error *err)
{
    return turn_get(from, kind, key, object, found, err);
}

static bool read_committed(void *from, enum object_kind kind, const char *key,
                           struct object *object, bool *found, struct error *err)
{
    return object_get(from, kind, key, object, found, err);
}

static bool resolve(read_object *read, void *from, const char *key, char current[OBJECT_KEY_SIZE],
                    size_t *merges, struct error *err)
{
    struct object patient = object_init();
    struct facts facts;
    bool found = true, ok = true;
    snprintf(current, OBJECT_KEY_SIZE, "%s", key);
    *merges = 0;
    for (size_t hops = 0; ok && found; hops++) {
        ok = read(from, OBJECT_PATIENT, current, &patient, &found, err);
        if (!ok || !found || patient.state != PATIENT_MERGED)
            break;
        ok = (hops < PATIENT_CHAIN_MAX ||
              error_set_tag(err, ERROR_LIMIT, TAG_PATIENT_ID, "a chain of more than %d merges",
                            PATIENT_CHAIN_MAX)) &&
             get_facts(&patient, &facts, err);
        if (ok) {
            memcpy(current, facts.survivor, OBJECT_KEY_SIZE);
            ++*merges;
        }
    }
    object_release(&patient);
    return ok;
}

bool patients_resolve(struct worklist *worklist, const char *key, char current[OBJECT_KEY_SIZE],
                      struct error *err)
{
    size_t merges;
    return resolve(read_committed, worklist, key, current, &merges, err);
}

bool patients_resolve_in(struct turn *turn, const char *key, char current[OBJECT_KEY_SIZE],
                         struct error *err)
{
    size_t merges;
    return resolve(read_in_turn, turn, key, current, &merges, err);
}

/* Whose an object is. */

void patient_first_of(const struct object *object, char key[OBJECT_KEY_SIZE])
{
    struct slice first = slice_of(NULL, 0);
    if (!object_linked(object, PATIENT_FIRST, 0, &first))
        object_linked(object, PATIENT_NOW, 0, &first);
    snprintf(key, OBJECT_KEY_SIZE, "%.*s", (int)first.size,
             first.size ? (const char *)first.data : "");
}

bool patients_holder(struct worklist *worklist, const struct object *object,
                     char current[OBJECT_KEY_SIZE], struct error *err)
{
    char first[OBJECT_KEY_SIZE];
    patient_first_of(object, first);
    return patients_resolve(worklist, first, current, err);
}

bool patients_holder_in(struct turn *turn, const struct object *object,
                        char current[OBJECT_KEY_SIZE], struct error *err)
{
    char first[OBJECT_KEY_SIZE];
    patient_first_of(object, first);
    return patients_resolve_in(turn, first, current, err);
}

/* Messages. */

static int64_t time_or_now(int64_t message_us)
{
    return message_us ? message_us : clock_unix_us();
}

static void set_source(struct facts *facts, const char *source)
{
    snprintf(facts->source, sizeof(facts->source), "%s", source ? source : "");
}

/* A patient that nothing was told of but the ID. */
static bool begin_patient(const char *key, struct object *patient, struct facts *facts,
                          struct error *err)
{
    object_clear(patient);
    patient->kind = OBJECT_PATIENT;
    patient->shelf = OBJECT_LIVE;
    patient->state = PATIENT_ACTIVE;
    snprintf(patient->key, sizeof(patient->key), "%s", key);
    memset(facts, 0, sizeof(*facts));
    return demographics_of_key(key, &patient->dataset, err);
}

static bool load_patient(struct turn *turn, const char *key, struct object *patient,
                         struct facts *facts, bool *found, struct error *err)
{
    if (!turn_get(turn, OBJECT_PATIENT, key, patient, found, err))
        return false;
    return *found ? get_facts(patient, facts, err) : begin_patient(key, patient, facts, err);
}

bool patients_tell(struct turn *turn, const struct dataset *demographics, int64_t message_us,
                   const char *source, struct patient_outcome *outcome, struct error *err)
{
    struct object patient = object_init();
    struct buffer dataset = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct facts facts;
    char key[OBJECT_KEY_SIZE];
    bool found;
    memset(outcome, 0, sizeof(*outcome));
    bool ok = patient_key_of(demographics, key, err) &&
              load_patient(turn, key, &patient, &facts, &found, err) &&
              demographics_merge(&patient, demographics, &dataset, err) &&
              patients_resolve_in(turn, key, outcome->key, err);
    if (!ok)
        goto out;
    if (found && message_us < facts.told_us) {
        outcome->result = PATIENT_STALE;
        goto out;
    }
    bool same = found && slice_equal(buffer_slice(&dataset), buffer_slice(&patient.dataset));
    outcome->result = !found ? PATIENT_CREATED : same ? PATIENT_UNCHANGED : PATIENT_UPDATED;
    if (same && message_us == facts.told_us)
        goto out;
    facts.told_us = message_us;
    set_source(&facts, source);
    put_facts(&patient, &facts);
    buffer_clear(&patient.dataset);
    buffer_append(&patient.dataset, buffer_slice(&dataset));
    ok = turn_put(turn, &patient, 0, err);
    if (ok && !same && patient.state == PATIENT_ACTIVE)
        ok = flow_begin(turn, key, &outcome->objects, err);
out:
    object_release(&patient);
    buffer_release(&dataset);
    return ok;
}

/* What did not follow in the turn follows behind it; when that fails the note of it stays. */
static bool close_told(struct worklist *worklist, struct turn *turn, bool ok,
                       struct patient_outcome *outcome, struct error *err)
{
    bool is_left = ok && flow_is_left(turn);
    turn_close(turn);
    return ok && (!is_left || flow_finish(worklist, &outcome->objects, err));
}

bool patients_settle(struct worklist *worklist, size_t *objects, struct error *err)
{
    *objects = 0;
    return flow_finish(worklist, objects, err);
}

bool patients_update(struct worklist *worklist, const struct dataset *demographics,
                     int64_t message_us, const char *source, struct patient_outcome *outcome,
                     struct error *err)
{
    struct turn *turn = NULL;
    bool ok = turn_open(worklist, &turn, err) &&
              patients_tell(turn, demographics, time_or_now(message_us), source, outcome, err) &&
              turn_commit(turn, err);
    return close_told(worklist, turn, ok, outcome, err);
}

/* Does the chain of `key` pass `passed`? */
static bool chain_passes(struct turn *turn, const char *key, const char *passed, bool *passes,
                         struct error *err)
{
    struct object patient = object_init();
    struct facts facts;
    char at[OBJECT_KEY_SIZE];
    bool found = true, ok = true;
    *passes = false;
    snprintf(at, sizeof(at), "%s", key);
    for (size_t hops = 0; ok && found && !*passes && hops <= PATIENT_CHAIN_MAX; hops++) {
        *passes = strcmp(at, passed) == 0;
        ok = turn_get(turn, OBJECT_PATIENT, at, &patient, &found, err);
        if (!ok || !found || patient.state != PATIENT_MERGED)
            break;
        ok = get_facts(&patient, &facts, err);
        if (ok)
            memcpy(at, facts.survivor, sizeof(at));
    }
    object_release(&patient);
    return ok;
}

/* Appends the keys of those that were merged into a patient, a NUL behind each. */
static bool gather_merged(struct turn *turn, const char *survivor, struct buffer *keys,
                          struct error *err)
{
    const struct object_range range = { .kind = OBJECT_PATIENT,
                                        .shelf = OBJECT_DONE,
                                        .index = PATIENT_NOW,
                                        .value = slice_text(survivor) };
    struct object_walk *walk = NULL;
    const char *key;
    bool ok = object_walk_open(turn_worklist(turn), &range, &walk, err);
    while (ok && (ok = object_walk_next_key(walk, &key, err)) && key)
        if (!buffer_append(keys, slice_of(key, strlen(key) + 1)))
            ok = error_set(err, ERROR_LIMIT, "a patient that more than %d others were merged into",
                           KIN_MAX);
    object_walk_close(walk);
    return ok;
}

/* Merges of the longest chain that ends at a patient; of a longer one PATIENT_CHAIN_MAX. */
static bool measure_chain(struct turn *turn, const char *patient, size_t *merges, struct error *err)
{
    struct buffer level = buffer_up_to(KIN_MAX * OBJECT_KEY_SIZE);
    struct buffer next = buffer_up_to(KIN_MAX * OBJECT_KEY_SIZE);
    bool ok = true;
    buffer_append(&level, slice_of(patient, strlen(patient) + 1));
    for (*merges = 0; ok && *merges < PATIENT_CHAIN_MAX; ++*merges) {
        buffer_clear(&next);
        for (struct slice rest = buffer_slice(&level); ok && rest.size;) {
            const char *key = (const char *)rest.data;
            ok = gather_merged(turn, key, &next, err);
            rest = slice_skip(rest, strlen(key) + 1);
        }
        if (!ok || !next.size)
            break;
        struct buffer done = level;
        level = next;
        next = done;
    }
    buffer_release(&level);
    buffer_release(&next);
    return ok;
}

static bool check_length(struct turn *turn, const char *gone, const char *survivor,
                         struct error *err)
{
    struct object patient = object_init();
    struct facts facts = { 0 };
    char end[OBJECT_KEY_SIZE];
    size_t before = 0, behind = 0;
    bool found;
    bool ok = turn_get(turn, OBJECT_PATIENT, gone, &patient, &found, err) &&
              (!found || get_facts(&patient, &facts, err));
    bool is_new = ok && (!found || patient.state != PATIENT_MERGED ||
                         strcmp(facts.survivor, survivor) != 0);
    if (is_new)
        ok = resolve(read_in_turn, turn, survivor, end, &behind, err) &&
             measure_chain(turn, gone, &before, err) &&
             (before + 1 + behind <= PATIENT_CHAIN_MAX ||
              error_set_tag(err, ERROR_LIMIT, TAG_PATIENT_ID, "a chain of more than %d merges",
                            PATIENT_CHAIN_MAX));
    object_release(&patient);
    return ok;
}

static bool check_merge(struct turn *turn, const char *gone, const char *survivor,
                        struct error *err)
{
    bool circle;
    const char *separator = strchr(gone, '\\');
    if (!separator || separator == gone || strlen(gone) >= OBJECT_KEY_SIZE ||
        !(separator = strchr(survivor, '\\')) || separator == survivor ||
        strlen(survivor) >= OBJECT_KEY_SIZE)
        return error_set_tag(err, ERROR_INVALID, TAG_PATIENT_ID, "a merge needs two Patient IDs");
    if (strcmp(gone, survivor) == 0)
        return error_set_tag(err, ERROR_INVALID, TAG_PATIENT_ID, "a patient is merged with itself");
    if (!chain_passes(turn, survivor, gone, &circle, err))
        return false;
    if (circle)
        return error_set_tag(err, ERROR_CONFLICT, TAG_PATIENT_ID,
                             "the patient that survives was merged into the other one");
    return check_length(turn, gone, survivor, err);
}

static bool merge(struct turn *turn, const char *gone_key, const char *survivor_key,
                  int64_t message_us, const char *source, struct patient_outcome *outcome,
                  struct error *err)
{
    struct object gone = object_init(), survivor = object_init();
    struct facts facts, survivor_facts;
    char before[OBJECT_KEY_SIZE];
    bool found, survivor_found;
    bool ok = load_patient(turn, gone_key, &gone, &facts, &found, err) &&
              load_patient(turn, survivor_key, &survivor, &survivor_facts, &survivor_found, err);
    if (!ok)
        goto out;
    bool was_merged = gone.state == PATIENT_MERGED;
    outcome->result = PATIENT_UNCHANGED;
    if (was_merged && strcmp(facts.survivor, survivor_key) == 0)
        goto resolved;
    outcome->result = PATIENT_STALE;
    if (found && message_us < facts.merged_us)
        goto resolved;
    outcome->result = PATIENT_UPDATED;
    ok = patients_resolve_in(turn, gone_key, before, err);
    if (ok && !survivor_found) {
        set_source(&survivor_facts, source);
        put_facts(&survivor, &survivor_facts);
        ok = turn_put(turn, &survivor, 0, err);
    }
    gone.state = PATIENT_MERGED;
    gone.shelf = OBJECT_DONE;
    facts.merged_us = message_us;
    snprintf(facts.survivor, sizeof(facts.survivor), "%s", survivor_key);
    put_facts(&gone, &facts);
    object_unlink(&gone, PATIENT_NOW);
    ok = ok && object_link(&gone, PATIENT_NOW, slice_text(survivor_key), err) &&
         turn_put(turn, &gone, PATIENT_EVENT, err) &&
         patients_resolve_in(turn, survivor_key, outcome->key, err) &&
         flow_begin(turn, before, &outcome->objects, err);
    goto out;
resolved:
    ok = patients_resolve_in(turn, gone_key, outcome->key, err);
out:
    object_release(&gone);
    object_release(&survivor);
    return ok;
}

bool patients_merge(struct worklist *worklist, const char *gone, const char *survivor,
                    int64_t message_us, const char *source, struct patient_outcome *outcome,
                    struct error *err)
{
    struct turn *turn = NULL;
    memset(outcome, 0, sizeof(*outcome));
    bool ok = turn_open(worklist, &turn, err) && check_merge(turn, gone, survivor, err) &&
              merge(turn, gone, survivor, time_or_now(message_us), source, outcome, err) &&
              turn_commit(turn, err);
    return close_told(worklist, turn, ok, outcome, err);
}

bool patients_check_merge(struct worklist *worklist, const char *gone, const char *survivor,
                          struct error *err)
{
    struct turn *turn = NULL;
    bool ok = turn_open(worklist, &turn, err) && check_merge(turn, gone, survivor, err);
    turn_close(turn);
    return ok;
}

static bool unmerge(struct turn *turn, const char *key, int64_t message_us, const char *source,
                    struct patient_outcome *outcome, struct error *err)
{
    struct object patient = object_init();
    struct facts facts;
    char before[OBJECT_KEY_SIZE];
    bool found;
    bool ok = turn_get(turn, OBJECT_PATIENT, key, &patient, &found, err) &&
              (found || error_set(err, ERROR_NOT_FOUND, "no such patient")) &&
              get_facts(&patient, &facts, err) && patients_resolve_in(turn, key, before, err);
    if (!ok)
        goto out;
    snprintf(outcome->key, sizeof(outcome->key), "%s", before);
    outcome->result = patient.state != PATIENT_MERGED ? PATIENT_UNCHANGED
                      : message_us < facts.merged_us  ? PATIENT_STALE
                                                      : PATIENT_UPDATED;
    if (outcome->result != PATIENT_UPDATED)
        goto out;
    patient.state = PATIENT_ACTIVE;
    patient.shelf = OBJECT_LIVE;
    facts.merged_us = message_us;
    facts.survivor[0] = '\0';
    set_source(&facts, source);
    put_facts(&patient, &facts);
    object_unlink(&patient, PATIENT_NOW);
    snprintf(outcome->key, sizeof(outcome->key), "%s", key);
    ok = turn_put(turn, &patient, PATIENT_EVENT, err) &&
         flow_begin(turn, before, &outcome->objects, err);
out:
    object_release(&patient);
    return ok;
}

bool patients_unmerge(struct worklist *worklist, const char *gone, int64_t message_us,
                      const char *source, struct patient_outcome *outcome, struct error *err)
{
    struct turn *turn = NULL;
    memset(outcome, 0, sizeof(*outcome));
    bool ok = turn_open(worklist, &turn, err) &&
              unmerge(turn, gone, time_or_now(message_us), source, outcome, err) &&
              turn_commit(turn, err);
    return close_told(worklist, turn, ok, outcome, err);
}

/* The patient of an object that nobody told of before: known from now on, but any message is newer.
 */
static bool meet(struct turn *turn, const char *key, const struct dataset *dataset,
                 struct error *err)
{
    struct object patient = object_init();
    struct facts facts;
    struct buffer merged = buffer_up_to(OBJECT_DATASET_LIMIT);
    bool found;
    bool ok = load_patient(turn, key, &patient, &facts, &found, err);
    if (ok && !found) {
        put_facts(&patient, &facts);
        ok = demographics_merge(&patient, dataset, &merged, err);
        if (ok) {
            buffer_clear(&patient.dataset);
            buffer_append(&patient.dataset, buffer_slice(&merged));
            ok = turn_put(turn, &patient, 0, err);
        }
    }
    buffer_release(&merged);
    object_release(&patient);
    return ok;
}

bool patients_claim(struct turn *turn, struct object *object, struct error *err)
{
    struct object patient = object_init();
    struct dataset *dataset = NULL;
    char key[OBJECT_KEY_SIZE], current[OBJECT_KEY_SIZE];
    char id[8];
    bool found, changed;
    bool ok = object_dataset(object, &dataset, err);
    if (!ok || !dataset_string(dataset, TAG_PATIENT_ID, id, sizeof(id)))
        goto out;
    ok = patient_key_of(dataset, key, err);
    /* Of one that was moved, the data set names the survivor: whom it was told of stays. */
    if (!ok || object_is_linked(object, PATIENT_NOW, slice_text(key)))
        goto out;
    object_unlink(object, PATIENT_NOW);
    object_unlink(object, PATIENT_FIRST);
    ok = meet(turn, key, dataset, err) && patients_resolve_in(turn, key, current, err) &&
         object_link(object, PATIENT_FIRST, slice_text(key), err) &&
         object_link(object, PATIENT_NOW, slice_text(current), err);
    if (ok && strcmp(key, current) != 0)
        ok = turn_get(turn, OBJECT_PATIENT, current, &patient, &found, err) &&
             (!found || demographics_give(object, &patient, &changed, err));
out:
    dataset_close(dataset);
    object_release(&patient);
    return ok;
}
