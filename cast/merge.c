/* SPDX-License-Identifier: MIT */
#include "cast/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/identifier.h"
#include "cast/mapping.h"

/* That of a series which another archive than the ImagingStudy's owner put there: its meta.source.
 */
#define SERIES_SOURCE "urn:hounsfield:source"

/* How an element is kept in step. */
enum rule {
    RULE_OWN,        /* ours: as mapped, removed when not mapped */
    RULE_ADD,        /* only when it is absent */
    RULE_IDENTIFIER, /* array: add those that are missing, by system and value */
    RULE_EXTENSION,  /* array: add those whose url is missing */
    RULE_REFERENCE,  /* array: add those whose reference is missing */
    RULE_CODING,     /* array: add codings (tags, modalities) that are missing */
    RULE_CONCEPT,    /* array: concepts are ours, references to resources are others' (R5) */
    RULE_NOTE,       /* array: notes by our author are ours */
    RULE_META,
    RULE_SERIES,
    RULE_INSTANCE,
    RULE_MORE, /* instances that are missing */
};

struct element_rule {
    const char *name;
    enum rule rule;
};

struct rules {
    const struct element_rule *elements;
    size_t count;
};

#define RULES(table)                                                                               \
    {                                                                                              \
        table, sizeof(table) / sizeof *(table)                                                     \
    }

static const struct element_rule patient_elements[] = {
    { "extension", RULE_EXTENSION }, { "identifier", RULE_IDENTIFIER }, { "name", RULE_ADD },
    { "gender", RULE_ADD },          { "birthDate", RULE_ADD },
};
static const struct element_rule endpoint_elements[] = {
    { "meta", RULE_META },
    { "identifier", RULE_IDENTIFIER },
    { "status", RULE_ADD },
    { "connectionType", RULE_OWN },
    { "name", RULE_ADD },
    { "payloadType", RULE_OWN },
    { "payloadMimeType", RULE_OWN },
    { "payload", RULE_OWN }, /* R5 */
    { "address", RULE_OWN },
};
/* Orders, visits and reasons are others' business: known there, they stay. */
static const struct element_rule imaging_study_elements[] = {
    { "meta", RULE_META },
    { "identifier", RULE_IDENTIFIER },
    { "status", RULE_OWN },
    { "modality", RULE_OWN },
    { "subject", RULE_OWN },
    { "encounter", RULE_ADD },
    { "started", RULE_OWN },
    { "basedOn", RULE_ADD },
    { "referrer", RULE_OWN },
    { "interpreter", RULE_OWN },
    { "endpoint", RULE_REFERENCE },
    { "numberOfSeries", RULE_OWN },
    { "numberOfInstances", RULE_OWN },
    { "procedureCode", RULE_OWN },
    { "procedure", RULE_CONCEPT }, /* R5 */
    { "location", RULE_OWN },
    { "reasonCode", RULE_ADD },
    { "reason", RULE_ADD }, /* R5 */
    { "note", RULE_NOTE },
    { "description", RULE_OWN },
    { "series", RULE_SERIES },
};
static const struct element_rule foreign_imaging_study_elements[] = {
    { "identifier", RULE_IDENTIFIER },
    { "modality", RULE_CODING },
    { "encounter", RULE_ADD },
    { "started", RULE_ADD },
    { "basedOn", RULE_ADD },
    { "referrer", RULE_ADD },
    { "interpreter", RULE_ADD },
    { "endpoint", RULE_REFERENCE },
    { "procedureCode", RULE_ADD },
    { "procedure", RULE_ADD },
    { "location", RULE_ADD },
    { "reasonCode", RULE_ADD },
    { "reason", RULE_ADD },
    { "description", RULE_ADD },
};
static const struct element_rule series_elements[] = {
    { "number", RULE_OWN },      { "modality", RULE_OWN },
    { "description", RULE_OWN }, { "numberOfInstances", RULE_OWN },
    { "bodySite", RULE_OWN },    { "laterality", RULE_OWN },
    { "specimen", RULE_ADD },    { "started", RULE_OWN },
    { "performer", RULE_OWN },   { "instance", RULE_INSTANCE },
};
/* Of a series that others put there. */
static const struct element_rule foreign_series_elements[] = {
    { "number", RULE_ADD },      { "modality", RULE_ADD },
    { "description", RULE_ADD }, { "bodySite", RULE_ADD },
    { "laterality", RULE_ADD },  { "specimen", RULE_ADD },
    { "started", RULE_ADD },     { "performer", RULE_ADD },
    { "instance", RULE_MORE },   { "numberOfInstances", RULE_ADD },
};
static const struct element_rule instance_elements[] = {
    { "sopClass", RULE_OWN },
    { "number", RULE_OWN },
    { "title", RULE_OWN },
};

