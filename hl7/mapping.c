/* SPDX-License-Identifier: MIT */
#include "hl7/mapping.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/tag.h"
#include "hl7/value.h"

enum {
    MAX_SOURCES = 5,
    MAX_ROWS = HL7_MAX_RULES,
    VALUE_LIMIT = 256 << 10,
    MAX_REPEATED = 32, /* segments or repetitions that become one attribute */
};

enum kind {
    VALUE,     /* as the VR of the attribute */
    PERSON,    /* XPN */
    PROVIDER,  /* XCN */
    READER,    /* NDL: a name in subcomponents */
    CODE,      /* CE, CWE: one item of a code sequence for each repetition */
    CODE_REST, /* its second triplet: components 4 to 6 */
    PLACE,     /* PL, XAD: the components in one text */
    LINES,     /* the field of all such segments of the order, a line each */
    LIST,      /* the field of all such segments, as values */
    SEX,
    PRIORITY,
    PREGNANCY,
    ASSIGNER, /* into the item of an identifier sequence (HL7v2 Hierarchic Designator macro) */
};

enum care {
    LENIENT, /* what does not fit is cut or left out, with a note */
    STRICT,  /* it identifies something: it fits as it is, or the message is refused */
    WHOLE,   /* it is taken if it fits as it is */
};

struct row {
    const char *sources; /* the first one that has a value */
    uint32_t tag;
    enum hl7_level level;
    enum kind kind;
    enum care care;
};

/* IHE RAD TF-2 appendix B, by the segments and fields of HL7 v2.5.1. Patient IDs are
 * hl7/person.c's.
 */
