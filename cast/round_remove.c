/* SPDX-License-Identifier: MIT */
/* A study that is gone from the archive. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/identifier.h"
#include "cast/merge.h"
#include "cast/round_parts.h"

enum { WITHDRAW_AFTER = 2 }; /* conflicts in a row that a DELETE meets */

static enum round_result put(struct round *round, cJSON *changed, struct round_report *report)
{
    struct bundle *bundle = bundle_new(fhir_client_base(round->client));
    bundle_update_take(bundle, changed);
    enum round_result result = round_post(round, bundle, report);
    bundle_free(bundle);
    return result;
}

static enum round_result withdraw(struct round *round, const cJSON *held, const char *status,
                                  struct round_report *report)
{
    cJSON *copy = json_copy(held);
    if (merge_withdraw(copy, status))
        return put(round, copy, report);
    cJSON_Delete(copy);
    return ROUND_DONE;
}

enum round_result round_delete(struct round *round, const cJSON *held, unsigned attempt,
                               struct round_report *report)
{
    char etag[ETAG_SIZE];
    struct fhir_answer answer = { 0 };
    if (round->dry) {
        report->written++;
        return ROUND_DONE;
    }
    bundle_etag(held, etag);
    char *path = mem_format("ImagingStudy/%s", json_text(held, "id"));
    struct fhir_request request = { .method = "DELETE", .path = path, .if_match = etag };
    enum round_result result = round_send(round, &request, "a deletion", &answer, report);
    fhir_answer_release(&answer);
    free(path);
    if (report->status == 404 || report->status == 410)
        return ROUND_DONE;
    if (result == ROUND_DONE)
        report->written++;
    /* Servers that keep references whole do not delete what is referred to. */
    if (result == ROUND_CONFLICT && attempt >= WITHDRAW_AFTER)
        return withdraw(round, held, "entered-in-error", report);
    return result;
}

/* Is it an Endpoint of another archive's cast? */
static enum round_result is_of_other(struct round *round, const char *reference, bool *is,
                                     struct round_report *report)
{
    struct fhir_answer answer = { 0 };
    cJSON *endpoint = NULL;
    *is = false;
    if (!reference || strncmp(reference, "Endpoint/", 9) != 0 || strpbrk(reference + 9, "/?#"))
        return ROUND_DONE;
    struct fhir_request request = { .method = "GET", .path = reference };
    enum round_result result = round_send(round, &request, "a read", &answer, report);
    if (result == ROUND_DONE && json_parse(buffer_slice(&answer.body), &endpoint, NULL))
        *is = mapping_is_ours(endpoint) && !mapping_is_of(endpoint, round->mapping->source);
    if (report->status == 404 || report->status == 410)
        result = ROUND_DONE;
    cJSON_Delete(endpoint);
    fhir_answer_release(&answer);
    return result;
}

/* Takes our Endpoints out of `held`; *others tells whether another archive's are left. */
static enum round_result detach(struct round *round, cJSON *held, bool *changed, bool *others,
                                struct round_report *report)
{
    const cJSON *each;
    enum round_result result = round_detach_ours(round, held, changed, report);
    *others = false;
    for (each = json_first(json_get(held, "endpoint")); each && !*others; each = each->next)
        if (result == ROUND_DONE)
            result = is_of_other(round, json_text(each, "reference"), others, report);
    return result;
}

/* What refers to the ImagingStudy goes first, also where that is others'. An archive that has the
 * study yet sees to what is handed over to it. */
static enum round_result remove_documents(struct round *round, const char *study_uid,
                                          const cJSON *held, bool hand_over, unsigned attempt,
                                          struct round_report *report)
{
    if (!round_has_documents(round, held))
        return ROUND_DONE;
    return round_remove_documents(round, study_uid, hand_over, attempt, report);
}

/* An ImagingStudy of ours goes, or is kept by policy; one that another archive has too loses what
 * is ours; one that others made stays as it is. */
static enum round_result remove_one(struct round *round, const char *study_uid, const cJSON *held,
                                    unsigned attempt, struct round_report *report)
{
    bool changed = false, others = false;
    if (!mapping_is_ours(held))
        return remove_documents(round, study_uid, held, false, attempt, report);
    if (merge_is_withdrawn(held))
        return ROUND_DONE;
    bool is_own = mapping_is_of(held, round->mapping->source);
    cJSON *rest = json_copy(held);
    bool is_less = !is_own && merge_detach_series(rest, round->mapping->source);
    enum round_result result = detach(round, rest, &changed, &others, report);
    if (result == ROUND_DONE)
        result = remove_documents(round, study_uid, held, others || !is_own, attempt, report);
    changed = changed || is_less;
    if (result != ROUND_DONE || (!is_own && !changed)) {
        cJSON_Delete(rest);
        return result;
    }
    report->extra = true;
    if (!is_own || others) {
        if (is_own)
            merge_hand_over(rest);
        return put(round, rest, report);
    }
    cJSON_Delete(rest);
    if (round->removal == REMOVAL_CANCELLED)
        return withdraw(round, held, "cancelled", report);
    if (round->removal == REMOVAL_ENTERED_IN_ERROR)
        return withdraw(round, held, "entered-in-error", report);
    return round_delete(round, held, attempt, report);
}

enum round_result round_remove(struct round *round, const char *study_uid, unsigned attempt,
                               struct round_report *report)
{
    struct search_answer found;
    cJSON *wanted = json_object();
    json_set_text(wanted, "resourceType", "ImagingStudy");
    json_append_take(json_need_array(wanted, "identifier"),
                     identifier_of_uid("official", study_uid));
    enum round_result result = round_search(round, wanted, &found, report);
    if (result == ROUND_DONE && found.best)
        result = remove_one(round, study_uid, found.best, attempt, report);
    const cJSON *other;
    for (other = json_first(found.others); other; other = other->next)
        if (result == ROUND_DONE)
            result = remove_one(round, study_uid, other, attempt, report);
    search_answer_release(&found);
    cJSON_Delete(wanted);
    return result;
}
