/* SPDX-License-Identifier: MIT */
#include "cast/round.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/study.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "cast/coding.h"
#include "cast/identifier.h"
#include "cast/merge.h"
#include "cast/round_parts.h"

enum {
    BODY_MAX = 256 << 20,
    QUERY_MAX = 32 * 1024,
    KNOWN_MAX = 10000,         /* resources that are remembered */
    KNOWN_MS = 10 * 60 * 1000, /* and for how long: others may come and go */
};

#define CLAIM_ENDPOINTS "endpoints"

struct round_shared {
    struct claims *claims;
    pthread_mutex_t lock;
    /* "Endpoint/7" as the server was found to hold them: they do not change. "" when not known.
     * Guarded by lock. */
    char endpoints[MAPPING_ENDPOINTS][128];
    enum fhir_version version; /* guarded by lock, too */
    bool names_modalities;     /* see run_once; guarded by lock, too */
    int64_t known_since_ms;    /* of what follows; guarded by lock, too */
    struct links *known;       /* of others that are shared by studies; guarded by lock, too */
};

struct round_shared *round_shared_new(enum fhir_version version)
{
    struct round_shared *shared = mem_alloc(sizeof *shared);
    shared->claims = claims_new();
    shared->version = version;
    shared->known = links_new();
    pthread_mutex_init(&shared->lock, NULL);
    return shared;
}

void round_shared_free(struct round_shared *shared)
{
    if (!shared)
        return;
    claims_free(shared->claims);
    links_free(shared->known);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

void round_shared_stop(struct round_shared *shared)
{
    claims_stop(shared->claims);
}

/* --- what an answer means --- */

static enum round_result result_of_status(int status)
{
    if (status >= 200 && status <= 299)
        return ROUND_DONE;
    if (status == 409 || status == 412)
        return ROUND_CONFLICT;
    if (status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501))
        return ROUND_WAIT;
    if (status == 401 || status == 403 || status == 404 || status == 405 || status == 501 ||
        status < 400)
        return ROUND_DENIED;
    return ROUND_REFUSED;
}

static bool is_code(const char *text)
{
    return text && *text && strspn(text, "abcdefghijklmnopqrstuvwxyz-") == strlen(text);
}