static const struct row table[] = {
    { "PID-5", TAG_PATIENT_NAME, HL7_LEVEL_PATIENT, PERSON, LENIENT },
    { "PID-7", TAG_PATIENT_BIRTH_DATE, HL7_LEVEL_PATIENT, VALUE, LENIENT },
    { "PID-7", 0x00100032, HL7_LEVEL_PATIENT, VALUE, WHOLE },
    { "PID-8", TAG_PATIENT_SEX, HL7_LEVEL_PATIENT, SEX, LENIENT },
    { "PID-11", 0x00101040, HL7_LEVEL_PATIENT, PLACE, LENIENT },
    { "PID-6", 0x00101060, HL7_LEVEL_PATIENT, PERSON, LENIENT },
    { "OBR-13", 0x00102000, HL7_LEVEL_ORDER, VALUE, LENIENT },
    { "AL1-3.2 AL1-3.1", 0x00102110, HL7_LEVEL_PATIENT, LIST, LENIENT },
    { "PID-13.1 PID-14.1", 0x00102154, HL7_LEVEL_PATIENT, VALUE, LENIENT },
    { "PID-22.2 PID-22.1 PID-10.2 PID-10.1", 0x00102160, HL7_LEVEL_PATIENT, VALUE, LENIENT },
    { "PV1-15", 0x001021C0, HL7_LEVEL_VISIT, PREGNANCY, LENIENT },
    { "PV1-19.1 PID-18.1", 0x00380010, HL7_LEVEL_VISIT, VALUE, LENIENT },
    { "PV1-44", 0x00380020, HL7_LEVEL_VISIT, VALUE, LENIENT },
    { "PV1-44", 0x00380021, HL7_LEVEL_VISIT, VALUE, WHOLE },
    { "PV1-15", 0x00380050, HL7_LEVEL_VISIT, VALUE, LENIENT },
    { "PV1-3", 0x00380300, HL7_LEVEL_VISIT, PLACE, LENIENT },
    { "OBR-12.2 OBR-12.1", 0x00380500, HL7_LEVEL_ORDER, VALUE, LENIENT },

    { "IPC-1.1 OBR-18.1", TAG_ACCESSION_NUMBER, HL7_LEVEL_ORDER, VALUE, STRICT },
    { "ORC-3.1 OBR-3.1", TAG_ACCESSION_NUMBER, HL7_LEVEL_ORDER, VALUE, WHOLE },
    { "PV1-8 OBR-16 ORC-12", TAG_REFERRING_PHYSICIAN_NAME, HL7_LEVEL_ORDER, PROVIDER, LENIENT },
    { "ZDS-1.1 IPC-3.1", TAG_STUDY_INSTANCE_UID, HL7_LEVEL_ORDER, VALUE, STRICT },
    { "OBR-16 ORC-12", 0x00321032, HL7_LEVEL_ORDER, PROVIDER, LENIENT },
    { "ORC-17.2 ORC-17.1", 0x00321033, HL7_LEVEL_ORDER, VALUE, LENIENT },
    { "OBR-44.2 OBR-4.2 OBR-44.1 OBR-4.1", 0x00321060, HL7_LEVEL_ORDER, VALUE, LENIENT },
    { "OBR-44 OBR-4", 0x00321064, HL7_LEVEL_ORDER, CODE, LENIENT },
    { "ORC-2.2 OBR-2.2", 0x00400026, HL7_LEVEL_ORDER, ASSIGNER, LENIENT },
    { "ORC-3.2 OBR-3.2", 0x00400027, HL7_LEVEL_ORDER, ASSIGNER, LENIENT },
    { "IPC-2.1 OBR-19", TAG_REQUESTED_PROCEDURE_ID, HL7_LEVEL_ORDER, VALUE, STRICT },
    { "OBR-31.2 OBR-31.1 ORC-16.2 ORC-16.1", 0x00401002, HL7_LEVEL_ORDER, VALUE, LENIENT },
    { "TQ1-9.1 OBR-27.6 ORC-7.6 OBR-5", 0x00401003, HL7_LEVEL_ORDER, PRIORITY, LENIENT },
    { "OBR-30", 0x00401004, HL7_LEVEL_ORDER, VALUE, LENIENT },
    { "OBR-31 ORC-16", 0x0040100A, HL7_LEVEL_ORDER, CODE, LENIENT },
    { "OBR-28", 0x00401010, HL7_LEVEL_ORDER, PROVIDER, LENIENT },
    { "NTE-3", 0x00401400, HL7_LEVEL_ORDER, LINES, LENIENT },
    { "ORC-9", 0x00402004, HL7_LEVEL_ORDER, VALUE, LENIENT },
    { "ORC-9", 0x00402005, HL7_LEVEL_ORDER, VALUE, WHOLE },
    { "ORC-10", 0x00402008, HL7_LEVEL_ORDER, PROVIDER, LENIENT },
    { "ORC-13", 0x00402009, HL7_LEVEL_ORDER, PLACE, LENIENT },
    { "ORC-14.1", 0x00402010, HL7_LEVEL_ORDER, VALUE, LENIENT },
    { "ORC-2.1 OBR-2.1", 0x00402016, HL7_LEVEL_ORDER, VALUE, STRICT },
    { "ORC-3.1 OBR-3.1", 0x00402017, HL7_LEVEL_ORDER, VALUE, STRICT },

    { "IPC-5.1 OBR-24", TAG_MODALITY, HL7_LEVEL_STEP, VALUE, STRICT },
    { "IPC-9", 0x00400001, HL7_LEVEL_STEP, VALUE, STRICT },
    { "TQ1-7 OBR-27.4 ORC-7.4 OBR-36", 0x00400002, HL7_LEVEL_STEP, VALUE, STRICT },
    { "TQ1-7 OBR-27.4 ORC-7.4 OBR-36", 0x00400003, HL7_LEVEL_STEP, VALUE, WHOLE },
    { "OBR-34", 0x00400006, HL7_LEVEL_STEP, READER, LENIENT },
    { "IPC-6.2 OBR-4.5 OBR-4.2 OBR-4.1", 0x00400007, HL7_LEVEL_STEP, VALUE, LENIENT },
    { "IPC-6", 0x00400008, HL7_LEVEL_STEP, CODE, LENIENT },
    { "OBR-4", 0x00400008, HL7_LEVEL_STEP, CODE_REST, LENIENT },
    { "IPC-4.1 OBR-20", TAG_SCHEDULED_PROCEDURE_STEP_ID, HL7_LEVEL_STEP, VALUE, STRICT },
    { "IPC-7.1", 0x00400010, HL7_LEVEL_STEP, VALUE, LENIENT },
    { "IPC-8.2 IPC-8.1", 0x00400011, HL7_LEVEL_STEP, VALUE, LENIENT },
};
enum { TABLE_SIZE = sizeof(table) / sizeof(table[0]), STEP_SEQUENCE = 0x00400100 };