/* What is told of a device differs among its studies: the first word stays. */
static const struct element_rule device_elements[] = {
    { "meta", RULE_META },        { "identifier", RULE_IDENTIFIER },
    { "udiCarrier", RULE_ADD },   { "status", RULE_ADD },
    { "manufacturer", RULE_ADD }, { "serialNumber", RULE_ADD },
    { "deviceName", RULE_ADD },   { "name", RULE_ADD },
    { "modelNumber", RULE_ADD },  { "version", RULE_ADD },
};
static const struct element_rule observation_elements[] = {
    { "meta", RULE_META },
    { "identifier", RULE_IDENTIFIER },
    { "basedOn", RULE_ADD },
    { "partOf", RULE_OWN },
    { "status", RULE_OWN },
    { "category", RULE_OWN },
    { "code", RULE_OWN },
    { "subject", RULE_OWN },
    { "focus", RULE_OWN },
    { "effectiveDateTime", RULE_OWN },
    { "effectivePeriod", RULE_OWN },
    { "performer", RULE_OWN },
    { "valueQuantity", RULE_OWN },
    { "valueCodeableConcept", RULE_OWN },
    { "dataAbsentReason", RULE_OWN },
    { "interpretation", RULE_OWN },
    { "bodySite", RULE_OWN },
    { "method", RULE_OWN },
    { "device", RULE_OWN },
    { "hasMember", RULE_OWN },
    { "derivedFrom", RULE_OWN },
    { "component", RULE_OWN },
};
static const struct element_rule diagnostic_report_elements[] = {
    { "meta", RULE_META },
    { "identifier", RULE_IDENTIFIER },
    { "basedOn", RULE_ADD },
    { "status", RULE_OWN },
    { "category", RULE_OWN },
    { "code", RULE_OWN },
    { "subject", RULE_OWN },
    { "encounter", RULE_ADD },
    { "effectiveDateTime", RULE_OWN },
    { "issued", RULE_OWN },
    { "performer", RULE_OWN },
    { "resultsInterpreter", RULE_OWN },
    { "result", RULE_OWN },
    { "imagingStudy", RULE_OWN },
    { "study", RULE_OWN }, /* R5 */
    { "conclusion", RULE_OWN },
    { "conclusionCode", RULE_OWN },
    { "presentedForm", RULE_OWN },
};
static const struct element_rule document_reference_elements[] = {
    { "meta", RULE_META },   { "identifier", RULE_IDENTIFIER }, { "status", RULE_OWN },
    { "type", RULE_OWN },    { "subject", RULE_OWN },           { "date", RULE_OWN },
    { "author", RULE_OWN },  { "description", RULE_OWN },       { "content", RULE_OWN },
    { "context", RULE_OWN }, { "extension", RULE_EXTENSION }, /* R5 */
};

static const struct element_rule imaging_selection_elements[] = {
    { "meta", RULE_META },       { "identifier", RULE_IDENTIFIER },
    { "status", RULE_OWN },      { "subject", RULE_OWN },
    { "issued", RULE_OWN },      { "performer", RULE_OWN },
    { "code", RULE_OWN },        { "studyUid", RULE_OWN },
    { "derivedFrom", RULE_OWN }, { "instance", RULE_OWN },
};

static const struct rules patient_rules = RULES(patient_elements);
static const struct rules endpoint_rules = RULES(endpoint_elements);
static const struct rules imaging_study_rules = RULES(imaging_study_elements);
static const struct rules foreign_imaging_study_rules = RULES(foreign_imaging_study_elements);
static const struct rules series_rules = RULES(series_elements);
static const struct rules foreign_series_rules = RULES(foreign_series_elements);
static const struct rules instance_rules = RULES(instance_elements);

static const struct rules device_rules = RULES(device_elements);

/* Of what documents say; ours alone. */
static const struct {
    const char *type;
    struct rules rules;
} document_rules[] = {
    { "Observation", RULES(observation_elements) },
    { "DiagnosticReport", RULES(diagnostic_report_elements) },
    { "DocumentReference", RULES(document_reference_elements) },
    { "ImagingSelection", RULES(imaging_selection_elements) },
};

