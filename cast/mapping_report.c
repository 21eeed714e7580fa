/* SPDX-License-Identifier: MIT */
/* Reports: SR documents and encapsulated ones as DiagnosticReport. */
#include <stdio.h>

#include "cast/map.h"
#include "cast/tags.h"
#include "cast/text.h"

/* Headings (PS3.16 CID 7001) and elements (CID 7002) that conclude, and their LOINC codes. */
static const struct map_name conclusion_headings[] = {
    { "DCM", "121072" }, { "DCM", "121076" }, { "LN", "19005-8" },
    { "LN", "55110-1" }, { NULL, NULL },
};
static const struct map_name conclusion_elements[] = {
    { "DCM", "121073" }, { "DCM", "121077" }, { "DCM", "121072" }, { "DCM", "121076" },
    { "LN", "19005-8" }, { "LN", "55110-1" }, { NULL, NULL },
};

/* Nobody verifies what is not structured, unless it says so (PS3.3 C.24.2): unknown. */
static const char *report_status(const struct map_document *document)
{
    char flag[64];
    if (map_document_is_verified(document))
        return "final";
    if (map_document_is_partial(document))
        return "partial";
    bool says = attributes_text(&document->attributes, TAG_VERIFICATION_FLAG, flag, sizeof flag) ||
                attributes_text(&document->attributes, TAG_PRELIMINARY_FLAG, flag, sizeof flag);
    return says || document->tree.count ? "preliminary" : "unknown";
}

/* The title: a code, or a text; a report must have one. */
static cJSON *report_code(const struct map_document *document)
{
    char title[ATTRIBUTE_SIZE];
    cJSON *concepts = json_array();
    concepts_append(concepts, &document->coding, &document->attributes,
                    TAG_CONCEPT_NAME_CODE_SEQUENCE);
    cJSON *code = concepts->child ? cJSON_DetachItemFromArray(concepts, 0) : json_object();
    cJSON_Delete(concepts);
    if (attributes_text(&document->attributes, TAG_DOCUMENT_TITLE, title, sizeof title))
        json_set_text(code, "text", title);
    if (!code->child)
        json_set_text(code, "text", "Imaging report");
    return code;
}

static cJSON *report_category(void)
{
    return concept_of_coding_take(
        coding_new("http://terminology.hl7.org/CodeSystem/v2-0074", "IMG", "Diagnostic Imaging"));
}

/* Who verified it (PS3.3 C.17.2.3), and when at last. */
static void set_verifiers(const struct map_document *document, cJSON *report)
{
    enum { MOST = 50 };
    char name[ATTRIBUTE_SIZE], value[64], time[FHIR_TIME_SIZE], last[FHIR_TIME_SIZE] = "";
    cJSON *persons = json_array();
    size_t count = attributes_item_count(&document->attributes, TAG_VERIFYING_OBSERVER_SEQUENCE);
    for (size_t i = 0; i < count && i < MOST; i++) {
        struct dataset *item = attributes_item(&document->attributes,
                                               TAG_VERIFYING_OBSERVER_SEQUENCE, i);
        struct attributes observer = { item, NULL };
        struct dataset *code = attributes_item(
            &observer, TAG_VERIFYING_OBSERVER_IDENTIFICATION_CODE_SEQUENCE, 0);
        bool named = attributes_value(&observer, TAG_VERIFYING_OBSERVER_NAME, 0, name, sizeof name);
        cJSON *person = map_person(document->map, code, named ? name : NULL);
        if (person)
            json_append_new_take(persons, person);
        if (attributes_text(&observer, TAG_VERIFICATION_DATE_TIME, value, sizeof value) &&
            fhir_date_time_of_dt(value, document->zone, time) && strchr(time, 'T') &&
            strcmp(time, last) > 0)
            memcpy(last, time, sizeof last);
        dataset_close(code);
        dataset_close(item);
    }
    json_set_text(report, "issued", last);
    json_set_take(report, "resultsInterpreter", persons);
}

