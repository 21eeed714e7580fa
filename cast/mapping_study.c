/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cast/map.h"
#include "cast/tags.h"
#include "cast/text.h"

void map_append_accession(const struct map *map, cJSON *identifiers)
{
    char value[IDENTIFIER_MAX];
    if (!attributes_text(&map->attributes, TAG_ACCESSION_NUMBER, value, sizeof value))
        return;
    struct issuer issuer = issuer_of_sequence(
        &map->attributes, TAG_ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, map->options->prefix);
    json_append_take(identifiers, identifier_new("usual", "ACSN", &issuer, map->options->prefix,
                                                 "accession", value));
    issuer_release(&issuer);
}

static void append_study_id(const struct map *map, cJSON *identifiers)
{
    char value[IDENTIFIER_MAX];
    if (!attributes_text(&map->attributes, TAG_STUDY_ID, value, sizeof value))
        return;
    struct buffer system = buffer_up_to(IDENTIFIER_MAX);
    identifier_own_system(map->options->prefix, "study-id", NULL, &system);
    json_append_take(identifiers, identifier_of_system("secondary", buffer_text(&system), value));
    buffer_release(&system);
}

static cJSON *map_identifiers(const struct map *map)
{
    cJSON *identifiers = json_array();
    json_append_take(identifiers, identifier_of_uid("official", map->study->uid));
    map_append_accession(map, identifiers);
    append_study_id(map, identifiers);
    return identifiers;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The acquiring modalities of the series, each once, in alphabetical order (PS3.16 CID 29). */
static cJSON *map_modalities(const struct map *map)
{
    const struct study *study = map->study;
    char **terms = mem_alloc_array(study->series_count + 1, sizeof *terms);
    size_t count = 0;
    for (size_t i = 0; i < study->series_count; i++) {
        struct attributes attributes = { study->series[i].attributes, study->series[i].header };
        char term[64];
        if (attributes_text(&attributes, TAG_MODALITY, term, sizeof term) &&
            text_clean_code(term) && modality_acquires(term))
            terms[count++] = mem_copy_text(term);
    }
    qsort(terms, count, sizeof *terms, compare_text);
    cJSON *modalities = json_array();
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(terms[i], terms[i - 1]) != 0)
            json_append_take(modalities, coding_of_modality(terms[i], map->options->prefix));
    }
    for (size_t i = 0; i < count; i++)
        free(terms[i]);
    free(terms);
    return modalities;
}

void map_set_encounter(const struct map *map, cJSON *resource)
{
    char value[IDENTIFIER_MAX];
    if (!attributes_text(&map->attributes, TAG_ADMISSION_ID, value, sizeof value))
        return;
    struct issuer issuer = issuer_of_sequence(&map->attributes, TAG_ISSUER_OF_ADMISSION_ID_SEQUENCE,
                                              map->options->prefix);
    cJSON *identifier = identifier_new(NULL, "VN", &issuer, map->options->prefix, "admission",
                                       value);
    json_set_take(resource, "encounter", map_logical_reference_take("Encounter", identifier));
    issuer_release(&issuer);
}

static void set_started(struct map *map, cJSON *imaging_study)
{
    char da[64], tm[64], text[FHIR_TIME_SIZE];
    if (!attributes_text(&map->attributes, TAG_STUDY_DATE, da, sizeof da))
        return;
    bool timed = attributes_text(&map->attributes, TAG_STUDY_TIME, tm, sizeof tm);
    if (fhir_date_time(da, timed ? tm : NULL, map->zone, text))
        json_set_text(imaging_study, "started", text);
    else
        map_note(map, "Study Date (0008,0020) is no date and was left out");
}

static void set_location(const struct map *map, cJSON *imaging_study)
{
    char department[ATTRIBUTE_SIZE], institution[ATTRIBUTE_SIZE];
    bool narrow = attributes_text(&map->attributes, TAG_INSTITUTIONAL_DEPARTMENT_NAME, department,
                                  sizeof department) ||
                  attributes_text(&map->attributes, TAG_PERFORMED_LOCATION, department,
                                  sizeof department);
    bool wide = attributes_text(&map->attributes, TAG_INSTITUTION_NAME, institution,
                                sizeof institution);
    if (!narrow && !wide)
        return;
    char *display = mem_format("%s%s%s", narrow ? department : "", narrow && wide ? ", " : "",
                               wide ? institution : "");
    cJSON *location = json_object();
    json_set_text(location, "display", display);
    json_set_take(imaging_study, "location", location);
    free(display);
}

static void set_referrer(const struct map *map, cJSON *imaging_study)
{
    cJSON *persons = json_array();
    map_persons(map, &map->attributes, TAG_REFERRING_PHYSICIAN_NAME,
                TAG_REFERRING_PHYSICIAN_IDENTIFICATION_SEQUENCE, persons);
    if (persons->child) /* VM 1: a second one is none */
        json_set_take(imaging_study, "referrer", cJSON_DetachItemFromArray(persons, 0));
    cJSON_Delete(persons);
}

static cJSON *map_interpreters(const struct map *map)
{
    cJSON *persons = json_array();
    map_persons(map, &map->attributes, TAG_READING_PHYSICIAN_NAME,
                TAG_READING_PHYSICIAN_IDENTIFICATION_SEQUENCE, persons);
    return persons;
}

/* Counts are those of what is listed, so that they always agree with it. */
static void set_series(struct map *map, cJSON *imaging_study)
{
    cJSON *list = json_array();
    size_t series_count = 0, instance_count = 0;
    for (size_t i = 0; i < map->study->series_count; i++) {
        cJSON *series = map_series(map, &map->study->series[i]);
        if (!series)
            continue;
        instance_count += (size_t)cJSON_GetArraySize(json_get(series, "instance"));
        series_count++;
        json_append_take(list, series);
    }
    json_set_integer(imaging_study, "numberOfSeries", (int64_t)series_count);
    json_set_integer(imaging_study, "numberOfInstances", (int64_t)instance_count);
    json_set_take(imaging_study, "series", list);
}

cJSON *map_imaging_study(struct map *map)
{
    char text[ATTRIBUTE_SIZE];
    cJSON *imaging_study = json_object();
    json_set_text(imaging_study, "resourceType", "ImagingStudy");
    json_set_take(imaging_study, "meta", map_meta(map));
    json_set_take(imaging_study, "identifier", map_identifiers(map));
    json_set_text(imaging_study, "status", "available");
    json_set_take(imaging_study, "modality", map_modalities(map));
    map_set_encounter(map, imaging_study);
    set_started(map, imaging_study);
    json_set_take(imaging_study, "basedOn", json_copy(map->orders));
    set_referrer(map, imaging_study);
    json_set_take(imaging_study, "interpreter", map_interpreters(map));
    json_set_take(imaging_study, "procedureCode", map_procedures(map));
    set_location(map, imaging_study);
    json_set_take(imaging_study, "reasonCode", map_reasons(map));
    if (attributes_text(&map->attributes, TAG_STUDY_DESCRIPTION, text, sizeof text))
        json_set_text(imaging_study, "description", text);
    set_series(map, imaging_study);
    return imaging_study;
}
