/* SPDX-License-Identifier: MIT */
#include "cast/view_source.h"

#include <stdio.h>
#include <string.h>

#include "archive/changes.h"
#include "archive/study.h"
#include "base/clock.h"
#include "cast/attributes.h"
#include "cast/identifier.h"

enum { VALUE_SIZE = 512 };

/* --- ids, versions, references --- */

/* Behind resourceType, where everybody looks for it. */
static void set_id(cJSON *resource, const char *id)
{
    cJSON *item = json_string(id);
    cJSON *type = json_get(resource, "resourceType");
    json_set_take(resource, "id", item);
    item = json_get(resource, "id");
    cJSON_DetachItemViaPointer(resource, item);
    item->next = type->next;
    item->prev = type;
    type->next->prev = item;
    type->next = item;
}

static void set_version(const struct view_source *source, const struct study *study,
                        cJSON *resource)
{
    struct change change;
    bool found = false;
    char text[CLOCK_TEXT_SIZE];
    cJSON *meta = json_get(resource, "meta");
    if (!study->change)
        return;
    snprintf(text, sizeof text, "%llu", (unsigned long long)study->change);
    json_set_text(meta, "versionId", text);
    if (changes_get(source->archive, study->change, &change, &found, NULL) && found) {
        clock_format_utc(change.at_ms, text);
        json_set_text(meta, "lastUpdated", text);
    }
}

static const char *endpoint_id(const cJSON *endpoint)
{
    const char *code = json_text(json_get(endpoint, "connectionType"), "code");
    return code && strncmp(code, "dicom-", 6) == 0 ? code + 6 : "endpoint";
}

size_t view_endpoints(const struct view_source *source, cJSON *endpoints[MAPPING_ENDPOINTS])
{
    size_t count = mapping_endpoints(source->mapping, endpoints);
    for (size_t i = 0; i < count; i++)
        set_id(endpoints[i], endpoint_id(endpoints[i]));
    return count;
}

bool view_endpoint(const struct view_source *source, const char *id, cJSON **out, struct error *err)
{
    cJSON *endpoints[MAPPING_ENDPOINTS];
    size_t count = view_endpoints(source, endpoints);
    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(json_text(endpoints[i], "id"), id) == 0)
            *out = endpoints[i];
        else
            cJSON_Delete(endpoints[i]);
    }
    return *out || error_set(err, ERROR_NOT_FOUND, "there is no such Endpoint");
}

static void set_references(struct mapping *mapping)
{
    char patient[FHIR_ID_SIZE + 16], id[FHIR_ID_SIZE];
    char endpoints[MAPPING_ENDPOINTS][64];
    const char *references[MAPPING_ENDPOINTS];
    patient_id_make(mapping->patient, id);
    snprintf(patient, sizeof patient, "Patient/%s", id);
    for (size_t i = 0; i < mapping->endpoint_count; i++) {
        snprintf(endpoints[i], sizeof endpoints[i], "Endpoint/%s",
                 endpoint_id(mapping->endpoints[i]));
        references[i] = endpoints[i];
    }
    mapping_set_references(mapping->imaging_study, patient, references, mapping->endpoint_count);
}

bool view_imaging_study(const struct view_source *source, const char *uid, cJSON **out,
                        struct error *err)
{
    struct study *study = NULL;
    struct mapping mapping;
    *out = NULL;
    if (!uid_is_safe(slice_text(uid)))
        return error_set(err, ERROR_NOT_FOUND, "there is no such ImagingStudy");
    if (!study_open(source->archive, uid, &study, err))
        return false;
    mapping_init(&mapping, study, source->mapping);
    set_id(mapping.imaging_study, study->uid);
    set_version(source, study, mapping.imaging_study);
    set_references(&mapping);
    study_close(study);
    *out = mapping.imaging_study;
    mapping.imaging_study = NULL;
    mapping_release(&mapping);
    return true;
}

bool view_patient_of_study(const struct view_source *source, const char *uid, cJSON **out,
                           struct error *err)
{
    struct study *study = NULL;
    char id[FHIR_ID_SIZE];
    *out = NULL;
    if (!study_open(source->archive, uid, &study, err))
        return false;
    *out = mapping_patient(study, source->mapping);
    study_close(study);
    patient_id_make(*out, id);
    set_id(*out, id);
    return true;
}

/* --- studies by a key --- */

