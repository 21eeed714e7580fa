/* SPDX-License-Identifier: MIT */
/* What documents of every kind need: their own attributes, and items of their content. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cast/map.h"
#include "cast/tags.h"
#include "cast/text.h"

enum { TEXT_MAX = 64 * 1024 };

/* --- resources --- */

cJSON *map_document_identifier(const struct map_document *document)
{
    return identifier_of_uid("official", document->instance->sop_instance);
}

/* Not the study's: by that all that its documents say is found. */
bool map_uid_is_own(const struct map_document *document, const char *uid)
{
    return uid_is_valid(uid) && strcmp(uid, document->map->study->uid) != 0;
}

/* Observation UID (0040,A171), which stays when a report is issued anew; else the item's place. */
cJSON *map_item_identifier(const struct map_document *document, size_t node)
{
    char uid[UID_SIZE], path[CONTENT_PATH_SIZE];
    const struct dataset *item = content_item(&document->tree, node);
    if (node && dataset_uid(item, TAG_OBSERVATION_UID, uid) && map_uid_is_own(document, uid))
        return identifier_of_uid("official", uid);
    if (!node)
        return map_document_identifier(document);
    content_path(&document->tree, node, path);
    char *value = mem_format("%s#%s", document->instance->sop_instance, path);
    cJSON *identifier = identifier_of_system("official", MAPPING_ITEM_SYSTEM, value);
    free(value);
    return identifier;
}

/* The Study Instance UID is an identifier, too: by it all that a study made is found again. */
cJSON *map_document_resource(const struct map_document *document, const char *type,
                             cJSON *identifier)
{
    cJSON *resource = json_object();
    json_set_text(resource, "resourceType", type);
    json_set_take(resource, "meta", map_meta(document->map));
    cJSON *identifiers = json_need_array(resource, "identifier");
    json_append_take(identifiers, identifier);
    json_append_take(identifiers, identifier_of_uid("secondary", document->map->study->uid));
    return resource;
}

bool map_document_has_room(struct map_document *document)
{
    bool has = document->map->room && document->count < MAP_MAX_RESOURCES;
    document->left_out += !has;
    return has;
}

cJSON *map_document_add_take(struct map_document *document, cJSON *resource)
{
    document->count++;
    return map_document_add_whole_take(document, resource);
}

cJSON *map_document_add_whole_take(struct map_document *document, cJSON *resource)
{
    map_take_room(document->map, resource);
    json_append_take(document->resources, resource);
    return map_logical_reference_take(json_text(resource, "resourceType"),
                                      json_copy(identifier_of_resource(resource)));
}

cJSON *map_imaging_study_reference(const struct map_document *document)
{
    return map_logical_reference_take("ImagingStudy",
                                      identifier_of_uid("official", document->map->study->uid));
}

void map_set_subject(const struct map_document *document, cJSON *resource)
{
    json_set_take(resource, "subject",
                  map_logical_reference_take("Patient", map_patient_identity(document->map)));
}

bool map_document_is_verified(const struct map_document *document)
{
    return attributes_say(&document->attributes, TAG_VERIFICATION_FLAG, "VERIFIED") ||
           attributes_say(&document->attributes, TAG_PRELIMINARY_FLAG, "FINAL");
}

bool map_document_is_partial(const struct map_document *document)
{
    return attributes_say(&document->attributes, TAG_COMPLETION_FLAG, "PARTIAL");
}

bool map_document_time(const struct map_document *document, char text[FHIR_TIME_SIZE])
{
    static const struct {
        uint32_t date;
        uint32_t time;
    } pairs[] = { { TAG_CONTENT_DATE, TAG_CONTENT_TIME }, { TAG_SERIES_DATE, TAG_SERIES_TIME } };
    char date[64], time[64];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        bool dated = attributes_text(&document->attributes, pairs[i].date, date, sizeof date);
        bool timed = attributes_text(&document->attributes, pairs[i].time, time, sizeof time);
        if (dated && fhir_date_time(date, timed ? time : NULL, document->zone, text))
            return true;
    }
    return false;
}

void map_set_url(const struct map_document *document, const char *suffix, cJSON *attachment)
{
    const char *base = document->map->options->dicomweb_url;
    size_t size = base ? strlen(base) : 0;
    if (!size)
        return;
    while (size && base[size - 1] == '/')
        size--;
    char *url = mem_format("%.*s/studies/%s/series/%s/instances/%s%s", (int)size, base,
                           document->map->study->uid, document->series->uid,
                           document->instance->sop_instance, suffix);
    json_set_text(attachment, "url", url);
    free(url);
}