struct hl7_mapping {
    struct row *rules; /* of the site; sources are their own */
    size_t rule_count;
    char **left_out; /* fields that are not looked at */
    size_t left_out_count;
    char *station_ae;
};

/* Rules. */

/* "PID-3", "PID-3.4", "PID-3.4.2". */
struct path {
    char segment[4];
    unsigned field;
    unsigned component;
    unsigned subcomponent;
};

static bool parse_path(const char *text, size_t size, struct path *path)
{
    char copy[32];
    int end = 0;
    memset(path, 0, sizeof(*path));
    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size);
    copy[size] = 0;
    for (int i = 0; i < 3; i++)
        if (!isupper((unsigned char)copy[i]) && !isdigit((unsigned char)copy[i]))
            return false;
    memcpy(path->segment, copy, 3);
    int count = sscanf(copy + 3, "-%3u.%3u.%3u%n", &path->field, &path->component,
                       &path->subcomponent, &end);
    if (count < 3) {
        count = sscanf(copy + 3, "-%3u.%3u%n", &path->field, &path->component, &end);
        path->subcomponent = 0;
    }
    if (count < 2 && !strchr(copy, '.')) {
        count = sscanf(copy + 3, "-%3u%n", &path->field, &end);
        path->component = 0;
    }
    return count > 0 && path->field && !copy[3 + end] && (count < 2 || path->component) &&
           (count < 3 || path->subcomponent);
}

/* By keyword, or as ggggeeee or (gggg,eeee). */
static const struct dictionary_entry *find_attribute(const char *text)
{
    unsigned group;
    unsigned element;
    const struct dictionary_entry *entry = dictionary_find_keyword(text);
    if (entry)
        return entry;
    if (sscanf(text, "(%4x,%4x)", &group, &element) != 2 &&
        (strlen(text) != 8 || sscanf(text, "%4x%4x", &group, &element) != 2))
        return NULL;
    return dictionary_find((uint32_t)group << 16 | element);
}

/* Attributes of the step's own item (PS3.4 K.6.1.2.2). */
static enum hl7_level level_of(uint32_t tag)
{
    uint32_t group = tag >> 16;
    if ((tag >= 0x00400001 && tag <= 0x00400020) || tag == TAG_MODALITY || tag == 0x00321070 ||
        tag == 0x00400400)
        return HL7_LEVEL_STEP;
    return group == 0x0010   ? HL7_LEVEL_PATIENT
           : group == 0x0038 ? HL7_LEVEL_VISIT
                             : HL7_LEVEL_ORDER;
}

static enum kind kind_of(uint16_t vr, const struct path *path)
{
    bool is_person = !strcmp(path->segment, "PID") &&
                     (path->field == 5 || path->field == 6 || path->field == 9);
    if (vr == VR_SQ)
        return CODE;
    if (vr == VR_PN && !path->component)
        return is_person ? PERSON : PROVIDER;
    return VALUE;
}

