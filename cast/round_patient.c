/* SPDX-License-Identifier: MIT */
/* The Patient of a study. */
#include <stdlib.h>
#include <string.h>

#include "archive/registration.h"
#include "base/memory.h"
#include "cast/coding.h"
#include "cast/identifier.h"
#include "cast/merge.h"
#include "cast/patient_link.h"
#include "cast/round_parts.h"

enum { SURVIVOR_HOPS = 4 };

/* What is put on an ImagingStudy whose Patient says other things than its images. */
#define TAG_PATIENT_DIFFERS "patient-differs"

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
        enum round_result result = round_send(round, &request, "a read", &answer, report);
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

/* Patients are not ours to make: the one that is there, or NULL. One that we made before is left
 * with the identifier that it is found by. */
static char *plan_without_patient(struct bundle *bundle, struct search_answer *found,
                                  const struct mapping *mapping)
{
    char *reference;
    const char *source = json_text(json_get(mapping->patient, "meta"), "source");
    if (!found->best)
        return NULL;
    reference = round_reference(found->best);
    if (merge_take_back(found->best, mapping->withheld_patient, source))
        round_plan_update(bundle, found);
    return reference;
}

/* --- merges --- */

/* The Patients that the archive's registration says were merged into the study's. */
struct gone {
    struct search_answer found[MAPPING_FORMERS];
    size_t count;
};

static void gone_release(struct gone *gone)
{
    for (size_t i = 0; i < gone->count; i++)
        search_answer_release(&gone->found[i]);
}

static bool was_merged(struct round *round, const struct mapping *mapping,
                       const struct mapping_former *former, bool *merged, struct error *err)
{
    const struct patient_identifier patient = { slice_text(former->id),
                                                slice_text(former->issuer) };
    struct buffer id = buffer_up_to(PATIENT_TEXT_SIZE), issuer = buffer_up_to(PATIENT_TEXT_SIZE);
    bool ok = registration_survivor(round->archive, &patient, &id, &issuer, merged, err);
    /* One that went on to another one since waits for the study to be amended again. */
    *merged = ok && *merged && strcmp(buffer_text(&id), mapping->patient_id) == 0;
    buffer_release(&id);
    buffer_release(&issuer);
    return ok;
}

static enum round_result search_former(struct round *round, const struct mapping_former *former,
                                       struct gone *gone, struct round_report *report)
{
    cJSON *wanted = json_object();
    struct search_answer *found = &gone->found[gone->count++];
    json_set_text(wanted, "resourceType", "Patient");
    json_append_take(json_need_array(wanted, "identifier"), json_copy(former->identifier));
    enum round_result result = round_search(round, wanted, found, report);
    cJSON_Delete(wanted);
    return result;
}

static enum round_result find_gone(struct round *round, const struct mapping *mapping,
                                   struct gone *gone, struct round_report *report)
{
    const cJSON *today = identifier_of_resource(mapping->patient);
    enum round_result result = ROUND_DONE;
    for (size_t i = 0; i < mapping->former_count && result == ROUND_DONE; i++) {
        const struct mapping_former *former = &mapping->formers[i];
        bool merged = false;
        if (!former->identifier || identifier_equal(former->identifier, today))
            continue;
        if (!was_merged(round, mapping, former, &merged, &report->error))
            return round_no_answer(report);
        if (merged)
            result = search_former(round, former, gone, report);
    }
    return result;
}

/* The study's patient was another one's in between: a merge that was taken back (ADT^A37). *back:
 * and nobody's else now. */
static bool came_back(struct round *round, const struct mapping *mapping, bool *back,
                      struct error *err)
{
    const cJSON *today = identifier_of_resource(mapping->patient);
    struct buffer id = buffer_up_to(PATIENT_TEXT_SIZE), issuer = buffer_up_to(PATIENT_TEXT_SIZE);
    bool ok = true;
    *back = false;
    for (size_t i = 0; ok && !*back && i < mapping->former_count; i++) {
        const struct mapping_former *former = &mapping->formers[i];
        bool merged = false;
        if (!former->identifier || !identifier_equal(former->identifier, today))
            continue;
        const struct patient_identifier patient = { slice_text(former->id),
                                                    slice_text(former->issuer) };
        ok = registration_survivor(round->archive, &patient, &id, &issuer, &merged, err);
        *back = ok && !merged;
    }
    buffer_release(&id);
    buffer_release(&issuer);
    return ok;
}