static bool merge_by(const struct rules *rules, cJSON *held, const cJSON *mapped);

static bool set_copy(cJSON *held, const char *name, const cJSON *value)
{
    json_set_take(held, name, json_copy(value));
    return true;
}

static bool merge_own(cJSON *held, const char *name, const cJSON *value)
{
    const cJSON *present = json_get(held, name);
    if (!value) {
        json_remove(held, name);
        return present != NULL;
    }
    return present && json_equal(present, value) ? false : set_copy(held, name, value);
}

/* A primitive may have no value but an extension that says why, in `_name`: then it is not absent.
 */
static bool merge_add(cJSON *held, const cJSON *mapped, const char *name)
{
    char sibling[64] = "_";
    strncat(sibling, name, sizeof sibling - 2);
    const cJSON *value = json_get(mapped, name);
    if (!value || json_get(held, name) || json_get(held, sibling))
        return false;
    const cJSON *more = json_get(mapped, sibling);
    if (more)
        set_copy(held, sibling, more);
    return set_copy(held, name, value);
}

static bool same_text(const cJSON *a, const cJSON *b, const char *name)
{
    const char *left = json_text(a, name), *right = json_text(b, name);
    return left && right ? strcmp(left, right) == 0 : left == right;
}

static bool same_url(const cJSON *a, const cJSON *b)
{
    return same_text(a, b, "url");
}

static bool same_reference(const cJSON *a, const cJSON *b)
{
    return same_text(a, b, "reference");
}

/* Of a Coding, or of the first one of a CodeableConcept. */
static bool same_coding(const cJSON *a, const cJSON *b)
{
    if (json_get(a, "coding"))
        a = json_first(json_get(a, "coding"));
    if (json_get(b, "coding"))
        b = json_first(json_get(b, "coding"));
    return a && b && same_text(a, b, "system") && same_text(a, b, "code");
}

static bool add_missing(cJSON *held, const char *name, const cJSON *values,
                        bool (*same)(const cJSON *a, const cJSON *b))
{
    bool changed = false;
    const cJSON *value;
    for (value = json_first(values); value; value = value->next) {
        const cJSON *present;
        bool found = false;
        for (present = json_first(json_get(held, name)); present; present = present->next)
            found = found || same(present, value);
        if (!found) {
            json_append_take(json_need_array(held, name), json_copy(value));
            changed = true;
        }
    }
    return changed;
}

static bool merge_concepts(cJSON *held, const char *name, const cJSON *values)
{
    cJSON *merged = json_array();
    const cJSON *each;
    for (each = json_first(values); each; each = each->next)
        json_append_take(merged, json_copy(each));
    for (each = json_first(json_get(held, name)); each; each = each->next)
        if (json_get(each, "reference"))
            json_append_take(merged, json_copy(each));
    bool changed = merge_own(held, name, merged->child ? merged : NULL);
    cJSON_Delete(merged);
    return changed;
}

static bool is_our_note(const cJSON *note)
{
    const char *author = json_text(note, "authorString");
    return author && strcmp(author, MAPPING_AUTHOR) == 0;
}

static bool is_past_note(const cJSON *note, const void *values)
{
    bool wanted = !is_our_note(note);
    for (const cJSON *value = json_first(values); value; value = value->next)
        wanted = wanted || json_equal(note, value);
    return !wanted;
}

static bool merge_notes(cJSON *held, const cJSON *values)
{
    bool changed = json_remove_items(held, "note", is_past_note, values);
    return add_missing(held, "note", values, json_equal) || changed;
}

/* Tags are added and never taken away; the source is the first writer's, who owns the resource. */
static bool merge_meta(cJSON *held, const cJSON *mapped)
{
    const cJSON *value = json_get(mapped, "meta");
    cJSON *meta = json_get(held, "meta");
    if (!value)
        return false;
    if (!cJSON_IsObject(meta))
        return set_copy(held, "meta", value);
    const char *source = json_text(meta, "source");
    bool changed = false;
    if ((!source || *source == '#') && json_get(value, "source")) /* '#': the server's addition */
        changed = merge_own(meta, "source", json_get(value, "source"));
    return add_missing(meta, "tag", json_get(value, "tag"), same_coding) || changed;
}

/* --- lists of things with a uid --- */

struct by_uid {
    const char *uid;
    cJSON *item;
};