static bool add_rule(struct hl7_mapping *mapping, const struct hl7_rule *rule, struct error *err)
{
    struct path path;
    if (!parse_path(rule->field, strlen(rule->field), &path))
        return error_set(err, ERROR_INVALID,
                         "hl7.mapping: \"%.40s\" is no field, such as ZDS-1 or OBR-21.2",
                         rule->field);
    if (!*rule->attribute) {
        mapping->left_out[mapping->left_out_count++] = mem_copy_text(rule->field);
        return true;
    }
    const struct dictionary_entry *entry = find_attribute(rule->attribute);
    bool is_usable = entry && (entry->vr == VR_SQ || vr_is_text(entry->vr)) &&
                     entry->tag >> 16 > 2 && entry->tag != TAG_PATIENT_ID &&
                     entry->tag != TAG_ISSUER_OF_PATIENT_ID &&
                     entry->tag != TAG_SPECIFIC_CHARACTER_SET;
    if (!is_usable)
        return error_set(err, ERROR_INVALID,
                         "hl7.mapping: %.20s: \"%.60s\" is no attribute that can be set",
                         rule->field, rule->attribute);
    bool is_key = entry->tag == TAG_STUDY_INSTANCE_UID || entry->tag == TAG_ACCESSION_NUMBER ||
                  entry->tag == TAG_SCHEDULED_PROCEDURE_STEP_ID ||
                  entry->tag == TAG_REQUESTED_PROCEDURE_ID;
    mapping->rules[mapping->rule_count++] = (struct row){
        .sources = mem_copy_text(rule->field),
        .tag = entry->tag,
        .level = level_of(entry->tag),
        .kind = kind_of(entry->vr, &path),
        .care = is_key ? STRICT : LENIENT,
    };
    return true;
}

bool hl7_mapping_new(const struct hl7_options *options, struct hl7_mapping **out, struct error *err)
{
    struct hl7_mapping *mapping = mem_alloc(sizeof(*mapping));
    bool ok = options->rule_count <= HL7_MAX_RULES ||
              error_set(err, ERROR_LIMIT, "hl7.mapping: more than %d rules", HL7_MAX_RULES);
    size_t count = ok ? options->rule_count : 0;
    mapping->rules = mem_alloc_array(count + 1, sizeof(*mapping->rules));
    mapping->left_out = mem_alloc_array(count + 1, sizeof(*mapping->left_out));
    mapping->station_ae = mem_copy_text(options->station_ae);
    for (size_t i = 0; ok && i < count; i++)
        ok = add_rule(mapping, &options->rules[i], err);
    if (!ok) {
        hl7_mapping_free(mapping);
        mapping = NULL;
    }
    *out = mapping;
    return ok;
}

void hl7_mapping_free(struct hl7_mapping *mapping)
{
    if (!mapping)
        return;
    for (size_t i = 0; i < mapping->rule_count; i++)
        free((char *)(uintptr_t)mapping->rules[i].sources);
    for (size_t i = 0; i < mapping->left_out_count; i++)
        free(mapping->left_out[i]);
    free(mapping->rules);
    free(mapping->left_out);
    free(mapping->station_ae);
    free(mapping);
}

/* Segments. */

const struct hl7_segment *hl7_scope_find(const struct hl7_scope *scope, const char *name)
{
    if (scope->ipc && !strcmp(name, "IPC"))
        return scope->ipc;
    if (scope->orc && !strcmp(name, "ORC"))
        return scope->orc;
    for (size_t i = scope->begin; i < scope->end; i++)
        if (hl7_is_segment(&scope->message->segments[i], name))
            return &scope->message->segments[i];
    /* Another order's is not this one's; those of the patient, and those of the site that stand at
     * the end for all, are everybody's. */
    bool is_of_orders = !strcmp(name, "ORC") || !strcmp(name, "OBR") || !strcmp(name, "TQ1") ||
                        !strcmp(name, "IPC") || !strcmp(name, "NTE") || !strcmp(name, "OBX");
    return is_of_orders && scope->end ? NULL : hl7_find(scope->message, name, NULL);
}

void hl7_note(struct hl7_notes *notes, const struct hl7_fault *note)
{
    if (notes->count < sizeof(notes->items) / sizeof(notes->items[0]))
        notes->items[notes->count++] = *note;
}

/* Where a row gets its value. */
struct source {
    struct path path;
    const struct hl7_segment *segment;
    struct slice value; /* of the field when it has no component; else of it */
};

