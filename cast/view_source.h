/* SPDX-License-Identifier: MIT */
#pragma once
/* The archive's studies as resources with ids, versions and references of the view's own, as R4 has
 * them: an ImagingStudy's id is its Study Instance UID, a Patient's is made from its identifier, an
 * Endpoint's is the name of its service. An ImagingStudy's version is the number of its last
 * change; the others' are made from what they say, so that another content has another version. Any
 * thread.
 */

#include "archive/query.h"
#include "cast/mapping.h"
#include "cast/patient_id.h"

struct view_source {
    struct archive *archive;
    const struct mapping_options *mapping;
};

/* All resources of a study. ERROR_NOT_FOUND, ERROR_GONE. To be released with mapping_release. */
bool view_study(const struct view_source *source, const char *uid, struct mapping *mapping,
                struct error *err);
/* So too. Free what comes out with cJSON_Delete. */
bool view_imaging_study(const struct view_source *source, const char *uid, cJSON **out,
                        struct error *err);
bool view_patient(const struct view_source *source, const char *id, cJSON **out, struct error *err);
/* The same, with the study that it is made of: the newest of the Patient's. */
bool view_patient_from(const struct view_source *source, const char *id, cJSON **out,
                       char study_uid[UID_SIZE], struct error *err);
/* Observation, DiagnosticReport, DocumentReference: what a document says; and Device. */
bool view_document(const struct view_source *source, const char *type, const char *id, cJSON **out,
                   struct error *err);
bool view_endpoint(const struct view_source *source, const char *id, cJSON **out,
                   struct error *err);
/* The Patient of a study. Another study of the Patient may tell other things of it: view_patient
 * asks the newest. */
bool view_patient_of_study(const struct view_source *source, const char *uid, cJSON **out,
                           struct error *err);
size_t view_endpoints(const struct view_source *source, cJSON *endpoints[MAPPING_ENDPOINTS]);
/* When a change was made, as an instant; false when it is not known. */
bool view_time_of_change(const struct view_source *source, uint64_t change, char *text);

/* The studies that match some keys, newest first. */
struct view_key {
    enum level level; /* that the attribute belongs to */
    uint32_t tag;
    const char *value;
    bool exact; /* this value; else a range or a pattern */
};
enum {
    VIEW_KEYS = 4,
    VIEW_MOST_STUDIES = 20000, /* of one key's value that are looked at */
    VIEW_MOST_ORDERED = 5000,  /* of an order other than the archive's own, at once */
    VIEW_MOST_OF_PATIENT = 200 /* studies of a Patient ID that may tell of its Patients */
};
struct view_studies {
    struct query *query;
    struct view_key keys[VIEW_KEYS];
    size_t key_count;
    uint64_t passed; /* candidates, with the offset */
};
/* ERROR_INVALID: no value that the attribute can have, so that no study has it. */
bool view_studies_open(const struct view_source *source, const struct view_key *keys,
                       size_t key_count, uint64_t offset, struct view_studies *studies,
                       struct error *err);
/* Before the first one: in the order of these attributes of the study level (0: none), all of them
 * ascending or all descending. ERROR_LIMIT, as query_add_order has it. */
bool view_studies_order(struct view_studies *studies, uint32_t tag, uint32_t then, bool descending,
                        struct error *err);
bool view_studies_next(struct view_studies *studies, char uid[UID_SIZE], bool *found,
                       struct error *err);
void view_studies_close(struct view_studies *studies);
