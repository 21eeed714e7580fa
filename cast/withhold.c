/* SPDX-License-Identifier: MIT */
#include "cast/withhold.h"

#include <string.h>

#include "base/buffer.h"

#define STRUCTURE "http://hl7.org/fhir/StructureDefinition/"

enum { GROUPS = 18 };

/* In the order of the bits. */
static const char *const names[GROUPS + 1] = {
    "Patient",         "Endpoint",         "patientNames",      "birthDate", "sex",
    "otherPatientIds", "orders",           "practitioners",     "devices",   "location",
    "procedures",      "reasons",          "descriptions",      "instances", "species",
    "Observation",     "DiagnosticReport", "DocumentReference",
};

/* --- which of an array's items belong to a group --- */

static bool has_url(const cJSON *item, const char *url)
{
    const char *present = json_text(item, "url");
    return present && strcmp(present, url) == 0;
}

static bool is_mothers_name(const cJSON *item, size_t index)
{
    (void)index;
    return has_url(item, STRUCTURE "patient-mothersMaidenName");
}

static bool is_animal(const cJSON *item, size_t index)
{
    (void)index;
    return has_url(item, STRUCTURE "patient-animal");
}

/* The first identifier is the one that a resource is found by. */
static bool is_other(const cJSON *item, size_t index)
{
    (void)item;
    return index > 0;
}

/* What a document says has its own identifier and the study's. */
static bool is_third(const cJSON *item, size_t index)
{
    (void)item;
    return index > 1;
}

static bool is_actor(const cJSON *item, const char *type)
{
    const char *present = json_text(json_get(item, "actor"), "type");
    return present && strcmp(present, type) == 0;
}

static bool is_practitioner(const cJSON *item, size_t index)
{
    (void)index;
    return is_actor(item, "Practitioner");
}

static bool is_device(const cJSON *item, size_t index)
{
    (void)index;
    return is_actor(item, "Device");
}

/* `level`: NULL for the resource itself, else an array of it; "series.instance" is one in it.
 * Without `is_ours` the element goes as a whole. */
static const struct element {
    unsigned groups;
    const char *resource;
    const char *level;
    const char *name;
    bool (*is_ours)(const cJSON *item, size_t index);
} elements[] = {
    { WITHHOLD_PATIENT_NAMES | WITHHOLD_PATIENT, "Patient", NULL, "name", NULL },
    { WITHHOLD_PATIENT_NAMES | WITHHOLD_PATIENT, "Patient", NULL, "extension", is_mothers_name },
    { WITHHOLD_BIRTH_DATE | WITHHOLD_PATIENT, "Patient", NULL, "birthDate", NULL },
    { WITHHOLD_BIRTH_DATE | WITHHOLD_PATIENT, "Patient", NULL, "_birthDate", NULL },
    { WITHHOLD_SEX | WITHHOLD_PATIENT, "Patient", NULL, "gender", NULL },
    { WITHHOLD_SPECIES | WITHHOLD_PATIENT, "Patient", NULL, "extension", is_animal },
    { WITHHOLD_OTHER_PATIENT_IDS | WITHHOLD_PATIENT, "Patient", NULL, "identifier", is_other },
    /* Accession number and study ID */
    { WITHHOLD_ORDERS, "ImagingStudy", NULL, "identifier", is_other },
    { WITHHOLD_ORDERS, "ImagingStudy", NULL, "basedOn", NULL },
    { WITHHOLD_ORDERS, "ImagingStudy", NULL, "encounter", NULL },
    { WITHHOLD_PRACTITIONERS, "ImagingStudy", NULL, "referrer", NULL },
    { WITHHOLD_PRACTITIONERS, "ImagingStudy", NULL, "interpreter", NULL },
    { WITHHOLD_PRACTITIONERS, "ImagingStudy", "series", "performer", is_practitioner },
    { WITHHOLD_DEVICES, "ImagingStudy", "series", "performer", is_device },
    { WITHHOLD_LOCATION, "ImagingStudy", NULL, "location", NULL },
    { WITHHOLD_PROCEDURES, "ImagingStudy", NULL, "procedureCode", NULL },
    { WITHHOLD_REASONS, "ImagingStudy", NULL, "reasonCode", NULL },
    { WITHHOLD_DESCRIPTIONS, "ImagingStudy", NULL, "description", NULL },
    { WITHHOLD_DESCRIPTIONS, "ImagingStudy", "series", "description", NULL },
    { WITHHOLD_DESCRIPTIONS, "ImagingStudy", "series.instance", "title", NULL },
    { WITHHOLD_INSTANCES, "ImagingStudy", "series", "instance", NULL },
    { WITHHOLD_ORDERS, "DiagnosticReport", NULL, "identifier", is_third },
    { WITHHOLD_ORDERS, "DiagnosticReport", NULL, "basedOn", NULL },
    { WITHHOLD_ORDERS, "DiagnosticReport", NULL, "encounter", NULL },
    { WITHHOLD_PRACTITIONERS, "DiagnosticReport", NULL, "performer", NULL },
    { WITHHOLD_PRACTITIONERS, "DiagnosticReport", NULL, "resultsInterpreter", NULL },
    { WITHHOLD_ORDERS, "Observation", NULL, "basedOn", NULL },
    { WITHHOLD_PRACTITIONERS, "Observation", NULL, "performer", NULL },
    { WITHHOLD_PRACTITIONERS, "DocumentReference", NULL, "author", NULL },
    { WITHHOLD_PRACTITIONERS, "ImagingSelection", NULL, "performer", NULL },
    { WITHHOLD_DEVICES, "Observation", NULL, "device", NULL },
    { WITHHOLD_OBSERVATION, "DiagnosticReport", NULL, "result", NULL },
    { WITHHOLD_DESCRIPTIONS, "DocumentReference", NULL, "description", NULL },
};