static int compare_by_uid(const void *a, const void *b)
{
    return strcmp(((const struct by_uid *)a)->uid, ((const struct by_uid *)b)->uid);
}

static struct by_uid *index_by_uid(const cJSON *array, size_t *count)
{
    struct by_uid *index = mem_alloc_array((size_t)cJSON_GetArraySize(array) + 1, sizeof *index);
    cJSON *item;
    *count = 0;
    for (item = json_first(array); item; item = item->next) {
        const char *uid = json_text(item, "uid");
        if (uid)
            index[(*count)++] = (struct by_uid){ uid, item };
    }
    qsort(index, *count, sizeof *index, compare_by_uid);
    return index;
}

static cJSON *find_by_uid(const struct by_uid *index, size_t count, const char *uid)
{
    struct by_uid key = { uid, NULL };
    const struct by_uid *found = count ? bsearch(&key, index, count, sizeof *index, compare_by_uid)
                                       : NULL;
    return found ? found->item : NULL;
}

/* The list in the mapped order, each item with what others put into it; items that are not mapped
 * go. */
static bool merge_list(cJSON *held, const char *name, const cJSON *values,
                       const struct rules *rules)
{
    cJSON *present = json_get(held, name);
    size_t count;
    struct by_uid *index = index_by_uid(present, &count);
    bool changed = cJSON_GetArraySize(present) != cJSON_GetArraySize(values);
    cJSON *merged = json_array();
    cJSON *expected = json_first(present);
    const cJSON *value;
    for (value = json_first(values); value; value = value->next) {
        const char *uid = json_text(value, "uid");
        cJSON *item = uid ? find_by_uid(index, count, uid) : NULL;
        cJSON *next = expected ? expected->next : NULL;
        if (item != expected || !item)
            changed = true;
        cJSON *copy = json_copy(item ? item : value);
        if (item && merge_by(rules, copy, value))
            changed = true;
        json_append_take(merged, copy);
        expected = next;
    }
    free(index);
    if (!changed) {
        cJSON_Delete(merged);
        return false;
    }
    if (merged->child) {
        json_set_take(held, name, merged);
    } else {
        cJSON_Delete(merged);
        json_remove(held, name);
    }
    return true;
}

/* Of an owner's list none is taken away, and each stays as it is. */
static bool add_instances(cJSON *series, const cJSON *values)
{
    size_t count;
    struct by_uid *index = index_by_uid(json_get(series, "instance"), &count);
    const cJSON *value;
    bool changed = false;
    bool only_counted = !count && json_get(series, "numberOfInstances");
    for (value = json_first(values); value && !only_counted; value = value->next) {
        const char *uid = json_text(value, "uid");
        if (!uid || find_by_uid(index, count, uid))
            continue;
        json_append_take(json_need_array(series, "instance"), json_copy(value));
        changed = true;
    }
    free(index);
    if (changed && count)
        json_set_integer(series, "numberOfInstances",
                         cJSON_GetArraySize(json_get(series, "instance")));
    return changed;
}

static bool merge_element(const struct element_rule *element, cJSON *held, const cJSON *mapped)
{
    const char *name = element->name;
    const cJSON *value = json_get(mapped, name);
    switch (element->rule) {
    case RULE_OWN:
        return merge_own(held, name, value);
    case RULE_ADD:
        return merge_add(held, mapped, name);
    case RULE_IDENTIFIER:
        return add_missing(held, name, value, identifier_equal);
    case RULE_EXTENSION:
        return add_missing(held, name, value, same_url);
    case RULE_REFERENCE:
        return add_missing(held, name, value, same_reference);
    case RULE_CODING:
        return add_missing(held, name, value, same_coding);
    case RULE_CONCEPT:
        return merge_concepts(held, name, value);
    case RULE_NOTE:
        return merge_notes(held, value);
    case RULE_META:
        return merge_meta(held, mapped);
    case RULE_SERIES:
        return merge_list(held, name, value, &series_rules);
    case RULE_INSTANCE:
        return merge_list(held, name, value, &instance_rules);
    case RULE_MORE:
        return add_instances(held, value);
    }
    return false;
}

static bool merge_by(const struct rules *rules, cJSON *held, const cJSON *mapped)
{
    bool changed = false;
    for (size_t i = 0; i < rules->count; i++)
        if (merge_element(&rules->elements[i], held, mapped))
            changed = true;
    return changed;
}

/* --- an ImagingStudy that others made --- */

