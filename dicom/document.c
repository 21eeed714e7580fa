/* SPDX-License-Identifier: MIT */
#include "dicom/document.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/content.h"
#include "dicom/document_page.h"

enum {
    TAG_VALUE_TYPE = 0x0040A040,
    TAG_CONCEPT_NAME = 0x0040A043,
    TAG_LONG_CODE_VALUE = 0x00080119,
    TAG_CONCEPT_CODE = 0x0040A168,
    TAG_MEASURED_VALUE = 0x0040A300,
    TAG_QUALIFIER_CODE = 0x0040A301,
    TAG_NUMERIC_VALUE = 0x0040A30A,
    TAG_UNITS_CODE = 0x004008EA,
    TAG_TEXT_VALUE = 0x0040A160,
    TAG_REFERENCED_ITEM = 0x0040DB73,
    TAG_GRAPHIC_TYPE = 0x00700023,
    TAG_TEMPORAL_RANGE_TYPE = 0x0040A130,
    TAG_COMPLETION_FLAG = 0x0040A491,
    TAG_VERIFICATION_FLAG = 0x0040A493,
    TAG_VERIFYING_OBSERVERS = 0x0040A073,
    TAG_VERIFYING_OBSERVER_NAME = 0x0040A075,
    TEXT_MAX = 4 << 20,  /* bytes of one value */
    EVIDENCE_MAX = 20000 /* instances that can be links */
};

static const uint32_t evidence_tags[] = { 0x0040A375, 0x0040A385 };

/* Where an instance that the document refers to has its place. */
struct evidence {
    char instance[UID_SIZE];
    char study[UID_SIZE];
    char series[UID_SIZE];
};

struct document {
    struct page page;
    const struct value_source *source;
    const char *service;
    struct buffer evidence; /* by instance, ascending */
    struct buffer text;     /* of one value */
    struct error *err;
};

bool document_is_there(const struct dataset *header)
{
    return content_is_there(header);
}

