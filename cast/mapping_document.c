/* SPDX-License-Identifier: MIT */
/* What the documents of a study say: each by its kind. */
#include "cast/links.h"
#include "cast/map.h"
#include "cast/tags.h"

/* SR documents that report nothing about a patient's images: what was done or planned. */
static bool is_no_report(const char *sop_class)
{
    static const char *const classes[] = {
        "1.2.840.10008.5.1.4.1.1.88.40", /* Procedure Log */
        "1.2.840.10008.5.1.4.1.1.88.70", /* Implantation Plan */
        "1.2.840.10008.5.1.4.1.1.88.71", /* Acquisition Context */
        "1.2.840.10008.5.1.4.1.1.88.73", /* Patient Radiation Dose */
        "1.2.840.10008.5.1.4.1.1.88.74", /* Planned Imaging Agent Administration */
        "1.2.840.10008.5.1.4.1.1.88.75", /* Performed Imaging Agent Administration */
        "1.2.840.10008.5.1.4.1.1.88.77", /* Waveform Annotation */
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(sop_class, classes[i]) == 0)
            return true;
    return false;
}

static bool is_dose_report(const struct map_document *document)
{
    static const struct map_name names[] = {
        { "DCM", "113701" }, /* X-Ray Radiation Dose Report, of CT too */
        { "DCM", "113500" }, /* Radiopharmaceutical Radiation Dose Report */
        { NULL, NULL },
    };
    return document->tree.count && map_item_is(document, 0, names);
}

static void document_init(struct map_document *document, struct map *map,
                          const struct study_series *series, const struct study_instance *instance)
{
    char offset[64];
    *document = (struct map_document){
        .map = map,
        .series = series,
        .instance = instance,
        .attributes = { instance->document, NULL },
        .coding = { map->options->prefix, instance->document },
        .zone = map->zone,
        .resources = json_array(),
    };
    if (attributes_text(&document->attributes, TAG_TIMEZONE_OFFSET_FROM_UTC, offset,
                        sizeof offset) &&
        fhir_zone(offset, document->zone_text))
        document->zone = document->zone_text;
}

static void map_by_kind(struct map_document *document)
{
    const char *sop_class = document->instance->sop_class;
    if (is_no_report(sop_class))
        return;
    if (content_is_there(document->instance->document))
        content_tree_init(&document->tree, document->instance->document);
    bool is_key_objects = strcmp(sop_class, "1.2.840.10008.5.1.4.1.1.88.59") == 0;
    if (is_key_objects && document->tree.count)
        map_key_objects(document);
    else if (is_dose_report(document))
        map_dose_report(document);
    else if (document->tree.count || sop_class_is_encapsulated_document(sop_class))
        map_report(document);
}

/* A report that was issued anew has the observations of the one before it (Observation UID). */
static void take_resources(struct map_document *document, struct links *seen, cJSON *resources)
{
    while (document->resources->child) {
        cJSON *resource = cJSON_DetachItemFromArray(document->resources, 0);
        if (links_add(seen, json_text(resource, "resourceType"), identifier_of_resource(resource),
                      "", true))
            json_append_take(resources, resource);
        else
            cJSON_Delete(resource);
    }
}

static void map_document(struct map *map, const struct study_series *series,
                         const struct study_instance *instance, bool verified, struct links *seen,
                         cJSON *resources)
{
    struct map_document document;
    if (!instance->document || !uid_is_safe(slice_text(instance->sop_instance)))
        return;
    document_init(&document, map, series, instance);
    if (map_document_is_verified(&document) == verified)
        map_by_kind(&document);
    if (document.left_out || document.tree.cut)
        map_note(map, "A document has more content than is mapped");
    take_resources(&document, seen, resources);
    cJSON_Delete(document.resources);
    content_tree_release(&document.tree);
}

cJSON *map_documents(struct map *map)
{
    const struct study *study = map->study;
    cJSON *resources = json_array();
    struct links *seen = links_new();
    /* Of two that say one thing the verified one is believed. */
    for (int verified = 1; verified >= 0; verified--)
        for (size_t i = 0; i < study->series_count; i++)
            for (size_t k = 0; k < study->series[i].instance_count; k++)
                map_document(map, &study->series[i], &study->series[i].instances[k], verified, seen,
                             resources);
    if (study->documents_left_out)
        map_note(map, "There are more documents than are mapped");
    links_free(seen);
    return resources;
}
