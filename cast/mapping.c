/* SPDX-License-Identifier: MIT */
#include "cast/mapping.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cast/human_name.h"
#include "cast/map.h"
#include "cast/tags.h"
#include "cast/text.h"

void map_init(struct map *map, const struct study *study, const struct mapping_options *options)
{
    char offset[64];
    *map = (struct map){
        .study = study,
        .options = options,
        .attributes = { study->attributes, study->header },
        .coding = { options->prefix, study->header },
        .notes = json_array(),
        .room = MAP_MAX_MEMORY,
        .selections = json_array(),
    };
    if ((attributes_text(&map->attributes, TAG_TIMEZONE_OFFSET_FROM_UTC, offset, sizeof offset) &&
         fhir_zone(offset, map->zone_text)) ||
        (options->timezone && fhir_zone(options->timezone, map->zone_text)))
        map->zone = map->zone_text;
}

void map_note(struct map *map, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    cJSON *note = json_object();
    json_set_text(note, "authorString", MAPPING_AUTHOR);
    json_set_text(note, "text", text);
    json_append_new_take(map->notes, note);
}

void map_take_room(struct map *map, const cJSON *made)
{
    size_t size = json_footprint(made);
    map->room -= size < map->room ? size : map->room;
}

cJSON *map_meta(const struct map *map)
{
    cJSON *meta = json_object();
    json_set_text(meta, "source", map->options->source);
    json_append_take(json_need_array(meta, "tag"),
                     coding_new(MAPPING_TAG_SYSTEM, MAPPING_TAG_CODE, NULL));
    return meta;
}

cJSON *map_logical_reference_take(const char *type, cJSON *identifier)
{
    cJSON *reference = json_object();
    json_set_text(reference, "type", type);
    json_set_take(reference, "identifier", identifier);
    return reference;
}

/* Person Identification Macro (PS3.3 10.1): a code with a scheme is an identifier with a system. */
static cJSON *person_identifier(const struct map *map, const struct dataset *code_item)
{
    cJSON *coding = coding_of_item(&map->coding, code_item);
    const char *code = json_text(coding, "code");
    const char *system = json_text(coding, "system");
    cJSON *identifier = code && system ? identifier_of_system(NULL, system, code) : NULL;
    cJSON_Delete(coding);
    return identifier;
}

cJSON *map_person(const struct map *map, const struct dataset *code_item, const char *name)
{
    char display[ATTRIBUTE_SIZE];
    cJSON *reference = json_object();
    cJSON *identifier = code_item ? person_identifier(map, code_item) : NULL;
    bool named = name && human_name_text(name, display, sizeof display);
    if (!identifier && !named) {
        cJSON_Delete(reference);
        return NULL;
    }
    json_set_text(reference, "type", "Practitioner");
    if (identifier)
        json_set_take(reference, "identifier", identifier);
    json_set_text(reference, "display", named ? display : NULL);
    return reference;
}

void map_persons(const struct map *map, const struct attributes *attributes, uint32_t name_tag,
                 uint32_t identification_tag, cJSON *references)
{
    enum { MOST = 50 };
    size_t items = attributes_item_count(attributes, identification_tag);
    for (size_t i = 0; i < MOST; i++) {
        char name[ATTRIBUTE_SIZE];
        bool named = attributes_value(attributes, name_tag, i, name, sizeof name);
        if (!named && i >= items)
            break;
        struct dataset *item = i < items ? attributes_item(attributes, identification_tag, i)
                                         : NULL;
        struct dataset *code = item ? dataset_item(item, TAG_PERSON_IDENTIFICATION_CODE_SEQUENCE, 0)
                                    : NULL;
        cJSON *reference = map_person(map, code, named ? name : NULL);
        if (reference)
            json_append_new_take(references, reference);
        dataset_close(code);
        dataset_close(item);
    }
}

/* Takes away what is withheld as a whole. */
static void withhold_all(unsigned withhold, cJSON *resources)
{
    cJSON *next;
    for (cJSON *each = json_first(resources); each; each = next) {
        next = each->next;
        if (withhold_whole(withhold, each))
            cJSON_Delete(cJSON_DetachItemViaPointer(resources, each));
    }
}

static void withhold_documents(unsigned withhold, struct mapping *mapping)
{
    cJSON *each;
    mapping->withheld_documents = json_array();
    withhold_all(withhold, mapping->devices);
    withhold_all(withhold, mapping->documents);
    withhold_all(withhold, mapping->selections);
    for (each = json_first(mapping->documents); each; each = each->next)
        json_append_take(mapping->withheld_documents, withhold_apply(withhold, each));
    for (each = json_first(mapping->selections); each; each = each->next)
        cJSON_Delete(withhold_apply(withhold, each));
}

