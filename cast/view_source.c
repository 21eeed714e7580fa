/* SPDX-License-Identifier: MIT */
#include "cast/view_source.h"

#include <stdio.h>
#include <string.h>

#include "archive/changes.h"
#include "archive/study.h"
#include "base/clock.h"
#include "cast/attributes.h"
#include "cast/identifier.h"
#include "cast/links.h"
#include "cast/uuid.h"

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

bool view_time_of_change(const struct view_source *source, uint64_t change, char *text)
{
    struct change entry;
    bool found = false;
    if (!changes_get(source->archive, change, &entry, &found, NULL) || !found)
        return false;
    clock_format_utc(entry.at_ms, text);
    return true;
}

static void set_time(const struct view_source *source, uint64_t change, cJSON *resource)
{
    char text[CLOCK_TEXT_SIZE];
    if (change && view_time_of_change(source, change, text))
        json_set_text(json_get(resource, "meta"), "lastUpdated", text);
}

static void set_version(const struct view_source *source, const struct study *study,
                        cJSON *resource)
{
    char text[32];
    if (!study->change)
        return;
    snprintf(text, sizeof text, "%llu", (unsigned long long)study->change);
    json_set_text(json_get(resource, "meta"), "versionId", text);
    set_time(source, study->change, resource);
}

/* Of what has no history: the fingerprint of what it says. */
static void set_content_version(cJSON *resource)
{
    struct buffer text = buffer_up_to(1 << 20);
    uint8_t digest[SHA1_SIZE];
    char version[2 * 8 + 1];
    json_print(resource, &text);
    sha1(buffer_slice(&text), slice_of(NULL, 0), digest);
    for (size_t i = 0; i < 8; i++)
        snprintf(version + 2 * i, 3, "%02x", digest[i]);
    json_set_text(json_get(resource, "meta"), "versionId", version);
    buffer_release(&text);
}

static const char *endpoint_id(const cJSON *endpoint)
{
    const char *code = json_text(json_get(endpoint, "connectionType"), "code");
    return code && strncmp(code, "dicom-", 6) == 0 ? code + 6 : "endpoint";
}

