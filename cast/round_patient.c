/* SPDX-License-Identifier: MIT */
/* The Patient of a study. */
#include <stdlib.h>
#include <string.h>

#include "archive/patients.h"
#include "base/memory.h"
#include "cast/coding.h"
#include "cast/identifier.h"
#include "cast/merge.h"
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

enum round_result round_plan_patient(struct round *round, struct bundle *bundle,
                                     const struct mapping *mapping, char **reference,
                                     struct round_report *report)
{
    struct search_answer found;
    enum round_result result = round_search(round, mapping->patient, &found, report);
    if (result == ROUND_DONE)
        result = follow_survivors(round, &found, report);
    if (result == ROUND_DONE) {
        /* The server's own word stays; somebody should look at it. */
        if (found.best && merge_patient_differs(found.best, mapping->patient)) {
            cJSON *meta = json_get(mapping->imaging_study, "meta");
            json_append_take(json_need_array(meta, "tag"),
                             coding_new(MAPPING_TAG_SYSTEM, TAG_PATIENT_DIFFERS, NULL));
        }
        *reference = round->mapping->withhold & WITHHOLD_PATIENT
                         ? plan_without_patient(bundle, &found, mapping)
                         : round_plan(bundle, &found, mapping->patient, mapping->withheld_patient,
                                      false);
    }
    search_answer_release(&found);
    return result;
}