void mapping_init(struct mapping *mapping, const struct study *study,
                  const struct mapping_options *options)
{
    struct map map;
    *mapping = (struct mapping){ .patient = NULL };
    map_init(&map, study, options);
    map.orders = map_orders(&map);
    mapping->patient = map_patient(&map);
    mapping->endpoint_count = mapping_endpoints(options, mapping->endpoints);
    mapping->imaging_study = map_imaging_study(&map);
    mapping->devices = map_devices(&map);
    mapping->documents = map_documents(&map);
    mapping->selections = map.selections;
    mapping->note_count = (size_t)cJSON_GetArraySize(map.notes);
    json_set_take(mapping->imaging_study, "note", map.notes);
    cJSON_Delete(map.orders);
    map_former_patients(&map, mapping);
    mapping->withheld_patient = withhold_apply(options->withhold, mapping->patient);
    mapping->withheld_imaging_study = withhold_apply(options->withhold, mapping->imaging_study);
    withhold_documents(options->withhold, mapping);
}

void mapping_release(struct mapping *mapping)
{
    cJSON_Delete(mapping->patient);
    for (size_t i = 0; i < mapping->endpoint_count; i++)
        cJSON_Delete(mapping->endpoints[i]);
    cJSON_Delete(mapping->imaging_study);
    cJSON_Delete(mapping->withheld_patient);
    cJSON_Delete(mapping->withheld_imaging_study);
    cJSON_Delete(mapping->devices);
    cJSON_Delete(mapping->documents);
    cJSON_Delete(mapping->withheld_documents);
    cJSON_Delete(mapping->selections);
    for (size_t i = 0; i < mapping->former_count; i++) {
        cJSON_Delete(mapping->formers[i].patient);
        cJSON_Delete(mapping->formers[i].identifier);
        free(mapping->formers[i].id);
        free(mapping->formers[i].issuer);
    }
    free(mapping->patient_id);
    *mapping = (struct mapping){ .patient = NULL };
}

void mapping_shape(struct mapping *mapping, enum fhir_version version)
{
    while (version == FHIR_R5 && mapping->selections->child) {
        json_append_take(mapping->documents, cJSON_DetachItemFromArray(mapping->selections, 0));
        json_append_take(mapping->withheld_documents, json_object());
    }
    fhir_version_shape(mapping->patient, version);
    for (size_t i = 0; i < mapping->endpoint_count; i++)
        fhir_version_shape(mapping->endpoints[i], version);
    fhir_version_shape(mapping->imaging_study, version);
    fhir_version_shape(mapping->withheld_patient, version);
    fhir_version_shape(mapping->withheld_imaging_study, version);
    for (cJSON *each = json_first(mapping->devices); each; each = each->next)
        fhir_version_shape(each, version);
    for (cJSON *each = json_first(mapping->documents); each; each = each->next)
        fhir_version_shape(each, version);
    for (cJSON *each = json_first(mapping->withheld_documents); each; each = each->next)
        fhir_version_shape(each, version);
}

cJSON *mapping_patient(const struct study *study, const struct mapping_options *options)
{
    struct map map;
    map_init(&map, study, options);
    cJSON *patient = map_patient(&map);
    cJSON_Delete(map.notes);
    cJSON_Delete(map.selections);
    cJSON_Delete(withhold_apply(options->withhold, patient));
    return patient;
}

void mapping_set_references(cJSON *imaging_study, const char *patient, const char *const *endpoints,
                            size_t endpoint_count)
{
    cJSON *subject = json_object();
    json_set_text(subject, "reference", patient);
    json_set_take(imaging_study, "subject", subject);

    cJSON *references = json_array();
    for (size_t i = 0; i < endpoint_count; i++) {
        cJSON *reference = json_object();
        json_set_text(reference, "reference", endpoints[i]);
        json_append_take(references, reference);
    }
    json_set_take(imaging_study, "endpoint", references);
}

void mapping_set_logical_subject(cJSON *imaging_study, const cJSON *patient)
{
    const cJSON *identifier = identifier_of_resource(patient);
    json_set_take(imaging_study, "subject",
                  map_logical_reference_take("Patient", json_copy(identifier)));
}

bool mapping_is_ours(const cJSON *resource)
{
    const cJSON *tag;
    for (tag = json_first(json_get(json_get(resource, "meta"), "tag")); tag; tag = tag->next) {
        const char *system = json_text(tag, "system");
        const char *code = json_text(tag, "code");
        if (system && code && strcmp(system, MAPPING_TAG_SYSTEM) == 0 &&
            strcmp(code, MAPPING_TAG_CODE) == 0)
            return true;
    }
    return false;
}

bool mapping_is_of(const cJSON *resource, const char *source)
{
    const char *said = json_text(json_get(resource, "meta"), "source");
    if (!mapping_is_ours(resource))
        return false;
    /* Servers append the request's id behind a '#'. */
    size_t size = said ? strcspn(said, "#") : 0;
    return !size || !source || (strlen(source) == size && strncmp(said, source, size) == 0);
}