/* Author Observer Sequence (0040,A078): persons; a device is told of by the equipment. */
static cJSON *map_authors(const struct map_document *document)
{
    enum { MOST = 50 };
    char name[ATTRIBUTE_SIZE];
    cJSON *authors = json_array();
    size_t count = attributes_item_count(&document->attributes, TAG_AUTHOR_OBSERVER_SEQUENCE);
    for (size_t i = 0; i < count && i < MOST; i++) {
        struct dataset *item = attributes_item(&document->attributes, TAG_AUTHOR_OBSERVER_SEQUENCE,
                                               i);
        struct attributes author = { item, NULL };
        struct dataset *code = attributes_item(&author, TAG_PERSON_IDENTIFICATION_CODE_SEQUENCE, 0);
        bool named = attributes_value(&author, TAG_PERSON_NAME, 0, name, sizeof name);
        cJSON *person = map_person(document->map, code, named ? name : NULL);
        if (person)
            json_append_new_take(authors, person);
        dataset_close(code);
        dataset_close(item);
    }
    return authors;
}

static bool concludes(const struct map_document *document, size_t node)
{
    return map_item_is(document, node, conclusion_elements) ||
           map_item_is(document, document->tree.nodes[node].parent, conclusion_headings);
}

static void set_conclusions(struct map_document *document, cJSON *report)
{
    struct buffer all = buffer_up_to(256 * 1024), text = buffer_up_to(64 * 1024);
    cJSON *codes = json_array();
    for (size_t node = 1; node < document->tree.count; node++) {
        if (!concludes(document, node))
            continue;
        buffer_clear(&text);
        bool said = map_item_text(document, node, &text);
        if (said && all.size + text.size < all.limit) {
            if (all.size)
                buffer_append_byte(&all, '\n');
            buffer_append(&all, buffer_slice(&text));
        } else if (said || map_item_has_text(document, node)) {
            document->left_out++; /* it is too long */
        }
        cJSON *code = map_item_code(document, node);
        if (code)
            json_append_new_take(codes, code);
    }
    json_set_text(report, "conclusion", buffer_text(&all));
    json_set_take(report, "conclusionCode", codes);
    buffer_release(&text);
    buffer_release(&all);
}

/* As it is shown to people; what is encapsulated has its own media type. */
static void set_presented_form(const struct map_document *document, cJSON *report)
{
    static const char *const types[] = { "application/pdf", "text/xml" };
    char type[128] = "text/html", title[ATTRIBUTE_SIZE];
    cJSON *attachment = json_object();
    if (!document->tree.count) {
        bool is_pdf = strcmp(document->instance->sop_class, "1.2.840.10008.5.1.4.1.1.104.1") == 0;
        snprintf(type, sizeof type, "%s", types[is_pdf ? 0 : 1]);
    }
    map_set_url(document, "/rendered", attachment);
    if (attachment->child) {
        json_set_text(attachment, "contentType", type);
        if (attributes_text(&document->attributes, TAG_DOCUMENT_TITLE, title, sizeof title))
            json_set_text(attachment, "title", title);
        json_append_take(json_need_array(report, "presentedForm"), attachment);
    } else {
        cJSON_Delete(attachment);
    }
}

void map_report(struct map_document *document)
{
    char time[FHIR_TIME_SIZE];
    cJSON *results = json_array();
    map_measurements(document, results);
    cJSON *report = map_document_resource(document, "DiagnosticReport",
                                          map_document_identifier(document));
    map_append_accession(document->map, json_get(report, "identifier"));
    json_set_take(report, "basedOn", json_copy(document->map->orders));
    json_set_text(report, "status", report_status(document));
    json_append_take(json_need_array(report, "category"), report_category());
    json_set_take(report, "code", report_code(document));
    map_set_subject(document, report);
    map_set_encounter(document->map, report);
    if (map_document_time(document, time))
        json_set_text(report, "effectiveDateTime", time);
    json_set_take(report, "performer", map_authors(document));
    set_verifiers(document, report);
    json_set_take(report, "result", results);
    json_append_take(json_need_array(report, "imagingStudy"),
                     map_imaging_study_reference(document));
    set_conclusions(document, report);
    set_presented_form(document, report);
    cJSON_Delete(map_document_add_whole_take(document, report));
}