struct work {
    const struct hl7_mapping *mapping;
    const struct hl7_scope *scope;
    struct draft *draft;
    struct hl7_notes *notes;
    struct hl7_fault *fault;
};

static bool is_left_out(const struct hl7_mapping *mapping, const char *source, size_t size)
{
    for (size_t i = 0; i < mapping->left_out_count; i++) {
        size_t field = strlen(mapping->left_out[i]);
        if (field <= size && !strncmp(mapping->left_out[i], source, field) &&
            (field == size || source[field] == '.'))
            return true;
    }
    return false;
}

static struct slice value_at(const struct hl7_message *message, const struct hl7_segment *segment,
                             const struct path *path)
{
    if (!path->component)
        return hl7_field(message, segment, path->field);
    struct slice value = hl7_value(message, segment, path->field, path->component);
    /* A field of one component that says `""` is empty in all of them. */
    struct slice whole = hl7_value(message, segment, path->field, 0);
    if (hl7_is_null(whole))
        return whole;
    return path->subcomponent ? hl7_subcomponent(message, value, path->subcomponent) : value;
}

/* The first source with a value. */
static bool find_source(const struct work *work, const struct row *row, struct source *source)
{
    for (const char *next = row->sources; *next;) {
        size_t size = strcspn(next, " ");
        if (!is_left_out(work->mapping, next, size) && parse_path(next, size, &source->path)) {
            source->segment = hl7_scope_find(work->scope, source->path.segment);
            source->value = source->segment
                                ? value_at(work->scope->message, source->segment, &source->path)
                                : slice_of(NULL, 0);
            if (source->value.size)
                return true;
        }
        next += size + (next[size] == ' ');
    }
    return false;
}

static bool complain(const struct work *work, const struct row *row, const struct source *source,
                     enum hl7_fit fit)
{
    static const char *const what[] = { [HL7_REPLACED] = "has characters that are replaced",
                                        [HL7_CUT] = "is too long and is cut",
                                        [HL7_WRONG] = "is no value of its kind and is left out" };
    static const char *const wrong[] = { [HL7_REPLACED] = "has characters that it cannot have",
                                         [HL7_CUT] = "is too long",
                                         [HL7_WRONG] = "is no value of its kind" };
    const struct dictionary_entry *entry = dictionary_find(row->tag);
    struct hl7_fault fault;
    hl7_fault_set(&fault, HL7_DATA_TYPE, source->path.segment, source->segment->sequence,
                  source->path.field, "%s: %s %s", row->sources, entry ? entry->keyword : "?",
                  row->care == STRICT ? wrong[fit] : what[fit]);
    fault.component = source->path.component;
    if (row->care == STRICT) {
        *work->fault = fault;
        return false;
    }
    hl7_note(work->notes, &fault);
    return true;
}

static struct draft_place place_of(const struct row *row)
{
    return row->level == HL7_LEVEL_STEP ? draft_in(STEP_SEQUENCE, 0, row->tag) : draft_at(row->tag);
}

static bool set_fitted(const struct work *work, const struct row *row, const struct source *source,
                       enum hl7_fit fit, const struct buffer *value)
{
    if (fit != HL7_FITS && row->care == WHOLE)
        return true;
    if (fit != HL7_FITS && !complain(work, row, source, fit))
        return false;
    if (fit != HL7_WRONG)
        draft_set(work->draft, place_of(row), buffer_slice(value));
    return true;
}

/* Kinds. */

static struct slice first(const struct work *work, const struct source *source)
{
    return source->path.component ? source->value
                                  : hl7_repetition(work->scope->message, source->value, 1);
}