static int compare_evidence(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_series(struct buffer *evidence, const struct dataset *series, const char *study)
{
    struct evidence one = { 0 };
    struct dataset_items items = dataset_items(series, TAG_REFERENCED_SOP_SEQUENCE);
    struct dataset *item;
    memcpy(one.study, study, UID_SIZE);
    if (!dataset_uid(series, TAG_SERIES_INSTANCE_UID, one.series))
        return;
    while (evidence->size < EVIDENCE_MAX * sizeof(one) && (item = dataset_items_next(&items))) {
        if (dataset_uid(item, TAG_REFERENCED_SOP_INSTANCE_UID, one.instance))
            buffer_append(evidence, slice_of(&one, sizeof(one)));
        dataset_close(item);
    }
}

static void add_study(struct buffer *evidence, const struct dataset *item)
{
    char study[UID_SIZE] = { 0 };
    struct dataset_items all = dataset_items(item, TAG_REFERENCED_SERIES_SEQUENCE);
    struct dataset *series;
    if (!dataset_uid(item, TAG_STUDY_INSTANCE_UID, study))
        return;
    while ((series = dataset_items_next(&all))) {
        add_series(evidence, series, study);
        dataset_close(series);
    }
}

static void read_evidence(const struct dataset *header, struct buffer *evidence)
{
    for (size_t i = 0; i < sizeof(evidence_tags) / sizeof(evidence_tags[0]); i++) {
        struct dataset_items studies = dataset_items(header, evidence_tags[i]);
        struct dataset *study;
        while ((study = dataset_items_next(&studies))) {
            add_study(evidence, study);
            dataset_close(study);
        }
    }
    if (evidence->size)
        qsort(evidence->data, evidence->size / sizeof(struct evidence), sizeof(struct evidence),
              compare_evidence);
}

/* The value as it is; of long ones, that stand outside of the header, too. */
static bool read_text(struct document *document, const struct dataset *item, uint32_t tag,
                      const char **text)
{
    struct element element;
    struct buffer stored = buffer_up_to(TEXT_MAX);
    bool ok = true;
    buffer_clear(&document->text);
    if (dataset_find(item, tag, &element)) {
        if (element.elided) {
            ok = value_read(&element, document->source, TEXT_MAX, &stored, document->err);
            element.elided = false;
            element.value = buffer_slice(&stored);
        }
        if (ok)
            dataset_element_text(item, &element, &document->text);
        ok = ok && buffer_check(&document->text, "a text", document->err);
    }
    *text = buffer_text(&document->text);
    buffer_release(&stored);
    return ok;
}

/* What the code in the first item of a sequence means. "" when there is none. */
static void read_meaning(const struct dataset *item, uint32_t sequence, char *text, size_t size)
{
    struct dataset *code = dataset_item(item, sequence, 0);
    text[0] = '\0';
    if (code && !dataset_string(code, TAG_CODE_MEANING, text, size) &&
        !dataset_string(code, TAG_CODE_VALUE, text, size))
        dataset_string(code, TAG_LONG_CODE_VALUE, text, size);
    dataset_close(code);
}

/* DA and TM with separators between; anything else stays as it is. */
static void format_moment(const char *stored, bool date, char *text, size_t size)
{
    size_t digits = strspn(stored, "0123456789");
    if (date && digits >= 8 && !stored[8])
        snprintf(text, size, "%.4s-%.2s-%.2s", stored, stored + 4, stored + 6);
    else if (!date && digits >= 6)
        snprintf(text, size, "%.2s:%.2s:%.2s", stored, stored + 2, stored + 4);
    else if (!date && digits == 4)
        snprintf(text, size, "%.2s:%.2s", stored, stored + 2);
    else
        snprintf(text, size, "%s", stored);
}

/* "Family^Given^Middle" with a comma after the family and spaces else; its groups (PS3.5 6.2.1)
 * apart. */
static void format_name(char *name)
{
    bool first = true;
    for (; *name; name++) {
        if (*name == '^') {
            *name = first ? ',' : ' ';
            first = false;
        } else if (*name == '=') {
            *name = '/';
            first = true;
        }
    }
}

static void write_string(struct document *document, const struct dataset *item, uint32_t tag)
{
    char text[512];
    char shown[520];
    uint16_t vr = dictionary_vr(tag);
    dataset_string(item, tag, text, sizeof(text));
    if (vr == VR_PN)
        format_name(text);
    if (vr == VR_DA || vr == VR_TM)
        format_moment(text, vr == VR_DA, shown, sizeof(shown));
    else
        snprintf(shown, sizeof(shown), "%s", text);
    page_text(&document->page, shown);
}

static void write_number(struct document *document, const struct dataset *item)
{
    char number[128] = "";
    char unit[256] = "";
    char shown[400];
    struct dataset *value = dataset_item(item, TAG_MEASURED_VALUE, 0);
    if (value) {
        dataset_string(value, TAG_NUMERIC_VALUE, number, sizeof(number));
        read_meaning(value, TAG_UNITS_CODE, unit, sizeof(unit));
    }
    dataset_close(value);
    if (!*number) /* why there is none (PS3.3 C.18.1) */
        read_meaning(item, TAG_QUALIFIER_CODE, number, sizeof(number));
    snprintf(shown, sizeof(shown), "%s%s%s", number, *unit ? " " : "", unit);
    page_text(&document->page, shown);
}

static void write_reference(struct document *document, const struct dataset *item)
{
    char instance[UID_SIZE] = "";
    char class_uid[UID_SIZE] = "";
    char frames[64] = "";
    char text[300];
    struct dataset *reference = dataset_item(item, TAG_REFERENCED_SOP_SEQUENCE, 0);
    if (reference) {
        dataset_uid(reference, TAG_REFERENCED_SOP_INSTANCE_UID, instance);
        dataset_uid(reference, TAG_REFERENCED_SOP_CLASS_UID, class_uid);
        dataset_string(reference, TAG_REFERENCED_FRAME_NUMBER, frames, sizeof(frames));
    }
    dataset_close(reference);
    const struct sop_class *class = sop_class_find(slice_text(class_uid));
    snprintf(text, sizeof(text), "%s %s%s%s", class ? class->name : class_uid, instance,
             *frames ? ", frame " : "", frames);
    const struct evidence *place = document->evidence.size
                                       ? bsearch(instance, document->evidence.data,
                                                 document->evidence.size / sizeof(struct evidence),
                                                 sizeof(struct evidence), compare_evidence)
                                       : NULL;
    if (!place || !uid_is_safe(slice_text(instance))) {
        page_text(&document->page, text);
        return;
    }
    char *url = mem_format("%s/studies/%s/series/%s/instances/%s/rendered", document->service,
                           place->study, place->series, instance);
    page_link(&document->page, url, text);
    free(url);
}

static void write_code(struct document *document, const struct dataset *item)
{
    char text[512];
    read_meaning(item, TAG_CONCEPT_CODE, text, sizeof(text));
    page_text(&document->page, text);
}

static void write_kind(struct document *document, const struct dataset *item, uint32_t tag)
{
    char text[64];
    dataset_string(item, tag, text, sizeof(text));
    page_text(&document->page, text);
}

/* PS3.3 C.17.3.2.1. */
static bool write_value(struct document *document, const struct dataset *item, const char *type)
{
    static const struct {
        const char *type;
        uint32_t tag;
    } strings[] = {
        { "DATE", 0x0040A121 },  { "TIME", 0x0040A122 },   { "DATETIME", 0x0040A120 },
        { "PNAME", 0x0040A123 }, { "UIDREF", 0x0040A124 },
    };
    const char *text;
    if (!strcmp(type, "TEXT")) {
        if (!read_text(document, item, TAG_TEXT_VALUE, &text))
            return false;
        page_text(&document->page, text);
        return true;
    }
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        if (!strcmp(type, strings[i].type)) {
            write_string(document, item, strings[i].tag);
            return true;
        }
    if (!strcmp(type, "CODE"))
        write_code(document, item);
    else if (!strcmp(type, "NUM"))
        write_number(document, item);
    else if (!strcmp(type, "IMAGE") || !strcmp(type, "COMPOSITE") || !strcmp(type, "WAVEFORM"))
        write_reference(document, item);
    else if (!strcmp(type, "TCOORD"))
        write_kind(document, item, TAG_TEMPORAL_RANGE_TYPE);
    else if (!strcmp(type, "SCOORD") || !strcmp(type, "SCOORD3D"))
        write_kind(document, item, TAG_GRAPHIC_TYPE);
    else
        page_text(&document->page, type);
    return true;
}

/* "1\2\3" names an item by its way from the root (PS3.3 C.17.3.2.5). */
static void write_item_reference(struct document *document, const struct dataset *item)
{
    struct buffer way = buffer_up_to(1024);
    struct buffer text = buffer_up_to(1100);
    dataset_text(item, TAG_REFERENCED_ITEM, &way);
    for (size_t i = 0; i < way.size; i++)
        if (way.data[i] == '\\')
            way.data[i] = '.';
    buffer_append_format(&text, "see item %s", buffer_text(&way));
    page_text(&document->page, buffer_text(&text));
    buffer_release(&text);
    buffer_release(&way);
}

static bool write_item(struct document *document, const struct dataset *item)
{
    char type[17];
    char name[512];
    dataset_string(item, TAG_VALUE_TYPE, type, sizeof(type));
    read_meaning(item, TAG_CONCEPT_NAME, name, sizeof(name));
    if (!strcmp(type, "CONTAINER")) {
        if (*name)
            page_heading(&document->page, name);
        return true;
    }
    page_name(&document->page, name);
    if (*type)
        return write_value(document, item, type);
    write_item_reference(document, item);
    return true;
}

/* The items below `header`, each with its own below it. */
static bool write_tree(struct document *document, const struct dataset *header)
{
    struct content_walk walk = content_walk(header);
    size_t depth = 0; /* of lists that are open below the first */
    enum content_event event;
    bool ok = true;
    page_list_begin(&document->page);
    while (ok && (event = content_next(&walk)) != CONTENT_END) {
        if (event == CONTENT_ITEM) {
            page_entry_begin(&document->page);
            ok = write_item(document, walk.item) &&
                 buffer_check(document->page.out, "the page", document->err);
            if (walk.has_items) {
                page_list_begin(&document->page);
                depth = walk.depth;
            }
            continue;
        }
        if (depth == walk.depth) {
            page_list_end(&document->page);
            depth--;
        }
        page_entry_end(&document->page);
    }
    content_walk_end(&walk);
    page_list_end(&document->page);
    return ok;
}

/* Whose it is, and how far one may rely on it. */
static void write_front(struct document *document, const struct dataset *header)
{
    static const struct {
        uint32_t tag;
        const char *name;
    } lines[] = {
        { TAG_PATIENT_NAME, "Patient" },
        { TAG_PATIENT_ID, "Patient ID" },
        { TAG_PATIENT_BIRTH_DATE, "Birth date" },
        { TAG_PATIENT_SEX, "Sex" },
        { TAG_STUDY_DATE, "Study date" },
        { TAG_STUDY_DESCRIPTION, "Study" },
        { TAG_ACCESSION_NUMBER, "Accession number" },
        { TAG_CONTENT_DATE, "Content date" },
        { TAG_CONTENT_TIME, "Content time" },
        { TAG_COMPLETION_FLAG, "Completion" },
        { TAG_VERIFICATION_FLAG, "Verification" },
    };
    struct element element;
    page_list_begin(&document->page);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!dataset_find(header, lines[i].tag, &element) || !element.value.size)
            continue;
        page_entry_begin(&document->page);
        page_name(&document->page, lines[i].name);
        write_string(document, header, lines[i].tag);
        page_entry_end(&document->page);
    }
    struct dataset_items observers = dataset_items(header, TAG_VERIFYING_OBSERVERS);
    struct dataset *observer;
    while ((observer = dataset_items_next(&observers))) {
        page_entry_begin(&document->page);
        page_name(&document->page, "Verified by");
        write_string(document, observer, TAG_VERIFYING_OBSERVER_NAME);
        page_entry_end(&document->page);
        dataset_close(observer);
    }
    page_list_end(&document->page);
}

bool document_write(const struct dataset *header, const struct value_source *source,
                    const char *service, enum document_form form, struct buffer *out,
                    struct error *err)
{
    struct document document = {
        .page = { out, form, 0 },
        .source = source,
        .service = service,
        .evidence = buffer_up_to(EVIDENCE_MAX * sizeof(struct evidence)),
        .text = buffer_up_to(TEXT_MAX * 4), /* a character takes at most four bytes in UTF-8 */
        .err = err,
    };
    char title[512];
    read_meaning(header, TAG_CONCEPT_NAME, title, sizeof(title));
    read_evidence(header, &document.evidence);
    page_begin(&document.page, *title ? title : "Document");
    write_front(&document, header);
    bool ok = write_tree(&document, header);
    page_end(&document.page);
    ok = ok && buffer_check(out, "the page", err);
    buffer_release(&document.text);
    buffer_release(&document.evidence);
    return ok;
}
