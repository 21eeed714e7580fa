/* SPDX-License-Identifier: MIT */
/* Key Object Selection (PS3.3 A.35.4) as a DocumentReference: the manifest, and which instances it
 * points out; in R5 as an ImagingSelection, too. */
#include <stdio.h>
#include <string.h>

#include "cast/map.h"
#include "cast/tags.h"

enum { MOST_REFERENCES = 1000, FRAMES_MAX = 64 * 1024 };

/* An instance that is pointed out. */
struct pointed {
    char uid[UID_SIZE];
    char class_uid[UID_SIZE];
    struct buffer frames; /* "2,5"; empty: all of it */
};

static bool pointed_read(const struct dataset *item, struct pointed *pointed)
{
    struct dataset *reference = dataset_item(item, TAG_REFERENCED_SOP_SEQUENCE, 0);
    *pointed = (struct pointed){ .frames = buffer_up_to(FRAMES_MAX) };
    bool found = reference &&
                 dataset_uid(reference, TAG_REFERENCED_SOP_INSTANCE_UID, pointed->uid) &&
                 uid_is_safe(slice_text(pointed->uid));
    if (found) {
        dataset_uid(reference, TAG_REFERENCED_SOP_CLASS_UID, pointed->class_uid);
        dataset_text(reference, TAG_REFERENCED_FRAME_NUMBER, &pointed->frames);
        found = !pointed->frames.overflowed; /* without its frames it would be all of them */
    }
    for (size_t i = 0; i < pointed->frames.size; i++)
        if (pointed->frames.data[i] == '\\')
            pointed->frames.data[i] = ',';
    dataset_close(reference);
    return found;
}

/* An instance by its UID; how it is called by its class. */
static cJSON *instance_reference(struct pointed *pointed)
{
    struct buffer display = buffer_up_to(FRAMES_MAX + 1024);
    const struct sop_class *class = sop_class_find(slice_text(pointed->class_uid));
    cJSON *reference = json_object();
    buffer_append_format(&display, "%s%s%s", class ? class->name : "Instance",
                         pointed->frames.size ? ", frames " : "", buffer_text(&pointed->frames));
    json_set_take(reference, "identifier", identifier_of_uid(NULL, pointed->uid));
    json_set_text(reference, "display", buffer_text(&display));
    buffer_release(&display);
    return reference;
}

/* The same as ImagingSelection.instance. */
static cJSON *selected_instance(struct pointed *pointed)
{
    cJSON *instance = json_object(), *subset = json_array();
    json_set_text(instance, "uid", pointed->uid);
    if (uid_is_safe(slice_text(pointed->class_uid))) {
        char code[UID_SIZE + 16];
        snprintf(code, sizeof code, "urn:oid:%s", pointed->class_uid);
        json_set_take(instance, "sopClass", coding_new(SYSTEM_RFC3986, code, NULL));
    }
    for (const char *at = buffer_text(&pointed->frames); *at;) {
        char number[16];
        size_t size = strcspn(at, ",");
        snprintf(number, sizeof number, "%.*s", (int)size, at);
        if (size && size < sizeof number && strspn(number, "0123456789") == size)
            json_append_take(subset, json_string(number));
        at += size + (at[size] == ',');
    }
    json_set_take(instance, "subset", subset);
    return instance;
}

static void map_pointed(struct map_document *document, cJSON *related, cJSON *instances)
{
    const struct content_node *nodes = document->tree.nodes;
    struct pointed pointed;
    size_t count = 0;
    for (size_t node = 1; node < document->tree.count; node++) {
        if (nodes[node].type != CONTENT_IMAGE && nodes[node].type != CONTENT_COMPOSITE &&
            nodes[node].type != CONTENT_WAVEFORM)
            continue;
        bool found = pointed_read(content_item(&document->tree, node), &pointed);
        if (found && count < MOST_REFERENCES && document->map->room) {
            cJSON *reference = instance_reference(&pointed);
            cJSON *instance = selected_instance(&pointed);
            map_take_room(document->map, reference);
            map_take_room(document->map, instance);
            json_append_take(related, reference);
            json_append_take(instances, instance);
            count++;
        } else {
            document->left_out++;
        }
        buffer_release(&pointed.frames);
    }
}

