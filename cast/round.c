/* SPDX-License-Identifier: MIT */
#include "cast/round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/study.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "cast/bundle.h"
#include "cast/coding.h"
#include "cast/identifier.h"
#include "cast/merge.h"
#include "cast/search_answer.h"

enum {
    BODY_MAX = 256 << 20,
    QUERY_MAX = 32 * 1024,
    OUTCOME_MAX = 4096,
    SURVIVOR_HOPS = 4,
    WITHDRAW_AFTER = 2, /* conflicts in a row that a DELETE meets */
};

/* What is put on an ImagingStudy whose Patient says other things than its images. */
#define TAG_PATIENT_DIFFERS "patient-differs"

void round_report_release(struct round_report *report)
{
    buffer_release(&report->outcome);
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

/* The codes of an OperationOutcome's issues, which hold no data of patients, unlike its texts. */
static void issue_codes(struct slice body, char *codes, size_t size)
{
    cJSON *tree = NULL;
    const cJSON *issue;
    codes[0] = 0;
    if (!json_parse(body, &tree, NULL))
        return;
    for (issue = json_first(json_get(tree, "issue")); issue; issue = issue->next) {
        const char *code = json_text(issue, "code");
        size_t used = strlen(codes);
        if (code && strspn(code, "abcdefghijklmnopqrstuvwxyz-") == strlen(code))
            snprintf(codes + used, size - used, "%s%s", used ? "," : "", code);
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
    buffer_clear(&report->outcome);
    buffer_append(&report->outcome, slice_take(buffer_slice(&answer->body), OUTCOME_MAX));
    return result;
}

static enum round_result no_answer(struct round_report *report)
{
    report->status = 0;
    report->retry_after_ms = -1;
    return report->error.code == ERROR_STOPPED ? ROUND_STOPPED : ROUND_WAIT;
}

static enum round_result send(struct round *round, const struct fhir_request *request,
                              const char *what, struct fhir_answer *answer,
                              struct round_report *report)
{
    if (!fhir_client_send(round->client, request, answer, &report->error))
        return no_answer(report);
    return take_answer(what, answer, report);
}

/* --- reading --- */

static enum round_result search(struct round *round, const cJSON *mapped,
                                struct search_answer *found, struct round_report *report)
{
    struct buffer path = buffer_up_to(QUERY_MAX);
    struct fhir_answer answer = { 0 };
    const char *type = json_text(mapped, "resourceType");
    const cJSON *identifier = identifier_of_resource(mapped);
    *found = (struct search_answer){ NULL, NULL, 0 };

    buffer_append_format(&path, "%s?", type);
    identifier_query(identifier, &path);
    struct fhir_request request = { .method = "GET", .path = buffer_text(&path) };
    enum round_result result = send(round, &request, "a search", &answer, report);
    if (result == ROUND_DONE &&
        !search_answer_read(buffer_slice(&answer.body), type, identifier, found, &report->error))
        result = no_answer(report);
    if (result == ROUND_DONE && json_first(found->others))
        log_warn("cast: server holds %d resources of one identifier type=%s taken=%s",
                 cJSON_GetArraySize(found->others) + 1, type, json_text(found->best, "id"));
    fhir_answer_release(&answer);
    buffer_release(&path);
    return result;
}

/* Puts the Patient that survived a merge into the place of the one that was found. */
static enum round_result follow_survivors(struct round *round, struct search_answer *found,
                                          struct round_report *report)
{
    for (int hops = 0; hops < SURVIVOR_HOPS && found->best; hops++) {
        const char *id = search_answer_survivor(found->best);
        struct fhir_answer answer = { 0 };
        cJSON *survivor = NULL;
        if (!id)
            break;
        char *path = mem_format("Patient/%s", id);
        struct fhir_request request = { .method = "GET", .path = path };
        enum round_result result = send(round, &request, "a read", &answer, report);
        if (result == ROUND_DONE)
            json_parse(buffer_slice(&answer.body), &survivor, NULL);
        fhir_answer_release(&answer);
        free(path);
        if (report->status == 404 || report->status == 410)
            break; /* the one that was merged away is all there is */
        if (result != ROUND_DONE)
            return result;
        const char *survivor_id = json_text(survivor, "id");
        if (!survivor_id || strcmp(survivor_id, id) != 0) {
            cJSON_Delete(survivor);
            break;
        }
        cJSON_Delete(found->best);
        found->best = survivor;
    }
    return ROUND_DONE;
}

/* --- writing --- */

/* The reference to a resource that is there, or that the bundle creates. Takes what was found. */
static char *plan(struct bundle *bundle, struct search_answer *found, const cJSON *mapped)
{
    char *reference;
    if (!found->best)
        return mem_copy_text(bundle_create_take(bundle, json_copy(mapped), found->unverified == 0));
    reference = mem_format("%s/%s", json_text(mapped, "resourceType"),
                           json_text(found->best, "id"));
    if (merge_resource(found->best, mapped)) {
        bundle_update_take(bundle, found->best);
        found->best = NULL;
    }
    return reference;
}

static enum round_result post(struct round *round, struct bundle *bundle,
                              struct round_report *report)
{
    struct buffer body = buffer_up_to(BODY_MAX);
    struct fhir_answer answer = { 0 };
    enum bundle_answer existed = BUNDLE_WRITTEN;
    enum round_result result = ROUND_REFUSED;

    bundle_print(bundle, &body);
    if (!buffer_check(&body, "the transaction", &report->error))
        goto out;
    struct fhir_request request = { .method = "POST", .path = "", .body = buffer_slice(&body) };
    result = send(round, &request, "the transaction", &answer, report);
    metric_add(METRIC_CAST_TRANSACTIONS, 1);
    FAULT_POINT("cast-after-transaction");
    if (result != ROUND_DONE)
        goto out;
    report->written = bundle_count(bundle);
    if (!bundle_check(bundle, buffer_slice(&answer.body), &existed, &report->error))
        result = no_answer(report);
    else if (existed == BUNDLE_EXISTED)
        result = ROUND_CONFLICT;
out:
    fhir_answer_release(&answer);
    buffer_release(&body);
    return result;
}

static enum round_result plan_patient(struct round *round, struct bundle *bundle,
                                      const struct mapping *mapping, char **reference,
                                      struct round_report *report)
{
    struct search_answer found;
    enum round_result result = search(round, mapping->patient, &found, report);
    if (result == ROUND_DONE)
        result = follow_survivors(round, &found, report);
    if (result == ROUND_DONE) {
        /* The server's own word stays; somebody should look at it. */
        if (found.best && merge_patient_differs(found.best, mapping->patient)) {
            cJSON *meta = json_get(mapping->imaging_study, "meta");
            json_append_take(json_need_array(meta, "tag"),
                             coding_new(MAPPING_TAG_SYSTEM, TAG_PATIENT_DIFFERS, NULL));
        }
        *reference = plan(bundle, &found, mapping->patient);
    }
    search_answer_release(&found);
    return result;
}

static enum round_result plan_endpoint(struct round *round, struct bundle *bundle,
                                       const struct mapping *mapping, size_t index,
                                       char **reference, struct round_report *report)
{
    struct search_answer found;
    char *known = round->endpoints[index];
    if (*known) {
        *reference = mem_copy_text(known);
        return ROUND_DONE;
    }
    enum round_result result = search(round, mapping->endpoints[index], &found, report);
    if (result == ROUND_DONE) {
        size_t before = bundle_count(bundle);
        *reference = plan(bundle, &found, mapping->endpoints[index]);
        if (bundle_count(bundle) == before && strlen(*reference) < sizeof round->endpoints[0])
            strcpy(known, *reference);
    }
    search_answer_release(&found);
    return result;
}

static enum round_result plan_imaging_study(struct round *round, struct bundle *bundle,
                                            const struct mapping *mapping,
                                            struct round_report *report)
{
    struct search_answer found;
    enum round_result result = search(round, mapping->imaging_study, &found, report);
    if (result == ROUND_DONE)
        free(plan(bundle, &found, mapping->imaging_study));
    search_answer_release(&found);
    return result;
}

static enum round_result update(struct round *round, const struct mapping *mapping,
                                struct round_report *report)
{
    struct bundle *bundle = bundle_new(fhir_client_base(round->client));
    char *patient = NULL;
    char *endpoints[MAPPING_ENDPOINTS] = { NULL };
    bool remembered = round->endpoints[0][0] != 0;
    enum round_result result = plan_patient(round, bundle, mapping, &patient, report);
    for (size_t i = 0; i < mapping->endpoint_count && result == ROUND_DONE; i++)
        result = plan_endpoint(round, bundle, mapping, i, &endpoints[i], report);
    if (result == ROUND_DONE) {
        mapping_set_references(mapping->imaging_study, patient, (const char *const *)endpoints,
                               mapping->endpoint_count);
        result = plan_imaging_study(round, bundle, mapping, report);
    }
    if (result == ROUND_DONE && bundle_count(bundle))
        result = post(round, bundle, report);
    /* What was not taken may have referred to an Endpoint that is gone: all is read anew before a
     * study is given up. */
    if (result == ROUND_REFUSED || result == ROUND_CONFLICT)
        memset(round->endpoints, 0, sizeof round->endpoints);
    if (result == ROUND_REFUSED && remembered)
        result = ROUND_CONFLICT;
    for (size_t i = 0; i < MAPPING_ENDPOINTS; i++)
        free(endpoints[i]);
    free(patient);
    bundle_free(bundle);
    return result;
}

/* --- a study that is gone --- */

/* Servers that keep references whole do not delete what is referred to. */
static enum round_result withdraw(struct round *round, const cJSON *held,
                                  struct round_report *report)
{
    struct bundle *bundle = bundle_new(fhir_client_base(round->client));
    enum round_result result = ROUND_DONE;
    cJSON *copy = json_copy(held);
    if (merge_withdraw(copy)) {
        bundle_update_take(bundle, copy);
        result = post(round, bundle, report);
    } else {
        cJSON_Delete(copy);
    }
    bundle_free(bundle);
    return result;
}

static enum round_result delete_one(struct round *round, const cJSON *held, unsigned attempt,
                                    struct round_report *report)
{
    char etag[ETAG_SIZE];
    struct fhir_answer answer = { 0 };
    if (!mapping_is_ours(held))
        return ROUND_DONE;
    bundle_etag(held, etag);
    char *path = mem_format("ImagingStudy/%s", json_text(held, "id"));
    struct fhir_request request = { .method = "DELETE", .path = path, .if_match = etag };
    enum round_result result = send(round, &request, "a deletion", &answer, report);
    fhir_answer_release(&answer);
    free(path);
    if (report->status == 404 || report->status == 410)
        return ROUND_DONE;
    if (result == ROUND_DONE)
        report->written++;
    if (result == ROUND_CONFLICT && attempt >= WITHDRAW_AFTER)
        return withdraw(round, held, report);
    return result;
}

static enum round_result remove_study(struct round *round, const char *study_uid, unsigned attempt,
                                      struct round_report *report)
{
    struct search_answer found;
    cJSON *wanted = json_object();
    json_set_text(wanted, "resourceType", "ImagingStudy");
    json_append_take(json_need_array(wanted, "identifier"),
                     identifier_of_uid("official", study_uid));
    enum round_result result = search(round, wanted, &found, report);
    if (result == ROUND_DONE && found.best)
        result = delete_one(round, found.best, attempt, report);
    const cJSON *other;
    for (other = json_first(found.others); other; other = other->next)
        if (result == ROUND_DONE)
            result = delete_one(round, other, attempt, report);
    search_answer_release(&found);
    cJSON_Delete(wanted);
    return result;
}

enum round_result round_run(struct round *round, const char *study_uid, unsigned attempt,
                            struct round_report *report)
{
    struct study *study = NULL;
    struct mapping mapping;
    enum round_result result = ROUND_REFUSED;
    *report = (struct round_report){ .retry_after_ms = -1, .outcome = buffer_up_to(OUTCOME_MAX) };

    if (!study_open(round->archive, study_uid, &study, &report->error)) {
        if (report->error.code == ERROR_NOT_FOUND || report->error.code == ERROR_GONE)
            return remove_study(round, study_uid, attempt, report);
        return no_answer(report);
    }
    mapping_init(&mapping, study, round->mapping);
    study_close(study);
    if (round->strict && mapping.note_count)
        error_set(&report->error, ERROR_INVALID, "the study cannot be mapped whole");
    else
        result = update(round, &mapping, report);
    mapping_release(&mapping);
    return result;
}