/* The Patients that the study's was merged into until then. */
static enum round_result find_released(struct round *round, const struct mapping *mapping,
                                       const cJSON *patient, struct gone *released,
                                       struct round_report *report)
{
    const cJSON *today = identifier_of_resource(mapping->patient);
    enum round_result result = ROUND_DONE;
    bool back = false;
    if (!patient || !mapping_is_ours(patient) || !search_answer_survivor(patient))
        return ROUND_DONE;
    if (!came_back(round, mapping, &back, &report->error))
        return round_no_answer(report);
    for (size_t i = 0; back && i < mapping->former_count && result == ROUND_DONE; i++)
        if (mapping->formers[i].identifier &&
            !identifier_equal(mapping->formers[i].identifier, today))
            result = search_former(round, &mapping->formers[i], released, report);
    return result;
}

static bool is_same_resource(const cJSON *a, const cJSON *b)
{
    const char *left = json_text(a, "id"), *right = json_text(b, "id");
    return left && right && strcmp(left, right) == 0;
}

/* A merge into one of these is taken back. */
static bool revive(cJSON *patient, const struct gone *gone)
{
    bool changed = false;
    for (size_t i = 0; i < gone->count && patient; i++) {
        if (!gone->found[i].best)
            continue;
        char *reference = round_reference(gone->found[i].best);
        changed = patient_link_revive(patient, reference) || changed;
        free(reference);
    }
    return changed;
}

/* `patient`: the one that is there, or is to be made. */
static bool link_survivor(cJSON *patient, struct gone *gone)
{
    bool changed = false;
    for (size_t i = 0; i < gone->count; i++) {
        struct search_answer *found = &gone->found[i];
        if (is_same_resource(found->best, patient))
            search_answer_release(found); /* the server has made one of them already */
        if (!found->best || !mapping_is_ours(found->best))
            continue;
        char *reference = round_reference(found->best);
        changed = patient_link_replaces(patient, reference) || changed;
        free(reference);
    }
    return changed;
}

static void plan_gone(struct bundle *bundle, struct gone *gone, const char *survivor)
{
    for (size_t i = 0; i < gone->count; i++)
        if (gone->found[i].best && patient_link_replaced_by(gone->found[i].best, survivor))
            round_plan_update(bundle, &gone->found[i]);
}

static void plan_released(struct bundle *bundle, struct gone *released, const char *patient)
{
    for (size_t i = 0; i < released->count; i++)
        if (released->found[i].best && patient_link_release(released->found[i].best, patient))
            round_plan_update(bundle, &released->found[i]);
}

/* --- the plan --- */

/* The server's own word stays; somebody should look at it. */
static void tell_difference(const cJSON *held, const struct mapping *mapping)
{
    if (!held || !merge_patient_differs(held, mapping->patient))
        return;
    cJSON *meta = json_get(mapping->imaging_study, "meta");
    json_append_take(json_need_array(meta, "tag"),
                     coding_new(MAPPING_TAG_SYSTEM, TAG_PATIENT_DIFFERS, NULL));
}

static char *plan_with_patient(struct bundle *bundle, struct search_answer *found,
                               struct gone *gone, const struct mapping *mapping, bool changed)
{
    cJSON *mapped = json_copy(mapping->patient);
    for (size_t i = 0; i < mapping->former_count && found->best; i++)
        changed = merge_amended_patient(found->best, mapping->formers[i].patient, mapped) ||
                  changed;
    changed = link_survivor(found->best ? found->best : mapped, gone) || changed;
    tell_difference(found->best, mapping);
    char *reference = round_plan(bundle, found, mapped, mapping->withheld_patient, changed);
    plan_gone(bundle, gone, reference);
    cJSON_Delete(mapped);
    return reference;
}

enum round_result round_plan_patient(struct round *round, struct bundle *bundle,
                                     const struct mapping *mapping, char **reference,
                                     struct round_report *report)
{
    struct search_answer found;
    struct gone gone = { .count = 0 }, released = { .count = 0 };
    bool withheld = round->mapping->withhold & WITHHOLD_PATIENT;
    bool changed = false;
    enum round_result result = round_search(round, mapping->patient, &found, report);
    if (result == ROUND_DONE && !withheld)
        result = find_gone(round, mapping, &gone, report);
    if (result == ROUND_DONE && !withheld)
        result = find_released(round, mapping, found.best, &released, report);
    if (result == ROUND_DONE) {
        bool is_revived = revive(found.best, &gone);
        is_revived = revive(found.best, &released) || is_revived;
        const cJSON *revived = is_revived ? found.best : NULL;
        result = follow_survivors(round, &found, report);
        changed = revived && found.best == revived;
    }
    if (result == ROUND_DONE)
        *reference = withheld ? plan_without_patient(bundle, &found, mapping)
                              : plan_with_patient(bundle, &found, &gone, mapping, changed);
    if (result == ROUND_DONE && changed)
        plan_released(bundle, &released, *reference);
    gone_release(&gone);
    gone_release(&released);
    search_answer_release(&found);
    return result;
}