static bool set_value(const struct work *work, const struct row *row, const struct source *source)
{
    const struct hl7_message *message = work->scope->message;
    struct buffer text = buffer_up_to(VALUE_LIMIT);
    struct buffer value = buffer_up_to(VALUE_LIMIT);
    struct slice raw = first(work, source);
    /* A field that is meant as one value, and has more: the first of them. */
    if (!source->path.component)
        raw = hl7_component(message, raw, 1);
    hl7_unescape(message, source->path.subcomponent ? raw : hl7_subcomponent(message, raw, 1),
                 &text);
    enum hl7_fit fit = hl7_fit(dictionary_vr(row->tag), buffer_slice(&text), &value);
    bool ok = set_fitted(work, row, source, text.overflowed ? HL7_CUT : fit, &value);
    buffer_release(&text);
    buffer_release(&value);
    return ok;
}

static bool set_name(const struct work *work, const struct row *row, const struct source *source)
{
    struct buffer value = buffer_up_to(VALUE_LIMIT);
    enum hl7_fit fit = hl7_fit_name(work->scope->message, source->value, row->kind == PROVIDER,
                                    &value);
    bool ok = set_fitted(work, row, source, fit, &value);
    buffer_release(&value);
    return ok;
}

/* NDL: the first component is a name in subcomponents, ID first; or an XCN in its place. */
static bool set_reader(const struct work *work, const struct row *row, const struct source *source)
{
    static const unsigned order[] = { 2, 3, 4, 6, 5 };
    const struct hl7_message *message = work->scope->message;
    struct slice name = hl7_component(message, first(work, source), 1);
    struct buffer text = buffer_up_to(VALUE_LIMIT);
    struct buffer value = buffer_up_to(VALUE_LIMIT);
    if (!hl7_subcomponent(message, name, 2).size) {
        buffer_release(&text);
        return set_name(
            work, &(struct row){ row->sources, row->tag, row->level, PROVIDER, LENIENT }, source);
    }
    for (size_t i = 0; i < 5; i++) {
        if (i)
            buffer_append_byte(&text, '^');
        hl7_unescape(message, hl7_subcomponent(message, name, order[i]), &text);
    }
    while (text.size && text.data[text.size - 1] == '^')
        text.size--;
    enum hl7_fit fit = hl7_fit(VR_PN, buffer_slice(&text), &value);
    bool ok = set_fitted(work, row, source, fit, &value);
    buffer_release(&text);
    buffer_release(&value);
    return ok;
}

/* One component as a value of a code item. */
static void set_code_part(const struct work *work, struct draft_place place, struct slice raw,
                          struct slice otherwise)
{
    struct buffer text = buffer_up_to(VALUE_LIMIT);
    struct buffer value = buffer_up_to(VALUE_LIMIT);
    uint32_t tag = place.tags[place.depth - 1];
    hl7_unescape(work->scope->message, raw, &text);
    if (!text.size)
        hl7_unescape(work->scope->message, otherwise, &text);
    /* A code of more than 16 characters has an attribute of its own (PS3.3 8.8). */
    if (tag == 0x00080100 && text.size > 16)
        place.tags[place.depth - 1] = tag = 0x00080119;
    if (hl7_fit(dictionary_vr(tag), buffer_slice(&text), &value) != HL7_WRONG)
        draft_set(work->draft, place, buffer_slice(&value));
    buffer_release(&text);
    buffer_release(&value);
}

static bool set_codes(const struct work *work, const struct row *row, const struct source *source)
{
    const struct hl7_message *message = work->scope->message;
    unsigned from = row->kind == CODE_REST ? 4 : 1;
    unsigned item = 0;
    struct slice rest = source->value;
    struct slice code;
    while (item < MAX_REPEATED && hl7_next_repetition(message, &rest, &code)) {
        struct slice value = hl7_component(message, code, from);
        struct slice meaning = hl7_component(message, code, from + 1);
        if (!value.size && row->kind == CODE_REST)
            continue;
        if (!value.size)
            value = meaning; /* a text without a code */
        if (!value.size || hl7_is_null(value))
            continue;
        set_code_part(work, draft_under(place_of(row), item, 0x00080100), value, slice_of(NULL, 0));
        /* L is what HL7 calls a code of one's own (table 0396); there is no code without a scheme.
         */
        set_code_part(work, draft_under(place_of(row), item, 0x00080102),
                      hl7_component(message, code, from + 2), slice_text("L"));
        set_code_part(work, draft_under(place_of(row), item, 0x00080104), meaning, value);
        item++;
    }
    if (!item && row->kind == CODE)
        draft_set(work->draft, place_of(row), slice_of(NULL, 0));
    return true;
}