/* A path of elements. One with a literal in it could hold a value. */
static bool is_plain_path(const char *text)
{
    size_t size = text ? strlen(text) : 0;
    for (size_t i = 0; i < size; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.[]", text[i]))
            return false;
    return size > 0;
}

/* The codes of an OperationOutcome's issues and the elements that they are about, which hold no
 * data of patients, unlike its texts. */
static void issue_codes(struct slice body, char *codes, size_t size)
{
    cJSON *tree = NULL;
    const cJSON *issue;
    codes[0] = 0;
    if (!json_parse(body, &tree, NULL))
        return;
    for (issue = json_first(json_get(tree, "issue")); issue; issue = issue->next) {
        const char *code = json_text(issue, "code");
        const cJSON *place = json_first(json_get(issue, "expression"));
        size_t used = strlen(codes);
        if (!is_code(code) || used + strlen(code) + 2 > size)
            continue;
        snprintf(codes + used, size - used, "%s%s", used ? "," : "", code);
        used = strlen(codes);
        if (cJSON_IsString(place) && is_plain_path(place->valuestring) &&
            used + strlen(place->valuestring) + 5 < size)
            snprintf(codes + used, size - used, " at %s", place->valuestring);
    }
    cJSON_Delete(tree);
}

static enum round_result take_answer(const char *what, struct fhir_answer *answer,
                                     struct round_report *report)
{
    enum round_result result = result_of_status(answer->status);
    report->status = answer->status;
    report->retry_after_ms = answer->retry_after_ms;
    if (result == ROUND_DONE)
        return result;
    char codes[128];
    issue_codes(buffer_slice(&answer->body), codes, sizeof codes);
    error_set(&report->error, ERROR_IO, "%s was answered with %d%s%s", what, answer->status,
              *codes ? " " : "", codes);
    return result;
}

enum round_result round_no_answer(struct round_report *report)
{
    report->status = 0;
    report->retry_after_ms = -1;
    return report->error.code == ERROR_STOPPED ? ROUND_STOPPED : ROUND_WAIT;
}

enum round_result round_send(struct round *round, const struct fhir_request *request,
                             const char *what, struct fhir_answer *answer,
                             struct round_report *report)
{
    if (!fhir_client_send(round->client, request, answer, &report->error)) {
        enum round_result result = round_no_answer(report);
        return report->error.code == ERROR_UNSUPPORTED ? ROUND_DENIED : result;
    }
    return take_answer(what, answer, report);
}

/* --- what the server speaks --- */

enum fhir_version round_version(struct round *round)
{
    pthread_mutex_lock(&round->shared->lock);
    enum fhir_version version = round->shared->version;
    pthread_mutex_unlock(&round->shared->lock);
    return version;
}

static void know_version(struct round *round, enum fhir_version version)
{
    pthread_mutex_lock(&round->shared->lock);
    bool is_news = round->shared->version != version;
    round->shared->version = version;
    pthread_mutex_unlock(&round->shared->lock);
    if (is_news)
        log_info("cast: server speaks FHIR %s", fhir_version_number(version));
}

static bool read_version(struct slice body, enum fhir_version *version, struct error *err)
{
    cJSON *statement = NULL;
    if (!json_parse(body, &statement, err))
        return false;
    const char *text = json_text(statement, "fhirVersion");
    bool ok = text && fhir_version_of(text, version);
    if (!ok)
        error_set(err, ERROR_INVALID,
                  "the server's CapabilityStatement names neither FHIR R4 nor R5 (fhir.version)");
    cJSON_Delete(statement);
    return ok;
}

/* Asked once. A server that tells nothing of itself is taken for one of R4. */
static enum round_result find_version(struct round *round, enum fhir_version *version,
                                      struct round_report *report)
{
    struct fhir_answer answer = { 0 };
    *version = round_version(round);
    if (*version != FHIR_UNKNOWN)
        return ROUND_DONE;
    struct fhir_request request = { .method = "GET", .path = "metadata" };
    enum round_result result = round_send(round, &request, "the CapabilityStatement", &answer,
                                          report);
    if (result == ROUND_DONE && !read_version(buffer_slice(&answer.body), version, &report->error))
        result = ROUND_DENIED;
    if (report->status == 404 || report->status == 405 || report->status == 501 ||
        report->status == 400) {
        *version = FHIR_R4;
        result = ROUND_DONE;
    }
    if (result == ROUND_DONE)
        know_version(round, *version);
    fhir_answer_release(&answer);
    return result;
}

/* --- reading --- */

/* Others of one identifier that count: not those that say themselves that they are none. */
static void count_duplicates(const struct search_answer *found, const char *type,
                             struct round_report *report)
{
    size_t count = 0;
    const cJSON *other;
    bool patients = strcmp(type, "Patient") == 0;
    for (other = json_first(found->others); other; other = other->next)
        count += patients ? !search_answer_survivor(other) : !merge_is_withdrawn(other);
    if (patients)
        report->patient_duplicates += count;
    else if (strcmp(type, "ImagingStudy") == 0)
        report->duplicates = count;
    if (count)
        log_warn("cast: server holds %zu resources of one identifier type=%s taken=%s", count + 1,
                 type, json_text(found->best, "id"));
}

enum round_result round_search(struct round *round, const cJSON *mapped,
                               struct search_answer *found, struct round_report *report)
{
    struct buffer path = buffer_up_to(QUERY_MAX);
    struct fhir_answer answer = { 0 };
    const char *type = json_text(mapped, "resourceType");
    const cJSON *identifier = identifier_of_resource(mapped);
    *found = (struct search_answer){ .best = NULL };

    buffer_append_format(&path, "%s?", type);
    identifier_query(identifier, &path);
    struct fhir_request request = { .method = "GET", .path = buffer_text(&path) };
    enum round_result result = round_send(round, &request, "a search", &answer, report);
    if (result == ROUND_DONE &&
        !search_answer_read(buffer_slice(&answer.body), type, identifier, found, &report->error))
        result = round_no_answer(report);
    if (result == ROUND_DONE)
        count_duplicates(found, type, report);
    fhir_answer_release(&answer);
    buffer_release(&path);
    return result;
}

/* --- writing --- */

char *round_reference(const cJSON *resource)
{
    return mem_format("%s/%s", json_text(resource, "resourceType"), json_text(resource, "id"));
}

void round_plan_update(struct bundle *bundle, struct search_answer *found)
{
    bundle_update_take(bundle, found->best);
    found->best = NULL;
}

/* The reference to a resource that is there, or that the bundle creates. Takes what was found.
 * `changed`: what was found is changed already. */
char *round_plan(struct bundle *bundle, struct search_answer *found, const cJSON *mapped,
                 const cJSON *withheld, bool changed)
{
    char *reference;
    const char *source = json_text(json_get(mapped, "meta"), "source");
    if (!found->best)
        return mem_copy_text(
            bundle_create_take(bundle, json_copy(mapped), found->unverified == 0, found->beside));
    reference = round_reference(found->best);
    changed = merge_resource(found->best, mapped) || changed;
    if (merge_take_back(found->best, withheld, source) || changed)
        round_plan_update(bundle, found);
    return reference;
}

enum round_result round_post(struct round *round, struct bundle *bundle,
                             struct round_report *report)
{
    struct buffer body = buffer_up_to(BODY_MAX);
    struct fhir_answer answer = { 0 };
    enum bundle_answer existed = BUNDLE_WRITTEN;
    enum round_result result = ROUND_REFUSED;

    report->written += bundle_count(bundle);
    if (round->dry)
        return ROUND_DONE;
    bundle_print(bundle, &body);
    if (!buffer_check(&body, "the transaction", &report->error))
        goto out;
    struct fhir_request request = { .method = "POST", .path = "", .body = buffer_slice(&body) };
    result = round_send(round, &request, "the transaction", &answer, report);
    metric_add(METRIC_CAST_TRANSACTIONS, 1);
    FAULT_POINT("cast-after-transaction");
    if (result != ROUND_DONE)
        goto out;
    if (!bundle_check(bundle, buffer_slice(&answer.body), &existed, &report->error))
        result = round_no_answer(report);
    else if (existed == BUNDLE_EXISTED)
        result = ROUND_CONFLICT;
out:
    fhir_answer_release(&answer);
    buffer_release(&body);
    return result;
}

static bool known_endpoint(struct round *round, size_t index, char **reference)
{
    struct round_shared *shared = round->shared;
    pthread_mutex_lock(&shared->lock);
    bool known = shared->endpoints[index][0] != 0;
    if (known)
        *reference = mem_copy_text(shared->endpoints[index]);
    pthread_mutex_unlock(&shared->lock);
    return known;
}

static void know_endpoint(struct round *round, size_t index, const char *reference)
{
    struct round_shared *shared = round->shared;
    pthread_mutex_lock(&shared->lock);
    snprintf(shared->endpoints[index], sizeof shared->endpoints[index], "%s",
             strlen(reference) < sizeof shared->endpoints[index] ? reference : "");
    pthread_mutex_unlock(&shared->lock);
}

static enum round_result plan_endpoint(struct round *round, struct bundle *bundle,
                                       const struct mapping *mapping, size_t index,
                                       char **reference, struct round_report *report)
{
    struct search_answer found;
    if (known_endpoint(round, index, reference))
        return ROUND_DONE;
    enum round_result result = round_search(round, mapping->endpoints[index], &found, report);
    if (result == ROUND_DONE) {
        size_t before = bundle_count(bundle);
        *reference = round_plan(bundle, &found, mapping->endpoints[index], NULL, false);
        if (bundle_count(bundle) == before)
            know_endpoint(round, index, *reference);
    }
    search_answer_release(&found);
    return result;
}

/* Those that an archive of our name made go; others' are told of, and stay. */
static enum round_result delete_duplicates(struct round *round, const cJSON *others,
                                           unsigned attempt, struct round_report *report)
{
    enum round_result result = ROUND_DONE;
    const cJSON *other;
    for (other = json_first(others); other && result == ROUND_DONE; other = other->next)
        if (mapping_is_of(other, round->mapping->source) && !merge_is_withdrawn(other))
            result = round_delete(round, other, attempt, report);
    return result;
}

struct claims *round_claims(struct round *round)
{
    return round->shared->claims;
}

/* Under the lock. */
static void forget_known(struct round_shared *shared, int64_t now_ms)
{
    links_free(shared->known);
    shared->known = links_new();
    shared->known_since_ms = now_ms;
}

char *round_known(struct round *round, const char *type, const cJSON *identifier)
{
    struct round_shared *shared = round->shared;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&shared->lock);
    if (now_ms - shared->known_since_ms > KNOWN_MS)
        forget_known(shared, now_ms);
    const char *reference = links_find(shared->known, type, identifier);
    char *copy = reference ? mem_copy_text(reference) : NULL;
    pthread_mutex_unlock(&shared->lock);
    return copy;
}