/* --- items --- */

/* A code sequence of an item, as a CodeableConcept. */
static cJSON *item_concept(const struct map_document *document, size_t node, uint32_t tag)
{
    struct attributes attributes = { content_item(&document->tree, node), NULL };
    cJSON *coding = coding_of_sequence(&document->coding, &attributes, tag);
    return coding ? concept_of_coding_take(coding) : NULL;
}

cJSON *map_item_concept(const struct map_document *document, size_t node)
{
    return item_concept(document, node, TAG_CONCEPT_NAME_CODE_SEQUENCE);
}

cJSON *map_item_code(const struct map_document *document, size_t node)
{
    if (document->tree.nodes[node].type != CONTENT_CODE)
        return NULL;
    return item_concept(document, node, TAG_CONCEPT_CODE_SEQUENCE);
}

bool map_item_has_text(const struct map_document *document, size_t node)
{
    struct element element;
    return document->tree.nodes[node].type == CONTENT_TEXT &&
           dataset_find(content_item(&document->tree, node), TAG_TEXT_VALUE, &element) &&
           element.size > TEXT_MAX / 2;
}

bool map_item_text(const struct map_document *document, size_t node, struct buffer *text)
{
    struct buffer value = buffer_up_to(TEXT_MAX);
    bool found = document->tree.nodes[node].type == CONTENT_TEXT &&
                 dataset_text(content_item(&document->tree, node), TAG_TEXT_VALUE, &value);
    if (found) {
        /* What stands behind a NUL is said, too. */
        for (size_t i = 0; i < value.size; i++)
            if (!value.data[i])
                value.data[i] = ' ';
        char *clean = mem_copy_text(buffer_text(&value));
        found = text_clean(clean);
        if (found)
            buffer_append_text(text, clean);
        free(clean);
    }
    buffer_release(&value);
    return found;
}

bool map_item_time(const struct map_document *document, size_t node, char text[FHIR_TIME_SIZE])
{
    char value[64];
    const struct dataset *item = content_item(&document->tree, node);
    if (document->tree.nodes[node].type == CONTENT_DATETIME)
        return dataset_clean_text(item, TAG_DATE_TIME, value, sizeof value) &&
               fhir_date_time_of_dt(value, document->zone, text);
    return document->tree.nodes[node].type == CONTENT_DATE &&
           dataset_clean_text(item, TAG_DATE, value, sizeof value) &&
           fhir_date_time(value, NULL, NULL, text);
}

bool map_item_uid(const struct map_document *document, size_t node, char uid[UID_SIZE])
{
    return document->tree.nodes[node].type == CONTENT_UIDREF &&
           dataset_uid(content_item(&document->tree, node), TAG_UID, uid) && uid_is_valid(uid);
}

/* Why there is no number (PS3.16 CID 42); FHIR has its own words for it. */
static cJSON *absent_reason(const struct map_document *document, size_t node)
{
    static const struct {
        const char *code; /* DCM */
        const char *reason;
    } reasons[] = {
        { "114000", "not-a-number" },
        { "114001", "negative-infinity" },
        { "114002", "positive-infinity" },
        { "114003", "not-a-number" },
        { "114006", "error" },
        { "114007", "not-performed" },
        { "114008", "error" },
    };
    struct dataset *item = dataset_item(content_item(&document->tree, node),
                                        TAG_NUMERIC_VALUE_QUALIFIER_CODE_SEQUENCE, 0);
    char code[64] = "";
    const char *reason = "unknown";
    if (item)
        dataset_clean_text(item, TAG_CODE_VALUE, code, sizeof code);
    dataset_close(item);
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(code, reasons[i].code) == 0)
            reason = reasons[i].reason;
    return concept_of_coding_take(
        coding_new("http://terminology.hl7.org/CodeSystem/data-absent-reason", reason, NULL));
}

/* Could it be a code of UCUM (its section 2): printable, without spaces, brackets in pairs? What is
 * none is told as people read it, and no server has to refuse a study for it. */