/* Components in one text, subcomponents too. */
static bool set_place(const struct work *work, const struct row *row, const struct source *source)
{
    const struct hl7_message *message = work->scope->message;
    struct buffer text = buffer_up_to(VALUE_LIMIT);
    struct buffer value = buffer_up_to(VALUE_LIMIT);
    struct slice whole = first(work, source);
    for (unsigned i = 1; i <= 6; i++) {
        struct slice part = hl7_subcomponent(message, hl7_component(message, whole, i), 1);
        if (!part.size || hl7_is_null(part))
            continue;
        if (text.size)
            buffer_append_text(&text, ", ");
        hl7_unescape(message, part, &text);
    }
    enum hl7_fit fit = hl7_fit(dictionary_vr(row->tag), buffer_slice(&text), &value);
    bool ok = set_fitted(work, row, source, fit, &value);
    buffer_release(&text);
    buffer_release(&value);
    return ok;
}

/* Of all segments of the name: of the order, or of all when it has none of its own. */
static bool set_many(const struct work *work, const struct row *row, const struct source *source)
{
    const struct hl7_message *message = work->scope->message;
    bool is_list = row->kind == LIST;
    struct buffer text = buffer_up_to(VALUE_LIMIT);
    struct buffer one = buffer_up_to(VALUE_LIMIT);
    struct buffer value = buffer_up_to(VALUE_LIMIT);
    enum hl7_fit fit = HL7_FITS;
    size_t begin = (size_t)(source->segment - message->segments);
    size_t end = begin < work->scope->end ? work->scope->end : message->count;
    for (size_t i = begin, count = 0; i < end && count < MAX_REPEATED; i++) {
        const struct hl7_segment *segment = &message->segments[i];
        if (!hl7_is_segment(segment, source->path.segment))
            continue;
        struct slice raw = value_at(message, segment, &source->path);
        count++;
        buffer_clear(&one);
        hl7_unescape(message, raw, &one);
        if (!one.size)
            continue;
        if (!is_list) {
            if (text.size)
                buffer_append_byte(&text, '\n');
            buffer_append(&text, buffer_slice(&one));
            continue;
        }
        if (value.size)
            buffer_append_byte(&value, '\\');
        enum hl7_fit its = hl7_fit(dictionary_vr(row->tag), buffer_slice(&one), &value);
        fit = its > fit ? its : fit;
    }
    if (!is_list)
        fit = hl7_fit(dictionary_vr(row->tag), buffer_slice(&text), &value);
    bool ok = set_fitted(work, row, source, fit, &value);
    buffer_release(&text);
    buffer_release(&one);
    buffer_release(&value);
    return ok;
}

/* Tables of HL7 whose values are others in DICOM. */
static const struct translation {
    enum kind kind;
    const char *hl7;
    const char *dicom;
} translations[] = {
    { SEX, "M", "M" }, /* table 0001 */
    { SEX, "F", "F" },
    { SEX, "O", "O" },
    { SEX, "A", "O" },
    { SEX, "N", "O" },
    { SEX, "U", "" },
    { PRIORITY, "S", "STAT" }, /* tables 0027 and 0485 */
    { PRIORITY, "A", "HIGH" },
    { PRIORITY, "P", "HIGH" },
    { PRIORITY, "T", "HIGH" },
    { PRIORITY, "C", "MEDIUM" },
    { PRIORITY, "R", "ROUTINE" },
    { PREGNANCY, "B6", "3" }, /* table 0009; PS3.3 C.2.4 */
};