void round_know(struct round *round, const char *type, const cJSON *identifier,
                const char *reference)
{
    struct round_shared *shared = round->shared;
    pthread_mutex_lock(&shared->lock);
    if (links_count(shared->known) < KNOWN_MAX)
        links_add(shared->known, type, identifier, reference, false);
    pthread_mutex_unlock(&shared->lock);
}

/* What is planned and found for one study. */
struct update {
    struct bundle *bundle;
    char *patient;
    char *endpoints[MAPPING_ENDPOINTS];
    struct links *links; /* to all that is planned or known */
    bool remembered;
    bool claimed_endpoints;
    bool claimed_devices;
    bool has_documents; /* on the server */
    struct search_answer imaging_study;
};

static enum round_result plan_endpoints(struct round *round, struct update *update,
                                        const struct mapping *mapping, struct round_report *report)
{
    enum round_result result = ROUND_DONE;
    size_t known = 0;
    for (size_t i = 0; i < mapping->endpoint_count; i++)
        known += known_endpoint(round, i, &update->endpoints[i]);
    update->remembered = update->remembered || known > 0;
    if (known == mapping->endpoint_count)
        return ROUND_DONE;
    for (size_t i = 0; i < mapping->endpoint_count; i++) {
        free(update->endpoints[i]);
        update->endpoints[i] = NULL;
    }
    /* Until they are there one alone makes them. */
    if (!claims_enter(round->shared->claims, CLAIM_ENDPOINTS))
        return ROUND_STOPPED;
    update->claimed_endpoints = true;
    for (size_t i = 0; i < mapping->endpoint_count && result == ROUND_DONE; i++)
        result = plan_endpoint(round, update->bundle, mapping, i, &update->endpoints[i], report);
    return result;
}