bool view_studies_open(const struct view_source *source, uint32_t tag, const char *value,
                       uint64_t offset, struct view_studies *studies, struct error *err)
{
    static const uint32_t uid_path[] = { TAG_STUDY_INSTANCE_UID };
    *studies = (struct view_studies){ query_new(source->archive, LEVEL_STUDY), tag, value };
    query_set_page(studies->query, offset, VIEW_MOST_STUDIES);
    if (query_add_key(studies->query, uid_path, 1, slice_text(""), err) &&
        (!value || query_add_key(studies->query, &tag, 1, slice_text(value), err)))
        return true;
    view_studies_close(studies);
    return false;
}

bool view_studies_next(struct view_studies *studies, char uid[UID_SIZE], bool *found,
                       struct error *err)
{
    const struct dataset *match;
    char value[VALUE_SIZE];
    *found = false;
    for (;;) {
        if (!query_next(studies->query, &match, err))
            return false;
        if (!match)
            return true;
        /* The key may have had the look of a wildcard. */
        if (studies->value && (!dataset_clean_text(match, studies->tag, value, sizeof value) ||
                               strcmp(value, studies->value) != 0))
            continue;
        if (dataset_uid(match, TAG_STUDY_INSTANCE_UID, uid)) {
            *found = true;
            return true;
        }
    }
}

void view_studies_close(struct view_studies *studies)
{
    query_close(studies->query);
    studies->query = NULL;
}

/* --- Patients by id --- */

/* The first study of this Patient ID whose Patient has the id. */
static bool patient_by_value(const struct view_source *source, const char *value, const char *id,
                             cJSON **out, struct error *err)
{
    enum { MOST = 200 };
    struct view_studies studies;
    char uid[UID_SIZE];
    bool found = true;
    bool ok = true;
    *out = NULL;
    if (!view_studies_open(source, TAG_PATIENT_ID, value, 0, &studies, err))
        return err && err->code == ERROR_INVALID; /* no value of a Patient ID: nobody has it */
    for (int i = 0; i < MOST && !*out; i++) {
        ok = view_studies_next(&studies, uid, &found, err);
        if (!ok || !found)
            break;
        /* One that was deleted meanwhile is passed by. */
        if (view_patient_of_study(source, uid, out, NULL) &&
            strcmp(json_text(*out, "id"), id) != 0) {
            cJSON_Delete(*out);
            *out = NULL;
        }
    }
    view_studies_close(&studies);
    return ok;
}

/* A Patient ID too long to stand in an id: all such ones are looked at. */
static bool patient_by_hash(const struct view_source *source, const char *id, cJSON **out,
                            struct error *err)
{
    static const uint32_t path[] = { TAG_PATIENT_ID };
    struct query *query = query_new(source->archive, LEVEL_PATIENT);
    query_set_page(query, 0, VIEW_MOST_PATIENTS);
    const struct dataset *match = NULL;
    char value[VALUE_SIZE];
    bool ok = query_add_key(query, path, 1, slice_text(""), err);
    *out = NULL;
    while (ok && !*out) {
        ok = query_next(query, &match, err);
        if (!ok || !match)
            break;
        if (dataset_clean_text(match, TAG_PATIENT_ID, value, sizeof value) &&
            strlen(value) > PATIENT_ID_MAX)
            ok = patient_by_value(source, value, id, out, err);
    }
    query_close(query);
    return ok;
}

static bool patient_of_study_alone(const struct view_source *source, const char *id,
                                   const char *uid, cJSON **out, struct error *err)
{
    if (!uid_is_safe(slice_text(uid)))
        return true;
    if (!view_patient_of_study(source, uid, out, err))
        return false;
    if (strcmp(json_text(*out, "id"), id) != 0) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return true;
}

bool view_patient(const struct view_source *source, const char *id, cJSON **out, struct error *err)
{
    char value[FHIR_ID_SIZE];
    bool ok = true;
    *out = NULL;
    switch (patient_id_read(id, value)) {
    case PATIENT_ID_NONE:
        break;
    case PATIENT_ID_VALUE:
        ok = patient_by_value(source, value, id, out, err);
        break;
    case PATIENT_ID_HASH:
        ok = patient_by_hash(source, id, out, err);
        break;
    case PATIENT_ID_STUDY:
        ok = patient_of_study_alone(source, id, value, out, err);
        break;
    }
    if (!ok || *out)
        return ok;
    return error_set(err, ERROR_NOT_FOUND, "there is no such Patient");
}
