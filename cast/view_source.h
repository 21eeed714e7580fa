/* SPDX-License-Identifier: MIT */
#pragma once
/* The archive's studies as resources with ids and references of the view's own: an ImagingStudy's
 * id is its Study Instance UID, a Patient's is made from its identifier, an Endpoint's is the name
 * of its service. Any thread. */

#include "archive/query.h"
#include "cast/mapping.h"
#include "cast/patient_id.h"

struct view_source {
    struct archive *archive;
    const struct mapping_options *mapping;
};

/* ERROR_NOT_FOUND, ERROR_GONE. Free what comes out with cJSON_Delete. */
bool view_imaging_study(const struct view_source *source, const char *uid, cJSON **out,
                        struct error *err);
bool view_patient(const struct view_source *source, const char *id, cJSON **out, struct error *err);
bool view_endpoint(const struct view_source *source, const char *id, cJSON **out,
                   struct error *err);
/* The Patient of a study. */
bool view_patient_of_study(const struct view_source *source, const char *uid, cJSON **out,
                           struct error *err);
size_t view_endpoints(const struct view_source *source, cJSON *endpoints[MAPPING_ENDPOINTS]);

/* The studies with this exact value of a key (NULL: all), newest first, after `offset` of them. */
struct view_studies {
    struct query *query;
    uint32_t tag;
    const char *value;
};
enum { VIEW_MOST_STUDIES = 10000, VIEW_MOST_PATIENTS = 1000000 }; /* that one walk looks at */
bool view_studies_open(const struct view_source *source, uint32_t tag, const char *value,
                       uint64_t offset, struct view_studies *studies, struct error *err);
bool view_studies_next(struct view_studies *studies, char uid[UID_SIZE], bool *found,
                       struct error *err);
void view_studies_close(struct view_studies *studies);