/* The Endpoint of one of our services; NULL when the server has none. */
static enum round_result find_endpoint(struct round *round, const cJSON *mapped, size_t index,
                                       char **reference, struct round_report *report)
{
    struct search_answer found;
    if (known_endpoint(round, index, reference))
        return ROUND_DONE;
    enum round_result result = round_search(round, mapped, &found, report);
    if (result == ROUND_DONE && found.best)
        *reference = mem_format("Endpoint/%s", json_text(found.best, "id"));
    search_answer_release(&found);
    return result;
}

/* Takes our Endpoints out of `held`, also those that are not to be told any more. */
enum round_result round_detach_ours(struct round *round, cJSON *held, bool *changed,
                                    struct round_report *report)
{
    cJSON *endpoints[MAPPING_ENDPOINTS];
    struct mapping_options all = *round->mapping;
    all.withhold = 0;
    size_t count = json_get(held, "endpoint") ? mapping_endpoints(&all, endpoints) : 0;
    enum round_result result = ROUND_DONE;
    *changed = false;
    for (size_t i = 0; i < count; i++) {
        char *reference = NULL;
        if (result == ROUND_DONE)
            result = find_endpoint(round, endpoints[i], i, &reference, report);
        if (result == ROUND_DONE && reference)
            *changed = merge_detach(held, reference) || *changed;
        free(reference);
        cJSON_Delete(endpoints[i]);
    }
    return result;
}

