/* SPDX-License-Identifier: MIT */
/* What a report measures: each NUM item of a container, and each finding of a Measurement Group
 * (PS3.16 TID 1410, 1411, 1501), is an Observation; a group is one that has them as members. */
#include <stdlib.h>

#include "cast/map.h"
#include "cast/tags.h"
#include "cast/text.h"

static const struct map_name group_names[] = { { "DCM", "125007" }, { NULL, NULL } };
static const struct map_name site_names[] = {
    { "SCT", "363698007" }, { "SRT", "G-C0E3" }, { "SNM3", "G-C0E3" }, { NULL, NULL }
};
static const struct map_name side_names[] = {
    { "SCT", "272741003" }, { "SRT", "G-C171" }, { "SNM3", "G-C171" }, { NULL, NULL }
};
static const struct map_name method_names[] = {
    { "SCT", "370129005" }, { "SRT", "G-C036" }, { "SNM3", "G-C036" }, { NULL, NULL }
};
static const struct map_name derivation_names[] = { { "DCM", "121401" }, { NULL, NULL } };
static const struct map_name normality_names[] = { { "DCM", "121402" }, { NULL, NULL } };
static const struct map_name tracking_names[] = { { "DCM", "112039" }, { NULL, NULL } };
static const struct map_name tracking_uid_names[] = { { "DCM", "112040" }, { NULL, NULL } };
static const struct map_name observer_names[] = { { "DCM", "121008" }, { NULL, NULL } };

/* What an item has of those that it is in. */
enum { OF_SITE, OF_TRACKING, OF_TRACKING_UID, OF_OBSERVER, INHERITED };
static const struct map_name *const inherited_names[INHERITED] = {
    [OF_SITE] = site_names,
    [OF_TRACKING] = tracking_names,
    [OF_TRACKING_UID] = tracking_uid_names,
    [OF_OBSERVER] = observer_names,
};

static size_t inherited(const struct map_document *document, size_t node, int kind)
{
    return document->inherited[node * INHERITED + (size_t)kind];
}

/* Where it was found, with its side. */
static void set_body_site(const struct map_document *document, size_t node, cJSON *observation)
{
    size_t site = inherited(document, node, OF_SITE);
    cJSON *concept = site ? map_item_code(document, site) : NULL;
    if (!concept)
        return;
    size_t side = map_item_child(document, site, side_names);
    cJSON *side_concept = side ? map_item_code(document, side) : NULL;
    const char *place = json_text(concept, "text"), *which = json_text(side_concept, "text");
    if (place && which) {
        struct buffer both = buffer_up_to(2 * ATTRIBUTE_SIZE);
        buffer_append_format(&both, "%s, %s", place, which);
        json_set_text(concept, "text", buffer_text(&both));
        buffer_release(&both);
    }
    cJSON_Delete(side_concept);
    json_set_take(observation, "bodySite", concept);
}

/* What is followed over time has a UID: it is no resource of ours. */
static void set_focus(const struct map_document *document, size_t node, cJSON *observation)
{
    char uid[UID_SIZE];
    struct buffer name = buffer_up_to(ATTRIBUTE_SIZE);
    size_t by_uid = inherited(document, node, OF_TRACKING_UID);
    size_t by_name = inherited(document, node, OF_TRACKING);
    bool named = by_name && map_item_text(document, by_name, &name) && name.size;
    bool known = by_uid && map_item_uid(document, by_uid, uid);
    if (known || named) {
        cJSON *focus = known ? map_logical_reference_take("BodyStructure",
                                                          identifier_of_uid(NULL, uid))
                             : json_object();
        json_set_text(focus, "display", named ? buffer_text(&name) : NULL);
        json_append_take(json_need_array(observation, "focus"), focus);
    }
    buffer_release(&name);
}

/* Observation DateTime (0040,A032) of the item, else the document's time. */
static void set_time(const struct map_document *document, size_t node, cJSON *observation)
{
    char value[64], text[FHIR_TIME_SIZE];
    const struct dataset *item = content_item(&document->tree, node);
    bool own = node && dataset_clean_text(item, TAG_OBSERVATION_DATE_TIME, value, sizeof value) &&
               fhir_date_time_of_dt(value, document->zone, text);
    if (own || map_document_time(document, text))
        json_set_text(observation, "effectiveDateTime", text);
}

static void set_concept(const struct map_document *document, size_t node,
                        const struct map_name *names, const char *element, bool list,
                        cJSON *observation)
{
    size_t child = map_item_child(document, node, names);
    cJSON *concept = child ? map_item_code(document, child) : NULL;
    if (!concept)
        return;
    if (list)
        json_append_take(json_need_array(observation, element), concept);
    else
        json_set_take(observation, element, concept);
}

static void set_performer(const struct map_document *document, size_t node, cJSON *observation)
{
    char name[ATTRIBUTE_SIZE];
    size_t observer = inherited(document, node, OF_OBSERVER);
    struct attributes attributes = { observer ? content_item(&document->tree, observer) : NULL,
                                     NULL };
    if (!attributes_value(&attributes, TAG_PERSON_NAME, 0, name, sizeof name))
        return;
    cJSON *person = map_person(document->map, NULL, name);
    if (person)
        json_append_take(json_need_array(observation, "performer"), person);
}