static void count_again(cJSON *held)
{
    int64_t instances = 0;
    const cJSON *series;
    for (series = json_first(json_get(held, "series")); series; series = series->next) {
        const cJSON *number = json_get(series, "numberOfInstances");
        instances += cJSON_IsRaw(number) ? strtoll(number->valuestring, NULL, 10)
                                         : cJSON_GetArraySize(json_get(series, "instance"));
    }
    json_set_integer(held, "numberOfSeries", cJSON_GetArraySize(json_get(held, "series")));
    json_set_integer(held, "numberOfInstances", instances);
}

/* The archive that put the series beside those of the ImagingStudy's owner; NULL: it is the
 * owner's.
 */
static const char *series_source(const cJSON *series)
{
    const cJSON *each;
    for (each = json_first(json_get(series, "extension")); each; each = each->next) {
        const char *url = json_text(each, "url");
        if (url && strcmp(url, SERIES_SOURCE) == 0)
            return json_text(each, "valueUri");
    }
    return NULL;
}

static bool is_from(const cJSON *series, const char *source)
{
    const char *present = series_source(series);
    return present && source && strcmp(present, source) == 0;
}

static cJSON *mark_copy(const cJSON *series, const char *source)
{
    cJSON *copy = json_copy(series);
    if (source) {
        cJSON *extension = json_object();
        json_set_text(extension, "url", SERIES_SOURCE);
        json_set_text(extension, "valueUri", source);
        json_append_take(json_need_array(copy, "extension"), extension);
    }
    return copy;
}

static bool has_modality(const cJSON *series, const cJSON *modality)
{
    for (; series; series = series->next) {
        const cJSON *present = json_get(series, "modality");
        if (present && same_coding(present, modality))
            return true;
    }
    return false;
}

static bool is_coding(const cJSON *item, const void *coding)
{
    return same_coding(item, coding);
}

/* That of a series that was dropped goes with the last one that has it. */
static void drop_modality(cJSON *held, const cJSON *series)
{
    const cJSON *gone = json_get(series, "modality");
    if (gone && !has_modality(json_first(json_get(held, "series")), gone))
        json_remove_items(held, "modality", is_coding, gone);
}

/* Takes away those that this archive put there and that are not in `index`. */
static bool drop_series(cJSON *held, const char *source, const struct by_uid *index, size_t count)
{
    cJSON *list = json_get(held, "series"), *next;
    bool changed = false;
    for (cJSON *series = json_first(list); series; series = next) {
        const char *uid = json_text(series, "uid");
        next = series->next;
        if (!is_from(series, source) || (uid && find_by_uid(index, count, uid)))
            continue;
        cJSON_DetachItemViaPointer(list, series);
        drop_modality(held, series);
        cJSON_Delete(series);
        changed = true;
    }
    if (list && !list->child)
        json_remove(held, "series");
    return changed;
}

/* Another archive may hold other series of the study: ours come beside them, and are marked, so
 * that their owner leaves them and we find them again. */
static bool merge_foreign_series(cJSON *held, const cJSON *mapped)
{
    const char *source = json_text(json_get(mapped, "meta"), "source");
    size_t count, ours;
    struct by_uid *own = index_by_uid(json_get(mapped, "series"), &ours);
    bool changed = drop_series(held, source, own, ours);
    struct by_uid *index = index_by_uid(json_get(held, "series"), &count);
    const cJSON *series;
    free(own);
    for (series = json_first(json_get(mapped, "series")); series; series = series->next) {
        const char *uid = json_text(series, "uid");
        cJSON *present = uid ? find_by_uid(index, count, uid) : NULL;
        if (present) {
            bool is_ours = is_from(present, source);
            changed = merge_by(is_ours ? &series_rules : &foreign_series_rules, present, series) ||
                      changed;
        } else {
            json_append_take(json_need_array(held, "series"), mark_copy(series, source));
            changed = true;
        }
    }
    free(index);
    if (changed)
        count_again(held);
    return changed;
}

bool merge_detach_series(cJSON *held, const char *source)
{
    bool changed = drop_series(held, source, NULL, 0);
    if (changed)
        count_again(held);
    return changed;
}

