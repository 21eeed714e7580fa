/* SPDX-License-Identifier: MIT */
/* Radiation dose reports (PS3.16 TID 10001, 10011, 10021): an Observation for the report, with what
 * was accumulated as components, and one for each irradiation event. */
#include "cast/map.h"
#include "cast/tags.h"

#define NAMES(...)                                                                                 \
    (const struct map_name[])                                                                      \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

static const struct map_name accumulated_names[] = {
    { "DCM", "113702" }, /* Accumulated X-Ray Dose Data */
    { "DCM", "113811" }, /* CT Accumulated Dose Data */
    { NULL, NULL },
};
static const struct map_name event_names[] = {
    { "DCM", "113706" }, /* Irradiation Event X-Ray Data */
    { "DCM", "113819" }, /* CT Acquisition */
    { "DCM", "113502" }, /* Radiopharmaceutical Administration */
    { NULL, NULL },
};
static const struct map_name event_uid_names[] = {
    { "DCM", "113769" }, /* Irradiation Event UID */
    { "DCM", "113503" }, /* Radiopharmaceutical Administration Event UID */
    { NULL, NULL },
};
static const struct map_name start_names[] = {
    { "DCM", "111526" }, /* DateTime Started */
    { "DCM", "123003" }, /* Radiopharmaceutical Start DateTime */
    { NULL, NULL },
};
static const struct map_name target_names[] = {
    { "DCM", "123014" }, /* Target Region */
    { NULL, NULL },
};
/* What of an event says how much, and of what kind it was; its geometry stays in the document. */
static const struct map_name component_names[] = {
    { "DCM", "113830" }, /* Mean CTDIvol */
    { "DCM", "113838" }, /* DLP */
    { "DCM", "113835" }, /* CTDIw Phantom Type */
    { "DCM", "113820" }, /* CT Acquisition Type */
    { "DCM", "113824" }, /* Exposure Time */
    { "DCM", "113825" }, /* Scanning Length */
    { "DCM", "113930" }, /* Size Specific Dose Estimation */
    { "DCM", "113733" }, /* KVP */
    { "DCM", "113734" }, /* X-Ray Tube Current */
    { "DCM", "113736" }, /* Exposure */
    { "DCM", "113721" }, /* Irradiation Event Type */
    { "DCM", "113764" }, /* Acquisition Plane */
    { "DCM", "122130" }, /* Dose Area Product */
    { "DCM", "113738" }, /* Dose (RP) */
    { "DCM", "111631" }, /* Average Glandular Dose */
    { "DCM", "111634" }, /* Half Value Layer */
    { "DCM", "113507" }, /* Administered activity */
    { "DCM", "113508" }, /* Pre-Administration Measured Activity */
    { "DCM", "113509" }, /* Post-Administration Measured Activity */
    { NULL, NULL },
};

static cJSON *dose_new(const struct map_document *document, cJSON *identifier, cJSON *code)
{
    cJSON *observation = map_document_resource(document, "Observation", identifier);
    /* What a device counted is final, nobody verifies it. */
    json_set_text(observation, "status",
                  map_document_is_partial(document) ? "preliminary" : "final");
    json_append_take(
        json_need_array(observation, "category"),
        concept_of_coding_take(coding_new(
            "http://terminology.hl7.org/CodeSystem/observation-category", "imaging", "Imaging")));
    json_append_take(json_need_array(observation, "partOf"), map_imaging_study_reference(document));
    json_set_take(observation, "code", code);
    map_set_subject(document, observation);
    cJSON *device = map_device_reference(document->map, &document->attributes);
    if (device)
        json_set_take(observation, "device", device);
    return observation;
}

/* Known to be: in one zone, as precise. */
static bool is_before(const char *from, const char *to)
{
    size_t size = strlen(from), zone = strcspn(from, "T");
    zone += strcspn(from + zone, "Z+-");
    return strlen(to) == size && strcmp(from + zone, to + zone) == 0 && strcmp(from, to) < 0;
}