size_t view_endpoints(const struct view_source *source, cJSON *endpoints[MAPPING_ENDPOINTS])
{
    size_t count = mapping_endpoints(source->mapping, endpoints);
    for (size_t i = 0; i < count; i++) {
        set_id(endpoints[i], endpoint_id(endpoints[i]));
        set_content_version(endpoints[i]);
    }
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

static void set_patient(const struct view_source *source, const struct study *study, cJSON *patient)
{
    char id[FHIR_ID_SIZE];
    patient_id_make(patient, id);
    set_id(patient, id);
    set_content_version(patient);
    set_time(source, study->change, patient);
}

/* Documents refer by identifier: to each other, to the Patient, to the ImagingStudy, to Devices.
 * What is here they refer to by its id, too, and so does the ImagingStudy. A Device is shown beside
 * the documents, as its study tells of it: no index leads from a serial number to studies. */
static void set_documents(const struct view_source *source, const struct study *study,
                          struct mapping *mapping)
{
    struct links *links = links_new();
    char reference[2 * FHIR_ID_SIZE], id[FHIR_ID_SIZE];
    cJSON *documents = mapping->documents;
    /* Only who asks for R5 is shown them. */
    while (mapping->selections->child)
        json_append_take(documents, cJSON_DetachItemFromArray(mapping->selections, 0));
    while (mapping->devices->child)
        json_append_take(documents, cJSON_DetachItemFromArray(mapping->devices, 0));
    snprintf(reference, sizeof reference, "Patient/%s", json_text(mapping->patient, "id"));
    links_add(links, "Patient", identifier_of_resource(mapping->patient), reference, true);
    snprintf(reference, sizeof reference, "ImagingStudy/%s", study->uid);
    links_add(links, "ImagingStudy", identifier_of_resource(mapping->imaging_study), reference,
              true);
    for (cJSON *each = json_first(documents); each; each = each->next) {
        const char *type = json_text(each, "resourceType");
        if (!document_id_make(each, study->uid, id))
            continue;
        set_id(each, id);
        snprintf(reference, sizeof reference, "%s/%s", type, id);
        links_add(links, type, identifier_of_resource(each), reference,
                  strcmp(type, "Device") != 0);
    }
    links_apply(links, mapping->imaging_study);
    for (cJSON *each = json_first(documents); each; each = each->next) {
        links_apply(links, each);
        set_content_version(each);
        set_time(source, study->change, each);
    }
    links_free(links);
}

bool view_study(const struct view_source *source, const char *uid, struct mapping *mapping,
                struct error *err)
{
    struct study *study = NULL;
    *mapping = (struct mapping){ .patient = NULL };
    if (!uid_is_safe(slice_text(uid)))
        return error_set(err, ERROR_NOT_FOUND, "there is no such ImagingStudy");
    if (!study_open(source->archive, uid, &study, err))
        return false;
    mapping_init(mapping, study, source->mapping);
    set_references(mapping);
    set_id(mapping->imaging_study, study->uid);
    set_version(source, study, mapping->imaging_study);
    set_patient(source, study, mapping->patient);
    for (size_t i = 0; i < mapping->endpoint_count; i++)
        set_id(mapping->endpoints[i], endpoint_id(mapping->endpoints[i]));
    set_documents(source, study, mapping);
    study_close(study);
    return true;
}

bool view_imaging_study(const struct view_source *source, const char *uid, cJSON **out,
                        struct error *err)
{
    struct mapping mapping;
    *out = NULL;
    if (!view_study(source, uid, &mapping, err))
        return false;
    *out = mapping.imaging_study;
    mapping.imaging_study = NULL;
    mapping_release(&mapping);
    return true;
}

bool view_document(const struct view_source *source, const char *type, const char *id, cJSON **out,
                   struct error *err)
{
    char uid[FHIR_ID_SIZE];
    struct mapping mapping;
    *out = NULL;
    if (!document_id_read(id, uid))
        return error_set(err, ERROR_NOT_FOUND, "there is no such %s", type);
    if (!view_study(source, uid, &mapping, err))
        return false;
    for (cJSON *each = json_first(mapping.documents); each && !*out; each = each->next) {
        const char *own = json_text(each, "id");
        if (own && strcmp(own, id) == 0 && strcmp(json_text(each, "resourceType"), type) == 0)
            *out = cJSON_DetachItemViaPointer(mapping.documents, each);
    }
    mapping_release(&mapping);
    return *out || error_set(err, ERROR_NOT_FOUND, "there is no such %s", type);
}

bool view_patient_of_study(const struct view_source *source, const char *uid, cJSON **out,
                           struct error *err)
{
    struct study *study = NULL;
    *out = NULL;
    if (!study_open_head(source->archive, uid, &study, err))
        return false;
    *out = mapping_patient(study, source->mapping);
    set_patient(source, study, *out);
    study_close(study);
    return true;
}

/* --- studies by a key --- */

bool view_studies_open(const struct view_source *source, const struct view_key *keys,
                       size_t key_count, uint64_t offset, struct view_studies *studies,
                       struct error *err)
{
    static const uint32_t uid_path[] = { TAG_STUDY_INSTANCE_UID };
    enum level level = LEVEL_STUDY;
    *studies = (struct view_studies){ .key_count = key_count, .passed = offset };
    for (size_t i = 0; i < key_count; i++) {
        studies->keys[i] = keys[i];
        if (keys[i].level > level)
            level = keys[i].level;
    }
    studies->query = query_new(source->archive, level);
    query_set_page(studies->query, offset, 0);
    bool ok = query_add_key(studies->query, uid_path, 1, slice_text(""), err);
    for (size_t i = 0; ok && i < key_count; i++)
        ok = query_add_key(studies->query, &keys[i].tag, 1, slice_text(keys[i].value), err);
    if (!ok)
        view_studies_close(studies);
    return ok;
}

bool view_studies_order(struct view_studies *studies, uint32_t tag, uint32_t then, bool descending,
                        struct error *err)
{
    query_set_page(studies->query, studies->passed, VIEW_MOST_ORDERED);
    return query_add_order(studies->query, tag, descending, err) &&
           (!then || query_add_order(studies->query, then, descending, err));
}

/* What is asked for may have had the look of a wildcard. */
static bool is_exact(const struct view_studies *studies, const struct dataset *match)
{
    char value[VALUE_SIZE];
    for (size_t i = 0; i < studies->key_count; i++) {
        const struct view_key *key = &studies->keys[i];
        if (key->exact && (!dataset_clean_text(match, key->tag, value, sizeof value) ||
                           strcmp(value, key->value) != 0))
            return false;
    }
    return true;
}

bool view_studies_next(struct view_studies *studies, char uid[UID_SIZE], bool *found,
                       struct error *err)
{
    const struct dataset *match;
    *found = false;
    for (;;) {
        if (!query_next(studies->query, &match, err))
            return false;
        if (!match)
            return true;
        studies->passed++;
        if (is_exact(studies, match) && dataset_uid(match, TAG_STUDY_INSTANCE_UID, uid)) {
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
                             cJSON **out, char uid[UID_SIZE], struct error *err)
{
    const struct view_key key = { LEVEL_PATIENT, TAG_PATIENT_ID, value, true };
    struct view_studies studies;
    bool found = true;
    bool ok = true;
    *out = NULL;
    if (!view_studies_open(source, &key, 1, 0, &studies, err))
        return err && err->code == ERROR_INVALID; /* no value of a Patient ID: nobody has it */
    for (int i = 0; i < VIEW_MOST_OF_PATIENT && !*out; i++) {
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
                            char uid[UID_SIZE], struct error *err)
{
    static const uint32_t path[] = { TAG_PATIENT_ID };
    enum { MOST_PATIENTS = 1000 * 1000 };
    struct query *query = query_new(source->archive, LEVEL_PATIENT);
    query_set_page(query, 0, MOST_PATIENTS);
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
            ok = patient_by_value(source, value, id, out, uid, err);
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
    char uid[UID_SIZE];
    return view_patient_from(source, id, out, uid, err);
}

bool view_patient_from(const struct view_source *source, const char *id, cJSON **out,
                       char study_uid[UID_SIZE], struct error *err)
{
    char value[FHIR_ID_SIZE];
    bool ok = true;
    *out = NULL;
    study_uid[0] = 0;
    switch (patient_id_read(id, value)) {
    case PATIENT_ID_NONE:
        break;
    case PATIENT_ID_VALUE:
        ok = patient_by_value(source, value, id, out, study_uid, err);
        break;
    case PATIENT_ID_HASH:
        ok = patient_by_hash(source, id, out, study_uid, err);
        break;
    case PATIENT_ID_STUDY:
        snprintf(study_uid, UID_SIZE, "%s", value);
        ok = patient_of_study_alone(source, id, value, out, err);
        break;
    }
    if (!ok || *out)
        return ok;
    return error_set(err, ERROR_NOT_FOUND, "there is no such Patient");
}