/* The series that other archives put beside those that the owner maps. */
static cJSON *others_series(const cJSON *held, const cJSON *mapped)
{
    const char *source = json_text(json_get(mapped, "meta"), "source");
    cJSON *others = json_array();
    size_t count;
    struct by_uid *index = index_by_uid(json_get(mapped, "series"), &count);
    const cJSON *each;
    for (each = json_first(json_get(held, "series")); each; each = each->next) {
        const char *uid = json_text(each, "uid");
        if (series_source(each) && !is_from(each, source) &&
            !(uid && find_by_uid(index, count, uid)))
            json_append_take(others, json_copy(each));
    }
    free(index);
    return others;
}

/* Others' series stay, and are counted. */
static bool merge_own_imaging_study(cJSON *held, const cJSON *mapped)
{
    cJSON *others = others_series(held, mapped);
    cJSON *whole = others->child ? json_copy(mapped) : NULL;
    const cJSON *each;
    for (each = json_first(json_get(held, "modality")); whole && each; each = each->next)
        if (has_modality(others->child, each))
            json_append_new_take(json_need_array(whole, "modality"), json_copy(each));
    while (others->child)
        json_append_take(json_need_array(whole, "series"), cJSON_DetachItemFromArray(others, 0));
    if (whole)
        count_again(whole);
    bool changed = merge_by(&imaging_study_rules, held, whole ? whole : mapped);
    cJSON_Delete(whole);
    cJSON_Delete(others);
    return changed;
}

static bool is_handed_over(const cJSON *extension, const void *context)
{
    const char *url = json_text(extension, "url");
    (void)context;
    return url && strcmp(url, MERGE_HANDED_OVER) == 0;
}

/* Whoever owns it from now on takes the mark away. */
static bool take_over(cJSON *held)
{
    return json_remove_items(held, "extension", is_handed_over, NULL);
}

bool merge_resource(cJSON *held, const cJSON *mapped)
{
    if (json_is_resource(held, "Patient"))
        return merge_by(&patient_rules, held, mapped);
    if (json_is_resource(held, "Endpoint"))
        return mapping_is_ours(held) && merge_by(&endpoint_rules, held, mapped);
    if (json_is_resource(held, "Device"))
        return mapping_is_ours(held) && merge_by(&device_rules, held, mapped);
    bool is_own = mapping_is_of(held, json_text(json_get(mapped, "meta"), "source"));
    for (size_t i = 0; i < sizeof document_rules / sizeof *document_rules; i++)
        if (json_is_resource(held, document_rules[i].type)) {
            bool taken_over = is_own && take_over(held);
            return (is_own && merge_by(&document_rules[i].rules, held, mapped)) || taken_over;
        }
    if (is_own)
        return merge_own_imaging_study(held, mapped);
    bool changed = merge_by(&foreign_imaging_study_rules, held, mapped);
    return merge_foreign_series(held, mapped) || changed;
}

static bool take_back_items(cJSON *list, const cJSON *withheld)
{
    bool changed = false;
    cJSON *next;
    for (cJSON *item = json_first(list); item; item = next) {
        const cJSON *each = json_first(withheld);
        next = item->next;
        while (each && !json_equal(item, each))
            each = each->next;
        if (each) {
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
            changed = true;
        }
    }
    return changed;
}

bool merge_take_back(cJSON *held, const cJSON *withheld, const char *source)
{
    bool changed = false;
    const cJSON *element;
    if (!mapping_is_of(held, source))
        return false;
    cJSON_ArrayForEach(element, withheld)
    {
        cJSON *present = json_get(held, element->string);
        if (!present || strcmp(element->string, "resourceType") == 0)
            continue;
        if (cJSON_IsArray(element))
            changed = take_back_items(present, element) || changed;
        if (cJSON_IsArray(element) ? !present->child : json_equal(present, element)) {
            json_remove(held, element->string);
            changed = true;
        }
    }
    return changed;
}

bool merge_amended_patient(cJSON *held, const cJSON *before, const cJSON *mapped)
{
    const char *source = json_text(json_get(mapped, "meta"), "source");
    if (!merge_take_back(held, before, source))
        return false;
    /* Others' names may be left, beside which ours is to stand. */
    if (json_get(before, "name"))
        add_missing(held, "name", json_get(mapped, "name"), json_equal);
    return true;
}

static bool both_and_different(const cJSON *a, const cJSON *b, const char *name)
{
    return json_text(a, name) && json_text(b, name) && !same_text(a, b, name);
}

bool merge_patient_differs(const cJSON *held, const cJSON *mapped)
{
    return both_and_different(held, mapped, "gender") ||
           both_and_different(held, mapped, "birthDate");
}