static void set_effective(const struct map_document *document, size_t start, size_t end,
                          cJSON *observation)
{
    char from[FHIR_TIME_SIZE], to[FHIR_TIME_SIZE];
    bool begins = start && map_item_time(document, start, from);
    bool ends = end && map_item_time(document, end, to);
    if (begins && ends && is_before(from, to)) {
        cJSON *period = json_object();
        json_set_text(period, "start", from);
        json_set_text(period, "end", to);
        json_set_take(observation, "effectivePeriod", period);
    } else if (begins || map_document_time(document, from)) {
        json_set_text(observation, "effectiveDateTime", from);
    }
}

static cJSON *event_identifier(const struct map_document *document, size_t node)
{
    char uid[UID_SIZE];
    size_t item = map_item_child(document, node, event_uid_names);
    if (item && map_item_uid(document, item, uid) && map_uid_is_own(document, uid))
        return identifier_of_uid("official", uid);
    return map_item_identifier(document, node);
}

static bool is_event(const struct map_document *document, size_t node)
{
    return document->tree.nodes[node].type == CONTENT_CONTAINER &&
           map_item_is(document, node, event_names);
}

static cJSON *map_event(struct map_document *document, size_t node)
{
    cJSON *code = map_item_concept(document, node);
    cJSON *event = dose_new(document, event_identifier(document, node), code);
    size_t target = map_item_child(document, node, target_names);
    cJSON *site = target ? map_item_code(document, target) : NULL;
    set_effective(document, map_item_child(document, node, start_names), 0, event);
    if (site)
        json_set_take(event, "bodySite", site);
    size_t end = map_item_end(document, node);
    for (size_t item = node + 1; item < end;) {
        if (is_event(document, item)) { /* what is in another one is that one's */
            item = map_item_end(document, item);
            continue;
        }
        if (map_item_is(document, item, component_names))
            map_append_component(document, item, event);
        item++;
    }
    return event;
}

/* All that was added up, right below. */
static void append_sums(struct map_document *document, size_t node, cJSON *observation)
{
    const struct content_node *nodes = document->tree.nodes;
    for (size_t item = nodes[node].child; item; item = nodes[item].next)
        if (nodes[item].type == CONTENT_NUM || map_item_is(document, item, component_names))
            map_append_component(document, item, observation);
}

/* One tube's sums stand in the report's Observation; of two planes (PS3.16 TID 10002) each has one
 * of its own. */
static void map_sums(struct map_document *document, cJSON *report, cJSON *members)
{
    size_t count = 0, first = 0;
    const size_t total = document->tree.count;
    for (size_t node = 1; node < total; node++)
        if (map_item_is(document, node, accumulated_names) && !count++)
            first = node;
    if (count == 1)
        append_sums(document, first, report);
    for (size_t node = first; count > 1 && node < total; node++) {
        if (!map_item_is(document, node, accumulated_names) || !map_document_has_room(document))
            continue;
        cJSON *plane = dose_new(document, map_item_identifier(document, node),
                                map_item_concept(document, node));
        set_effective(document, 0, 0, plane);
        append_sums(document, node, plane);
        json_append_take(members, map_document_add_take(document, plane));
    }
}

/* LOINC has a code for the document (as the HL7 guide on radiation dose summaries uses it). */
static cJSON *report_code(const struct map_document *document)
{
    cJSON *code = map_item_concept(document, 0);
    if (!code)
        code = json_object();
    cJSON *loinc = coding_new("http://loinc.org", "73569-6",
                              "Radiation exposure and protection information");
    json_append_take(json_need_array(code, "coding"), loinc);
    return code;
}

void map_dose_report(struct map_document *document)
{
    cJSON *report = dose_new(document, map_document_identifier(document), report_code(document));
    cJSON *members = json_array();
    size_t start = map_item_child(document, 0, NAMES({ "DCM", "113809" }));
    size_t end = map_item_child(document, 0, NAMES({ "DCM", "113810" }));
    size_t procedure = map_item_child(document, 0, NAMES({ "DCM", "121058" }));
    json_set_take(report, "basedOn", json_copy(document->map->orders));
    set_effective(document, start, end, report);
    if (procedure)
        map_append_component(document, procedure, report);
    map_sums(document, report, members);
    for (size_t node = 1; node < document->tree.count; node++)
        if (is_event(document, node) && map_document_has_room(document))
            json_append_take(members, map_document_add_take(document, map_event(document, node)));
    json_set_take(report, "hasMember", members);
    cJSON_Delete(map_document_add_whole_take(document, report));
}