static bool set_translated(const struct work *work, const struct row *row,
                           const struct source *source)
{
    const struct hl7_message *message = work->scope->message;
    struct slice value = first(work, source);
    if (!source->path.component)
        value = hl7_component(message, value, 1);
    for (size_t i = 0; i < sizeof(translations) / sizeof(translations[0]); i++)
        if (translations[i].kind == row->kind && slice_equals_text(value, translations[i].hl7)) {
            draft_set_text(work->draft, place_of(row), translations[i].dicom);
            return true;
        }
    return row->kind == PREGNANCY || complain(work, row, source, HL7_WRONG);
}

static bool set_assigner(const struct work *work, const struct row *row,
                         const struct source *source)
{
    struct buffer text = buffer_up_to(VALUE_LIMIT);
    struct buffer value = buffer_up_to(VALUE_LIMIT);
    hl7_unescape(work->scope->message, first(work, source), &text);
    if (hl7_fit(VR_UT, buffer_slice(&text), &value) != HL7_WRONG && value.size)
        draft_set(work->draft, draft_under(place_of(row), 0, 0x00400031), buffer_slice(&value));
    buffer_release(&text);
    buffer_release(&value);
    return true;
}

static bool apply_row(const struct work *work, const struct row *row)
{
    struct source source;
    if (!find_source(work, row, &source))
        return true;
    if (hl7_is_null(first(work, &source))) {
        draft_set(work->draft, place_of(row), slice_of(NULL, 0));
        return true;
    }
    switch (row->kind) {
    case VALUE:
        return set_value(work, row, &source);
    case PERSON:
    case PROVIDER:
        return set_name(work, row, &source);
    case READER:
        return set_reader(work, row, &source);
    case CODE:
    case CODE_REST:
        return set_codes(work, row, &source);
    case PLACE:
        return set_place(work, row, &source);
    case LINES:
    case LIST:
        return set_many(work, row, &source);
    case SEX:
    case PRIORITY:
    case PREGNANCY:
        return set_translated(work, row, &source);
    case ASSIGNER:
        return set_assigner(work, row, &source);
    }
    return true;
}

/* Has a rule or an earlier row given the attribute? Items of a sequence count. */
static bool is_given(const struct draft *draft, const struct row *row)
{
    return draft_has(draft, place_of(row)) ||
           (dictionary_vr(row->tag) == VR_SQ &&
            (draft_has(draft, draft_under(place_of(row), 0, 0x00080100)) ||
             draft_has(draft, draft_under(place_of(row), 0, 0x00080119))));
}

bool hl7_mapping_apply(const struct hl7_mapping *mapping, const struct hl7_scope *scope,
                       unsigned levels, struct draft *draft, struct hl7_notes *notes,
                       struct hl7_fault *fault)
{
    const struct work work = { mapping, scope, draft, notes, fault };
    struct draft_place station = draft_in(STEP_SEQUENCE, 0, 0x00400001);
    for (size_t i = 0; i < mapping->rule_count; i++)
        if (mapping->rules[i].level & levels && !apply_row(&work, &mapping->rules[i]))
            return false;
    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (table[i].level & levels && !is_given(draft, &table[i]) && !apply_row(&work, &table[i]))
            return false;
    if (levels & HL7_LEVEL_STEP && mapping->station_ae && !draft_has(draft, station))
        draft_set_text(draft, station, mapping->station_ae);
    return true;
}

void hl7_mapping_describe(struct buffer *text)
{
    static const char *const cares[] = { "cut or left out, with a note", "AE 102", "left out" };
    buffer_append_text(text, "| from | to | | what does not fit |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        const struct row *row = &table[i];
        const struct dictionary_entry *entry = dictionary_find(row->tag);
        buffer_append_format(text, "| %s | (%04X,%04X) | %s%s | %s |\n", row->sources,
                             (unsigned)(row->tag >> 16), (unsigned)(row->tag & 0xFFFF),
                             entry ? entry->keyword : "",
                             row->level == HL7_LEVEL_STEP ? ", of the step" : "", cares[row->care]);
    }
}