static enum round_result plan_imaging_study(struct round *round, struct update *update,
                                            const struct mapping *mapping,
                                            struct round_report *report)
{
    enum round_result result = round_search(round, mapping->imaging_study, &update->imaging_study,
                                            report);
    if (result != ROUND_DONE)
        return result;
    bool changed = false;
    report->missing = !update->imaging_study.best;
    mapping_set_references(mapping->imaging_study, update->patient,
                           (const char *const *)update->endpoints, mapping->endpoint_count);
    if (!update->patient)
        mapping_set_logical_subject(mapping->imaging_study, mapping->patient);
    if (round->mapping->withhold & WITHHOLD_ENDPOINT && update->imaging_study.best)
        result = round_detach_ours(round, update->imaging_study.best, &changed, report);
    if (json_first(mapping->documents))
        json_append_take(json_need_array(json_get(mapping->imaging_study, "meta"), "tag"),
                         coding_new(MAPPING_TAG_SYSTEM, ROUND_TAG_DOCUMENTS, NULL));
    links_apply(update->links, mapping->imaging_study);
    if (mapping_is_of(update->imaging_study.best, round->mapping->source))
        changed = links_apply(update->links, update->imaging_study.best) || changed;
    update->has_documents = round_has_documents(round, update->imaging_study.best);
    if (result == ROUND_DONE) {
        char *reference = round_plan(update->bundle, &update->imaging_study, mapping->imaging_study,
                                     mapping->withheld_imaging_study, changed);
        links_add(update->links, "ImagingStudy", identifier_of_resource(mapping->imaging_study),
                  reference, true);
        free(reference);
    }
    return result;
}

/* All that documents say, and what they said before. */
static enum round_result plan_documents(struct round *round, struct update *update,
                                        const struct mapping *mapping, unsigned attempt,
                                        struct round_report *report)
{
    if (!update->has_documents && !json_first(mapping->documents))
        return ROUND_DONE;
    if (update->patient)
        links_add(update->links, "Patient", identifier_of_resource(mapping->patient),
                  update->patient, true);
    return round_plan_documents(round, update->bundle, mapping, update->links, attempt, report);
}

static void forget_shared(struct round *round)
{
    pthread_mutex_lock(&round->shared->lock);
    memset(round->shared->endpoints, 0, sizeof round->shared->endpoints);
    forget_known(round->shared, clock_monotonic_ms());
    pthread_mutex_unlock(&round->shared->lock);
}

static enum round_result update_claimed(struct round *round, const struct mapping *mapping,
                                        unsigned attempt, struct round_report *report)
{
    struct update update = { .bundle = bundle_new(fhir_client_base(round->client)),
                             .links = links_new() };
    enum round_result result = round_plan_patient(round, update.bundle, mapping, &update.patient,
                                                  report);
    if (result == ROUND_DONE)
        result = plan_endpoints(round, &update, mapping, report);
    if (result == ROUND_DONE)
        result = round_plan_devices(round, update.bundle, mapping, update.links, &update.remembered,
                                    &update.claimed_devices, report);
    if (result == ROUND_DONE)
        result = round_link_others(round, mapping, update.links, &update.remembered, report);
    if (result == ROUND_DONE)
        result = plan_imaging_study(round, &update, mapping, report);
    if (result == ROUND_DONE)
        result = plan_documents(round, &update, mapping, attempt, report);
    if (result == ROUND_DONE && bundle_count(update.bundle))
        result = round_post(round, update.bundle, report);
    if (result == ROUND_DONE)
        result = delete_duplicates(round, update.imaging_study.others, attempt, report);
    /* What was not taken may have referred to an Endpoint that is gone: all is read anew before a
     * study is given up. */
    if (result == ROUND_REFUSED || result == ROUND_CONFLICT)
        forget_shared(round);
    if (result == ROUND_REFUSED && update.remembered)
        result = ROUND_CONFLICT;
    if (update.claimed_devices)
        claims_leave(round->shared->claims, ROUND_CLAIM_DEVICES);
    if (update.claimed_endpoints)
        claims_leave(round->shared->claims, CLAIM_ENDPOINTS);
    for (size_t i = 0; i < MAPPING_ENDPOINTS; i++)
        free(update.endpoints[i]);
    free(update.patient);
    links_free(update.links);
    search_answer_release(&update.imaging_study);
    bundle_free(update.bundle);
    return result;
}