const char *const *withhold_names(void)
{
    return names;
}

bool withhold_read(const char *const *wanted, unsigned *set, struct error *err)
{
    *set = 0;
    for (; wanted && *wanted; wanted++) {
        unsigned bit = 0;
        while (bit < GROUPS && strcmp(names[bit], *wanted) != 0)
            bit++;
        if (bit == GROUPS)
            return error_set(err, ERROR_INVALID, "\"%.64s\" is no group of what is cast", *wanted);
        *set |= 1U << bit;
    }
    return true;
}

/* Takes it out of `object`, into `taken` unless that is NULL. */
static void take(const struct element *element, cJSON *object, cJSON *taken)
{
    cJSON *value = json_get(object, element->name);
    cJSON *next;
    size_t index = 0;
    if (!value)
        return;
    if (!element->is_ours) {
        value = cJSON_DetachItemViaPointer(object, value);
        if (taken)
            json_set_take(taken, element->name, value);
        else
            cJSON_Delete(value);
        return;
    }
    for (cJSON *item = json_first(value); item; item = next, index++) {
        next = item->next;
        if (!element->is_ours(item, index))
            continue;
        item = cJSON_DetachItemViaPointer(value, item);
        if (taken)
            json_append_take(json_need_array(taken, element->name), item);
        else
            cJSON_Delete(item);
    }
    if (!value->child)
        json_remove(object, element->name);
}

static void take_below(const struct element *element, cJSON *resource)
{
    bool is_deeper = strcmp(element->level, "series") != 0;
    for (cJSON *series = json_first(json_get(resource, "series")); series; series = series->next) {
        if (!is_deeper) {
            take(element, series, NULL);
            continue;
        }
        cJSON *instance;
        for (instance = json_first(json_get(series, "instance")); instance;
             instance = instance->next)
            take(element, instance, NULL);
    }
}

bool withhold_whole(unsigned set, const cJSON *resource)
{
    static const struct {
        unsigned group;
        const char *type;
    } types[] = {
        { WITHHOLD_DEVICES, "Device" },
        { WITHHOLD_OBSERVATION, "Observation" },
        { WITHHOLD_DIAGNOSTIC_REPORT, "DiagnosticReport" },
        { WITHHOLD_DOCUMENT_REFERENCE, "DocumentReference" },
        { WITHHOLD_DOCUMENT_REFERENCE, "ImagingSelection" },
    };
    const char *type = json_text(resource, "resourceType");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (set & types[i].group && strcmp(type, types[i].type) == 0)
            return true;
    return false;
}

cJSON *withhold_apply(unsigned set, cJSON *resource)
{
    const char *type = json_text(resource, "resourceType");
    cJSON *taken = json_object();
    json_set_text(taken, "resourceType", type);
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        const struct element *element = &elements[i];
        if (!(element->groups & set) || strcmp(element->resource, type) != 0)
            continue;
        if (element->level)
            take_below(element, resource);
        else
            take(element, resource, taken);
    }
    return taken;
}
