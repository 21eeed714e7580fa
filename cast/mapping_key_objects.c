/* SPDX-License-Identifier: MIT */
/* Key Object Selection (PS3.3 A.35.4) as a DocumentReference: the manifest, and which instances it
 * points out. */
#include <stdio.h>

#include "cast/map.h"
#include "cast/tags.h"

enum { MOST_REFERENCES = 1000 };

/* An instance by its UID; how it is called by its class. */
static cJSON *instance_reference(const struct dataset *item)
{
    char uid[UID_SIZE], class_uid[UID_SIZE] = "";
    struct dataset *reference = dataset_item(item, TAG_REFERENCED_SOP_SEQUENCE, 0);
    cJSON *result = NULL;
    if (reference && dataset_uid(reference, TAG_REFERENCED_SOP_INSTANCE_UID, uid) &&
        uid_is_safe(slice_text(uid))) {
        struct buffer display = buffer_up_to(1024), numbers = buffer_up_to(256);
        dataset_uid(reference, TAG_REFERENCED_SOP_CLASS_UID, class_uid);
        const struct sop_class *class = sop_class_find(slice_text(class_uid));
        dataset_text(reference, TAG_REFERENCED_FRAME_NUMBER, &numbers);
        for (size_t i = 0; i < numbers.size; i++)
            if (numbers.data[i] == '\\')
                numbers.data[i] = ',';
        buffer_append_format(&display, "%s%s%s", class ? class->name : "Instance",
                             numbers.size ? ", frames " : "", buffer_text(&numbers));
        result = json_object();
        json_set_take(result, "identifier", identifier_of_uid(NULL, uid));
        json_set_text(result, "display", buffer_text(&display));
        buffer_release(&numbers);
        buffer_release(&display);
    }
    dataset_close(reference);
    return result;
}

static cJSON *map_related(const struct map_document *document)
{
    const struct content_node *nodes = document->tree.nodes;
    cJSON *related = json_array();
    size_t count = 0;
    json_append_take(related, map_imaging_study_reference(document));
    for (size_t node = 1; node < document->tree.count && count < MOST_REFERENCES; node++) {
        if (nodes[node].type != CONTENT_IMAGE && nodes[node].type != CONTENT_COMPOSITE &&
            nodes[node].type != CONTENT_WAVEFORM)
            continue;
        cJSON *reference = instance_reference(content_item(&document->tree, node));
        if (reference) {
            json_append_take(related, reference);
            count++;
        }
    }
    return related;
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
    cJSON *context = json_object();
    json_set_take(context, "related", map_related(document));
    json_set_take(reference, "context", context);
    cJSON_Delete(map_document_add_take(document, reference));
}