/* The Patient is one writer's until the transaction is answered. */
static enum round_result update(struct round *round, const struct mapping *mapping,
                                unsigned attempt, struct round_report *report)
{
    struct buffer patient = buffer_up_to(QUERY_MAX);
    enum round_result result = ROUND_STOPPED;
    buffer_append_text(&patient, "Patient?");
    identifier_query(identifier_of_resource(mapping->patient), &patient);
    if (claims_enter(round->shared->claims, buffer_text(&patient))) {
        result = update_claimed(round, mapping, attempt, report);
        claims_leave(round->shared->claims, buffer_text(&patient));
    }
    buffer_release(&patient);
    return result;
}

/* `by_name`: newer modalities are told by their names. *newer: there are some. */
static enum round_result run_once(struct round *round, const char *study_uid, unsigned attempt,
                                  bool by_name, bool *newer, struct round_report *report)
{
    struct study *study = NULL;
    struct mapping mapping;
    enum fhir_version version = round_version(round);
    *newer = false;
    if (!study_open(round->archive, study_uid, &study, &report->error)) {
        if (report->error.code == ERROR_NOT_FOUND || report->error.code == ERROR_GONE)
            return round_remove(round, study_uid, attempt, report);
        return round_no_answer(report);
    }
    mapping_init(&mapping, study, round->mapping);
    mapping_shape(&mapping, version);
    study_close(study);
    if (version == FHIR_R4)
        *newer = fhir_version_newer_modalities(mapping.imaging_study, by_name);
    enum round_result result = ROUND_REFUSED;
    if (round->strict && mapping.note_count)
        error_set(&report->error, ERROR_INVALID, "the study cannot be mapped whole");
    else
        result = update(round, &mapping, attempt, report);
    mapping_release(&mapping);
    return result;
}

static bool names_modalities(struct round *round)
{
    pthread_mutex_lock(&round->shared->lock);
    bool names = round->shared->names_modalities;
    pthread_mutex_unlock(&round->shared->lock);
    return names;
}

static void learn_to_name_modalities(struct round *round)
{
    pthread_mutex_lock(&round->shared->lock);
    bool is_news = !round->shared->names_modalities;
    round->shared->names_modalities = true;
    pthread_mutex_unlock(&round->shared->lock);
    if (is_news)
        log_warn("cast: server knows no modalities that are newer than R4: they go by name");
}

enum round_result round_run(struct round *round, const char *study_uid, unsigned attempt,
                            struct round_report *report)
{
    enum fhir_version version;
    *report = (struct round_report){ .retry_after_ms = -1 };
    enum round_result result = find_version(round, &version, report);
    if (result != ROUND_DONE)
        return result;
    bool by_name = names_modalities(round), newer;
    result = run_once(round, study_uid, attempt, by_name, &newer, report);
    if (result != ROUND_REFUSED || !report->status || by_name || !newer)
        return result;
    *report = (struct round_report){ .retry_after_ms = -1 };
    result = run_once(round, study_uid, attempt, true, &newer, report);
    if (result == ROUND_DONE)
        learn_to_name_modalities(round);
    return result;
}