static bool is_ucum(const char *code)
{
    char open = 0;
    for (; *code; code++) {
        if ((uint8_t)*code <= ' ' || (uint8_t)*code >= 0x7F)
            return false;
        if ((*code == '}' || *code == ']') && *code != open)
            return false;
        if ((*code == '{' || *code == '[') && open)
            return false;
        if (*code == '{' || *code == '[')
            open = *code == '{' ? '}' : ']';
        else if (*code == open)
            open = 0;
    }
    return !open;
}

/* Units are codes of UCUM (PS3.16 CID 82); the old "no units" is its "1". */
static void set_unit(const struct map_document *document, const struct dataset *measured,
                     cJSON *quantity)
{
    struct attributes attributes = { measured, NULL };
    cJSON *coding = coding_of_sequence(&document->coding, &attributes,
                                       TAG_MEASUREMENT_UNITS_CODE_SEQUENCE);
    const char *code = json_text(coding, "code");
    const char *display = json_text(coding, "display");
    const char *system = json_text(coding, "system");
    json_set_text(quantity, "unit", display ? display : code);
    bool none = code && strcmp(code, "no units") == 0;
    bool ucum = system && strcmp(system, "http://unitsofmeasure.org") == 0;
    if (code && system && (none || !ucum || is_ucum(code))) {
        json_set_text(quantity, "system", system);
        json_set_text(quantity, "code", none ? "1" : code);
    }
    cJSON_Delete(coding);
}

void map_item_quantity(const struct map_document *document, size_t node, cJSON *target)
{
    char text[ATTRIBUTE_SIZE];
    struct dataset *measured = dataset_item(content_item(&document->tree, node),
                                            TAG_MEASURED_VALUE_SEQUENCE, 0);
    cJSON *number = NULL;
    if (measured && dataset_clean_text(measured, TAG_NUMERIC_VALUE, text, sizeof text))
        number = json_decimal(text);
    if (number) {
        cJSON *quantity = json_object();
        json_set_take(quantity, "value", number);
        set_unit(document, measured, quantity);
        json_set_take(target, "valueQuantity", quantity);
    } else {
        json_set_take(target, "dataAbsentReason", absent_reason(document, node));
    }
    dataset_close(measured);
}

void map_append_component(struct map_document *document, size_t node, cJSON *observation)
{
    if (!document->map->room) {
        document->left_out++;
        return;
    }
    cJSON *concept = map_item_concept(document, node);
    cJSON *code = map_item_code(document, node);
    if (!concept || (!code && document->tree.nodes[node].type != CONTENT_NUM)) {
        cJSON_Delete(concept);
        cJSON_Delete(code);
        return;
    }
    cJSON *component = json_object();
    json_set_take(component, "code", concept);
    if (code)
        json_set_take(component, "valueCodeableConcept", code);
    else
        map_item_quantity(document, node, component);
    map_take_room(document->map, component);
    json_append_take(json_need_array(observation, "component"), component);
}

/* --- looking around --- */

bool map_item_is(const struct map_document *document, size_t node, const struct map_name *names)
{
    for (; names->scheme; names++)
        if (content_is(&document->tree.nodes[node], names->scheme, names->code))
            return true;
    return false;
}

size_t map_item_child(const struct map_document *document, size_t node,
                      const struct map_name *names)
{
    size_t child = document->tree.nodes[node].child;
    while (child && !map_item_is(document, child, names))
        child = document->tree.nodes[child].next;
    return child;
}

/* To look through the children of all parents for each item would take the square of their number.
 */
size_t *map_items_inherited(const struct map_document *document,
                            const struct map_name *const *kinds, size_t count)
{
    const struct content_node *nodes = document->tree.nodes;
    const size_t total = document->tree.count;
    size_t *inherited = mem_alloc_array(total * count + 1, sizeof *inherited);
    for (size_t node = 1; node < total; node++)
        for (size_t kind = 0; kind < count; kind++) {
            size_t *first = &inherited[nodes[node].parent * count + kind];
            if (!*first && map_item_is(document, node, kinds[kind]))
                *first = node;
        }
    /* Parents stand before their children. */
    for (size_t node = 1; node < total; node++)
        for (size_t kind = 0; kind < count; kind++)
            if (!inherited[node * count + kind])
                inherited[node * count + kind] = inherited[nodes[node].parent * count + kind];
    return inherited;
}

size_t map_item_end(const struct map_document *document, size_t node)
{
    const struct content_node *nodes = document->tree.nodes;
    while (node && !nodes[node].next)
        node = nodes[node].parent;
    return node ? nodes[node].next : document->tree.count;
}