/* What R5 has for it, of what the DocumentReference says. */
static void add_selection(const struct map_document *document, const cJSON *reference,
                          cJSON *instances)
{
    static const char *const same[] = { "meta", "identifier", "subject" };
    cJSON *selection = json_object();
    const cJSON *author = json_first(json_get(reference, "author"));
    const cJSON *type = json_get(reference, "type");
    json_set_text(selection, "resourceType", "ImagingSelection");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        json_set_take(selection, same[i], json_copy(json_get(reference, same[i])));
    json_set_text(selection, "status", "available");
    json_set_text(selection, "issued", json_text(reference, "date"));
    if (author) {
        cJSON *performer = json_object();
        json_set_take(performer, "actor", json_copy(author));
        json_append_take(json_need_array(selection, "performer"), performer);
    }
    cJSON *code = type ? json_copy(type) : json_object();
    if (!type) /* there must be one */
        json_set_text(code, "text", "Key objects");
    json_set_take(selection, "code", code);
    json_set_text(selection, "studyUid", document->map->study->uid);
    cJSON *sources = json_need_array(selection, "derivedFrom");
    json_append_take(sources, map_imaging_study_reference(document));
    json_append_take(sources,
                     map_logical_reference_take("DocumentReference",
                                                json_copy(identifier_of_resource(reference))));
    json_set_take(selection, "instance", instances);
    json_append_take(document->map->selections, selection);
}

/* Key Object Description (113012, DCM). */
static void set_description(const struct map_document *document, cJSON *reference)
{
    static const struct map_name names[] = { { "DCM", "113012" }, { NULL, NULL } };
    struct buffer text = buffer_up_to(64 * 1024);
    size_t node = map_item_child(document, 0, names);
    if (node && map_item_text(document, node, &text))
        json_set_text(reference, "description", buffer_text(&text));
    buffer_release(&text);
}

static void set_author(const struct map_document *document, cJSON *reference)
{
    static const struct map_name names[] = { { "DCM", "121008" }, { NULL, NULL } };
    char name[ATTRIBUTE_SIZE];
    size_t node = map_item_child(document, 0, names);
    struct attributes attributes = { node ? content_item(&document->tree, node) : NULL, NULL };
    if (!attributes_value(&attributes, TAG_PERSON_NAME, 0, name, sizeof name))
        return;
    cJSON *person = map_person(document->map, NULL, name);
    if (person)
        json_append_take(json_need_array(reference, "author"), person);
}

static cJSON *map_content(const struct map_document *document)
{
    char code[UID_SIZE + 16];
    cJSON *content = json_object(), *attachment = json_object();
    json_set_text(attachment, "contentType", "application/dicom");
    map_set_url(document, "", attachment);
    json_set_take(content, "attachment", attachment);
    snprintf(code, sizeof code, "urn:oid:%s", document->instance->sop_class);
    json_set_take(content, "format",
                  coding_new(SYSTEM_RFC3986, code, "Key Object Selection Document Storage"));
    return content;
}

void map_key_objects(struct map_document *document)
{
    char time[FHIR_TIME_SIZE];
    cJSON *reference = map_document_resource(document, "DocumentReference",
                                             map_document_identifier(document));
    json_set_text(reference, "status", "current");
    cJSON *type = map_item_concept(document, 0);
    if (type)
        json_set_take(reference, "type", type);
    map_set_subject(document, reference);
    if (map_document_time(document, time) && strchr(time, 'T')) /* an instant has a zone */
        json_set_text(reference, "date", time);
    set_author(document, reference);
    set_description(document, reference);
    json_append_take(json_need_array(reference, "content"), map_content(document));
    cJSON *context = json_object(), *instances = json_array();
    cJSON *related = json_need_array(context, "related");
    json_append_take(related, map_imaging_study_reference(document));
    map_pointed(document, related, instances);
    json_set_take(reference, "context", context);
    add_selection(document, reference, instances);
    cJSON_Delete(map_document_add_take(document, reference));
}
