/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cast/body_part.h"
#include "cast/map.h"
#include "cast/tags.h"
#include "cast/text.h"

/* unsignedInt in FHIR ends at 2^31 - 1; a negative or larger number of DICOM's has no place. */
static void set_number(cJSON *object, const struct attributes *attributes, uint32_t tag)
{
    int64_t number;
    const struct dataset *dataset = attributes_with(attributes, tag);
    if (dataset && dataset_integer(dataset, tag, &number) && number >= 0 && number <= INT32_MAX)
        json_set_integer(object, "number", number);
}

/* series.modality must be there, so it says why when it has no value. */
static cJSON *map_modality(struct map *map, const struct attributes *attributes)
{
    char term[64];
    if (attributes_text(attributes, TAG_MODALITY, term, sizeof term) && text_clean_code(term))
        return coding_of_modality(term, map->options->prefix);
    map_note(map, "Modality (0008,0060) is missing in a series");
    cJSON *extension = json_object();
    json_set_text(extension, "url", "http://hl7.org/fhir/StructureDefinition/data-absent-reason");
    json_set_text(extension, "valueCode", "unknown");
    cJSON *coding = json_object();
    json_append_take(json_need_array(coding, "extension"), extension);
    return coding;
}

/* A data set along a path of sequences, first items: NULL when there is none. Close it. */
static struct dataset *frame_anatomy(const struct dataset *header)
{
    struct dataset *shared = header ? dataset_item(header, TAG_SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0)
                                    : NULL;
    struct dataset *anatomy = shared ? dataset_item(shared, TAG_FRAME_ANATOMY_SEQUENCE, 0) : NULL;
    dataset_close(shared);
    return anatomy;
}

/* Coded anatomy wins over Body Part Examined (PS3.3 10.5). */
static cJSON *map_body_site(const struct map *map, const struct attributes *attributes,
                            const struct dataset *anatomy)
{
    char term[ATTRIBUTE_SIZE];
    cJSON *site = coding_of_sequence(&map->coding, attributes, TAG_ANATOMIC_REGION_SEQUENCE);
    if (!site && anatomy) {
        struct attributes frame = { anatomy, NULL };
        site = coding_of_sequence(&map->coding, &frame, TAG_ANATOMIC_REGION_SEQUENCE);
    }
    if (site || !attributes_text(attributes, TAG_BODY_PART_EXAMINED, term, sizeof term))
        return site;
    const struct body_part *part = body_part_find(term);
    return part ? coding_new(SYSTEM_SCT, part->code, part->meaning) : coding_new(NULL, NULL, term);
}

/* PS3.16 CID 244; unpaired (U) and empty say nothing of a side. */
static cJSON *map_laterality(const struct attributes *attributes, const struct dataset *anatomy)
{
    static const struct {
        const char *term;
        const char *code;
        const char *meaning;
    } sides[] = {
        { "R", "24028007", "Right" },
        { "L", "7771000", "Left" },
        { "B", "51440002", "Bilateral" },
    };
    struct attributes frame = { anatomy, NULL };
    char term[64];
    if (!attributes_text(attributes, TAG_LATERALITY, term, sizeof term) &&
        !attributes_text(attributes, TAG_IMAGE_LATERALITY, term, sizeof term) &&
        !attributes_text(&frame, TAG_FRAME_LATERALITY, term, sizeof term))
        return NULL;
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        if (strcmp(term, sides[i].term) == 0)
            return coding_new(SYSTEM_SCT, sides[i].code, sides[i].meaning);
    return NULL;
}

static void set_series_started(const struct map *map, const struct attributes *attributes,
                               cJSON *series)
{
    static const struct {
        uint32_t date;
        uint32_t time;
    } pairs[] = { { TAG_SERIES_DATE, TAG_SERIES_TIME },
                  { TAG_ACQUISITION_DATE, TAG_ACQUISITION_TIME } };
    char date[64], time[64], offset[64], own_zone[FHIR_TIME_SIZE], text[FHIR_TIME_SIZE];
    const char *zone = map->zone;
    if (attributes_text(attributes, TAG_TIMEZONE_OFFSET_FROM_UTC, offset, sizeof offset) &&
        fhir_zone(offset, own_zone))
        zone = own_zone;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (i == 1 && attributes_text(attributes, TAG_ACQUISITION_DATE_TIME, date, sizeof date) &&
            fhir_date_time_of_dt(date, zone, text)) {
            json_set_text(series, "started", text);
            return;
        }
        bool dated = attributes_text(attributes, pairs[i].date, date, sizeof date);
        bool timed = attributes_text(attributes, pairs[i].time, time, sizeof time);
        if (dated && fhir_date_time(date, timed ? time : NULL, zone, text)) {
            json_set_text(series, "started", text);
            return;
        }
    }
}