/* `code`: taken. */
static cJSON *observation_new(const struct map_document *document, size_t node, cJSON *code)
{
    cJSON *observation = map_document_resource(document, "Observation",
                                               map_item_identifier(document, node));
    json_set_text(observation, "status",
                  map_document_is_verified(document) ? "final" : "preliminary");
    json_append_take(
        json_need_array(observation, "category"),
        concept_of_coding_take(coding_new(
            "http://terminology.hl7.org/CodeSystem/observation-category", "imaging", "Imaging")));
    json_set_take(observation, "code", code);
    map_set_subject(document, observation);
    set_focus(document, node, observation);
    set_time(document, node, observation);
    set_performer(document, node, observation);
    set_body_site(document, node, observation);
    json_append_take(json_need_array(observation, "derivedFrom"),
                     map_imaging_study_reference(document));
    cJSON *device = map_device_reference(document->map, &document->attributes);
    if (device)
        json_set_take(observation, "device", device);
    return observation;
}

/* A mean and a maximum have one code: what was derived how is said in the text, and as a component.
 */
static void set_derivation(struct map_document *document, size_t node, cJSON *observation)
{
    size_t derivation = map_item_child(document, node, derivation_names);
    cJSON *how = derivation ? map_item_code(document, derivation) : NULL;
    cJSON *code = json_get(observation, "code");
    const char *what = json_text(code, "text"), *by = json_text(how, "text");
    if (what && by) {
        struct buffer both = buffer_up_to(2 * ATTRIBUTE_SIZE);
        buffer_append_format(&both, "%s (%s)", what, by);
        json_set_text(code, "text", buffer_text(&both));
        buffer_release(&both);
    }
    cJSON_Delete(how);
    if (derivation && !map_item_is(document, node, derivation_names)) /* obs-7 */
        map_append_component(document, derivation, observation);
}

static cJSON *map_value(struct map_document *document, size_t node)
{
    cJSON *code = map_item_concept(document, node);
    cJSON *value = map_item_code(document, node);
    bool number = document->tree.nodes[node].type == CONTENT_NUM;
    if (!code || (!number && !value)) {
        cJSON_Delete(code);
        cJSON_Delete(value);
        return NULL;
    }
    cJSON *observation = observation_new(document, node, code);
    if (number)
        map_item_quantity(document, node, observation);
    else
        json_set_take(observation, "valueCodeableConcept", value);
    set_concept(document, node, normality_names, "interpretation", true, observation);
    set_concept(document, node, method_names, "method", false, observation);
    set_derivation(document, node, observation);
    return observation;
}

/* In a group what is coded was found, but for what says of what or when it is. */
static bool is_finding(const struct map_document *document, size_t node, bool in_group)
{
    static const struct map_name context[] = {
        { "SCT", "363698007" }, { "SRT", "G-C0E3" }, { "SCT", "370129005" }, { "SRT", "G-C036" },
        { "SCT", "272741003" }, { "DCM", "126010" }, { "UMLS", "C2348792" }, { "DCM", "121401" },
        { "DCM", "113815" },    { NULL, NULL },
    };
    const struct content_node *item = &document->tree.nodes[node];
    if (item->type == CONTENT_NUM)
        return item->relation == RELATION_CONTAINS;
    return in_group && item->type == CONTENT_CODE && item->relation == RELATION_CONTAINS &&
           !map_item_is(document, node, context);
}

/* Findings right below `node`. Of those in a group the group tells the orders. */
static void map_values(struct map_document *document, size_t node, const cJSON *orders,
                       cJSON *results)
{
    bool in_group = !orders;
    const struct content_node *nodes = document->tree.nodes;
    for (size_t child = nodes[node].child; child; child = nodes[child].next) {
        if (!is_finding(document, child, in_group) || !map_document_has_room(document))
            continue;
        cJSON *value = map_value(document, child);
        if (value && orders)
            json_set_take(value, "basedOn", json_copy(orders));
        if (value)
            json_append_take(results, map_document_add_take(document, value));
    }
}

static void map_group(struct map_document *document, size_t node, const cJSON *orders,
                      cJSON *results)
{
    cJSON *members = json_array();
    map_values(document, node, NULL, members);
    if (!members->child) {
        cJSON_Delete(members);
        return;
    }
    cJSON *group = observation_new(document, node, map_item_concept(document, node));
    json_set_take(group, "basedOn", json_copy(orders));
    json_set_take(group, "hasMember", members);
    json_append_take(results, map_document_add_whole_take(document, group));
}

void map_measurements(struct map_document *document, cJSON *results)
{
    const cJSON *orders = document->map->orders;
    document->inherited = map_items_inherited(document, inherited_names, INHERITED);
    for (size_t node = 0; node < document->tree.count; node++) {
        if (document->tree.nodes[node].type != CONTENT_CONTAINER)
            continue;
        if (map_item_is(document, node, group_names))
            map_group(document, node, orders, results);
        else
            map_values(document, node, orders, results);
    }
    free(document->inherited);
    document->inherited = NULL;
}
