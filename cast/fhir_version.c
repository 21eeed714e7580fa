/* SPDX-License-Identifier: MIT */
#include "cast/fhir_version.h"

#include <stdlib.h>
#include <string.h>

#include "cast/coding.h"

bool fhir_version_named(const char *name, enum fhir_version *version)
{
    static const char *const names[] = { "auto", "R4", "R5" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *version = (enum fhir_version)i;
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

bool fhir_version_of(const char *text, enum fhir_version *version)
{
    if (strncmp(text, "4.0", 3) == 0 || strncmp(text, "4.3", 3) == 0)
        *version = FHIR_R4;
    else if (strncmp(text, "5.0", 3) == 0)
        *version = FHIR_R5;
    else
        return false;
    return text[3] == 0 || text[3] == '.' || text[3] == '-';
}

const char *fhir_version_number(enum fhir_version version)
{
    return version == FHIR_R5 ? "5.0.0" : "4.0.1";
}

/* --- what became of an element --- */

/* In R4 a mere extension (data-absent-reason) stands for a Coding; in a CodeableConcept it stands
 * for the concept. */
static cJSON *concept_of_coding(const cJSON *coding)
{
    if (json_get(coding, "extension") && !json_get(coding, "code") && !json_get(coding, "display"))
        return json_copy(coding);
    cJSON *concept = json_object();
    json_append_take(json_need_array(concept, "coding"), json_copy(coding));
    return concept;
}

static cJSON *reference_of_concept(const cJSON *concept)
{
    cJSON *reference = json_object();
    json_set_take(reference, "concept", json_copy(concept));
    return reference;
}

static cJSON *reference_of_coding(const cJSON *coding)
{
    cJSON *reference = json_object();
    json_set_take(reference, "concept", concept_of_coding(coding));
    return reference;
}

/* Device.deviceName.name is Device.name.value; of the types only these are left. */
static cJSON *device_name(const cJSON *name)
{
    const char *type = json_text(name, "type");
    if (!type ||
        (strcmp(type, "user-friendly-name") != 0 && strcmp(type, "patient-reported-name") != 0))
        return NULL;
    cJSON *named = json_copy(name);
    json_set_text(named, "value", json_text(name, "name"));
    json_remove(named, "name");
    return named;
}

static cJSON *profile_of_format(const cJSON *format)
{
    cJSON *profile = json_object();
    json_set_take(profile, "valueCoding", json_copy(format));
    return profile;
}

/* What has but another name. */
static cJSON *same(const cJSON *value)
{
    return json_copy(value);
}

static const struct difference {
    const char *type;
    const char *within; /* the list whose members have the element; NULL: the resource itself */
    const char *r4;
    const char *r5; /* NULL: there is none */
    cJSON *(*turn)(const cJSON *value);
    bool listed; /* one became several */
} differences[] = {
    { "ImagingStudy", NULL, "modality", "modality", concept_of_coding, false },
    { "ImagingStudy", NULL, "interpreter", NULL, NULL, false },
    { "ImagingStudy", NULL, "procedureCode", "procedure", reference_of_concept, false },
    { "ImagingStudy", NULL, "reasonCode", "reason", reference_of_concept, false },
    { "ImagingStudy", "series", "modality", "modality", concept_of_coding, false },
    { "ImagingStudy", "series", "bodySite", "bodySite", reference_of_coding, false },
    { "ImagingStudy", "series", "laterality", "laterality", concept_of_coding, false },
    { "Endpoint", NULL, "connectionType", "connectionType", concept_of_coding, true },
    { "DiagnosticReport", NULL, "imagingStudy", "study", same, false },
    { "Device", NULL, "deviceName", "name", device_name, false },
    { "Device", NULL, "type", "type", same, true },
    { "DocumentReference", "content", "format", "profile", profile_of_format, true },
};

static cJSON *turned(const struct difference *difference, const cJSON *value)
{
    if (!cJSON_IsArray(value) && !difference->listed)
        return difference->turn(value);
    cJSON *list = json_array();
    const cJSON *each = cJSON_IsArray(value) ? value->child : value;
    for (; each; each = each == value ? NULL : each->next) {
        cJSON *turned_item = difference->turn(each);
        if (turned_item)
            json_append_take(list, turned_item);
    }
    return list;
}

static void turn_element(cJSON *object, const struct difference *difference)
{
    const cJSON *value = json_get(object, difference->r4);
    if (!value)
        return;
    cJSON *other = difference->r5 ? turned(difference, value) : NULL;
    bool is_empty = !other || (cJSON_IsArray(other) && !other->child);
    if (is_empty || strcmp(difference->r4, difference->r5) != 0)
        json_remove(object, difference->r4);
    if (other)
        json_set_take(object, difference->r5, other);
}

/* --- what is more than an element --- */

static int compare_code(const void *a, const void *b)
{
    const char *left = json_text(*(cJSON *const *)a, "code");
    const char *right = json_text(*(cJSON *const *)b, "code");
    return strcmp(left ? left : "", right ? right : "");
}

/* R4 has the acquiring modalities (CID 29), R5 those of all series (CID 33). */
static void gather_modalities(cJSON *imaging_study)
{
    cJSON *modalities = json_array();
    cJSON *sorted[JSON_MAX_NEW];
    size_t count = 0;
    const cJSON *series;
    for (series = json_first(json_get(imaging_study, "series")); series; series = series->next) {
        const cJSON *modality = json_get(series, "modality");
        if (json_text(modality, "code"))
            json_append_new_take(modalities, json_copy(modality));
    }
    while (modalities->child && count < JSON_MAX_NEW)
        sorted[count++] = cJSON_DetachItemFromArray(modalities, 0);
    if (count)
        qsort(sorted, count, sizeof *sorted, compare_code);
    for (size_t i = 0; i < count; i++)
        json_append_take(modalities, sorted[i]);
    if (count)
        json_set_take(imaging_study, "modality", modalities);
    else
        cJSON_Delete(modalities);
}

/* payloadType and payloadMimeType are one group. */
static void group_payload(cJSON *endpoint)
{
    cJSON *payload = json_object();
    const cJSON *types = json_get(endpoint, "payloadType");
    const cJSON *mime_types = json_get(endpoint, "payloadMimeType");
    if (types)
        json_set_take(payload, "type", json_copy(types));
    if (mime_types)
        json_set_take(payload, "mimeType", json_copy(mime_types));
    json_remove(endpoint, "payloadType");
    json_remove(endpoint, "payloadMimeType");
    json_append_take(json_need_array(endpoint, "payload"), payload);
}

/* A carrier has an identifier of which somebody says who issued it. */
static bool has_no_identifier(const cJSON *carrier, const void *context)
{
    (void)context;
    return !json_text(carrier, "deviceIdentifier");
}

static void drop_carriers(cJSON *device)
{
    json_remove_items(device, "udiCarrier", has_no_identifier, NULL);
}

/* context.related is no more: what a document is about stands in an extension of ours. */
static void turn_context(cJSON *reference)
{
    static const char url[] = "urn:hounsfield:related";
    const cJSON *related = json_first(json_get(json_get(reference, "context"), "related"));
    for (; related; related = related->next) {
        cJSON *extension = json_object();
        json_set_text(extension, "url", url);
        json_set_take(extension, "valueReference", json_copy(related));
        json_append_take(json_need_array(reference, "extension"), extension);
    }
    json_remove(reference, "context");
}

void fhir_version_shape(cJSON *resource, enum fhir_version version)
{
    const char *type = json_text(resource, "resourceType");
    if (version != FHIR_R5 || !type)
        return;
    if (strcmp(type, "ImagingStudy") == 0)
        gather_modalities(resource);
    if (strcmp(type, "Endpoint") == 0)
        group_payload(resource);
    if (strcmp(type, "Device") == 0)
        drop_carriers(resource);
    if (strcmp(type, "DocumentReference") == 0)
        turn_context(resource);
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        const struct difference *difference = &differences[i];
        if (strcmp(difference->type, type) != 0)
            continue;
        if (!difference->within) {
            turn_element(resource, difference);
            continue;
        }
        cJSON *each = json_first(json_get(resource, difference->within));
        for (; each; each = each->next)
            turn_element(each, difference);
    }
}

static bool newer_modality(cJSON *modality, bool name)
{
    const char *code = json_text(modality, "code"), *system = json_text(modality, "system");
    if (!code || !system || strcmp(system, SYSTEM_DCM) != 0 || !modality_is_newer_than_r4(code))
        return false;
    if (name) {
        json_set_text(modality, "display", code);
        json_remove(modality, "system");
        json_remove(modality, "code");
    }
    return true;
}

bool fhir_version_newer_modalities(cJSON *imaging_study, bool name)
{
    bool found = false;
    cJSON *each;
    for (each = json_first(json_get(imaging_study, "modality")); each; each = each->next)
        found = newer_modality(each, name) || found;
    for (each = json_first(json_get(imaging_study, "series")); each; each = each->next)
        found = newer_modality(json_get(each, "modality"), name) || found;
    return found;
}