static void append_performer_take(cJSON *performers, const char *function, const char *display,
                                  cJSON *actor)
{
    cJSON *performer = json_object();
    cJSON *concept = json_object();
    json_append_take(json_need_array(concept, "coding"),
                     coding_new("http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                                function, display));
    json_set_take(performer, "function", concept);
    json_set_take(performer, "actor", actor);
    json_append_take(performers, performer);
}

static void append_persons(const struct map *map, const struct attributes *attributes,
                           uint32_t name_tag, uint32_t identification_tag, const char *function,
                           const char *display, cJSON *performers)
{
    cJSON *persons = json_array();
    map_persons(map, attributes, name_tag, identification_tag, persons);
    while (persons->child)
        append_performer_take(performers, function, display, cJSON_DetachItemFromArray(persons, 0));
    cJSON_Delete(persons);
}

static cJSON *map_performers(const struct map *map, const struct attributes *attributes)
{
    cJSON *performers = json_array();
    append_persons(map, attributes, TAG_PERFORMING_PHYSICIAN_NAME,
                   TAG_PERFORMING_PHYSICIAN_IDENTIFICATION_SEQUENCE, "PRF", "performer",
                   performers);
    append_persons(map, attributes, TAG_OPERATORS_NAME, TAG_OPERATOR_IDENTIFICATION_SEQUENCE,
                   "SPRF", "secondary performer", performers);
    cJSON *device = map_device_reference(map, attributes);
    if (device)
        append_performer_take(performers, "PRF", "performer", device);
    return performers;
}

static cJSON *map_specimens(const struct map *map, const struct attributes *attributes)
{
    enum { MOST = 50 };
    cJSON *specimens = json_array();
    char value[IDENTIFIER_MAX];
    size_t count = attributes_item_count(attributes, TAG_SPECIMEN_DESCRIPTION_SEQUENCE);
    for (size_t i = 0; i < count && i < MOST; i++) {
        struct dataset *item = attributes_item(attributes, TAG_SPECIMEN_DESCRIPTION_SEQUENCE, i);
        struct attributes specimen = { item, NULL };
        if (item && attributes_text(&specimen, TAG_SPECIMEN_IDENTIFIER, value, sizeof value)) {
            struct issuer issuer = issuer_of_sequence(
                &specimen, TAG_ISSUER_OF_SPECIMEN_IDENTIFIER_SEQUENCE, map->options->prefix);
            cJSON *identifier = identifier_new(NULL, NULL, &issuer, map->options->prefix,
                                               "specimen", value);
            json_append_new_take(specimens, map_logical_reference_take("Specimen", identifier));
            issuer_release(&issuer);
        }
        dataset_close(item);
    }
    return specimens;
}

static bool image_type(const struct attributes *attributes, char *text, size_t size)
{
    const struct dataset *dataset = attributes_with(attributes, TAG_IMAGE_TYPE);
    struct buffer all = buffer_up_to(1024);
    bool found = dataset && dataset_text(dataset, TAG_IMAGE_TYPE, &all);
    if (found)
        snprintf(text, size, "%s", buffer_text(&all));
    buffer_release(&all);
    return found && text_clean(text);
}

/* What the object calls itself; an image has only its Image Type. */
static void set_title(const struct attributes *attributes, cJSON *instance)
{
    char text[ATTRIBUTE_SIZE];
    struct dataset *item = attributes_item(attributes, TAG_CONCEPT_NAME_CODE_SEQUENCE, 0);
    if (dataset_clean_text(item, TAG_CODE_MEANING, text, sizeof text) ||
        attributes_text(attributes, TAG_DOCUMENT_TITLE, text, sizeof text) ||
        attributes_text(attributes, TAG_CONTENT_LABEL, text, sizeof text) ||
        image_type(attributes, text, sizeof text))
        json_set_text(instance, "title", text);
    dataset_close(item);
}

static cJSON *map_instance(const struct study_series *series, size_t index)
{
    const struct study_instance *from = &series->instances[index];
    char code[UID_SIZE + 16];
    /* The series' header is that of its first instance, and of no other. */
    struct attributes attributes = { from->attributes, index == 0 ? series->header : NULL };
    if (!uid_is_safe(slice_text(from->sop_instance)) || !uid_is_safe(slice_text(from->sop_class)))
        return NULL;
    cJSON *instance = json_object();
    json_set_text(instance, "uid", from->sop_instance);
    snprintf(code, sizeof code, "urn:oid:%s", from->sop_class);
    json_set_take(instance, "sopClass", coding_new(SYSTEM_RFC3986, code, NULL));
    set_number(instance, &attributes, TAG_INSTANCE_NUMBER);
    set_title(&attributes, instance);
    return instance;
}

static cJSON *map_instances(struct map *map, const struct study_series *series)
{
    cJSON *instances = json_array();
    for (size_t i = 0; i < series->instance_count; i++) {
        cJSON *instance = map_instance(series, i);
        if (instance)
            json_append_take(instances, instance);
        else
            map_note(map, "An instance whose UIDs are no UIDs was left out");
    }
    return instances;
}

cJSON *map_series(struct map *map, const struct study_series *from)
{
    struct attributes attributes = { from->attributes, from->header };
    char text[ATTRIBUTE_SIZE];
    if (!uid_is_safe(slice_text(from->uid))) {
        map_note(map, "A series whose UID is no UID was left out");
        return NULL;
    }
    struct dataset *anatomy = frame_anatomy(from->header);
    cJSON *instances = map_instances(map, from);
    cJSON *series = json_object();
    json_set_text(series, "uid", from->uid);
    set_number(series, &attributes, TAG_SERIES_NUMBER);
    json_set_take(series, "modality", map_modality(map, &attributes));
    if (attributes_text(&attributes, TAG_SERIES_DESCRIPTION, text, sizeof text) ||
        attributes_text(&attributes, TAG_PROTOCOL_NAME, text, sizeof text))
        json_set_text(series, "description", text);
    json_set_integer(series, "numberOfInstances", cJSON_GetArraySize(instances));
    cJSON *site = map_body_site(map, &attributes, anatomy);
    if (site)
        json_set_take(series, "bodySite", site);
    cJSON *side = map_laterality(&attributes, anatomy);
    if (side)
        json_set_take(series, "laterality", side);
    json_set_take(series, "specimen", map_specimens(map, &attributes));
    set_series_started(map, &attributes, series);
    json_set_take(series, "performer", map_performers(map, &attributes));
    json_set_take(series, "instance", instances);
    dataset_close(anatomy);
    return series;
}
