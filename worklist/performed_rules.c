/* SPDX-License-Identifier: MIT */
/* What the attributes of a performed procedure step must be (PS3.4 table F.7.2-1). */
#include "dicom/attribute_rules.h"
#include "dicom/charset_write.h"
#include "dicom/date_time.h"
#include "worklist/performed_parts.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum {
    TAG_RADIATION_FIRST = 0x00400300, /* the radiation dose module, */
    TAG_RADIATION_LAST = 0x00400318,
    TAG_BILLING_FIRST = 0x00400320, /* and the billing and material management module */
    TAG_BILLING_LAST = 0x00400324,
    TAG_FILM_CONSUMPTION = 0x00400321,
    TAG_EXPOSURE_DOSE_SEQUENCE = 0x0040030E,
    TAG_ENTRANCE_DOSE_IN_MGY = 0x00408302,
    TAG_IMAGE_AREA_DOSE_PRODUCT = 0x0018115E,
    TAG_DISTANCE_SOURCE_TO_DETECTOR = 0x00181110,
    TAG_ANATOMIC_STRUCTURE_SEQUENCE = 0x00082229,
};

/* Of N-CREATE. What is of type 2 for who asks may be missing as well: we add it. (0040,0270) may
 * stand without an item: of what was not scheduled some modalities say no more. */
static const struct attribute_rule new_rules[] = {
    { 0, ATTRIBUTE_2, TAG_SCHEDULED_STEP_ATTRIBUTES_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_STUDY_INSTANCE_UID },
    { 0, ATTRIBUTE_1, TAG_PERFORMED_PROCEDURE_STEP_ID },
    { 0, ATTRIBUTE_1, TAG_PERFORMED_STATION_AE_TITLE },
    { 0, ATTRIBUTE_1, TAG_PERFORMED_PROCEDURE_STEP_START_DATE },
    { 0, ATTRIBUTE_1, TAG_PERFORMED_PROCEDURE_STEP_START_TIME },
    { 0, ATTRIBUTE_1, TAG_PERFORMED_PROCEDURE_STEP_STATUS },
    { 0, ATTRIBUTE_1, TAG_MODALITY },
};

static const struct attribute_rule final_rules[] = {
    { 0, ATTRIBUTE_1, TAG_PERFORMED_PROCEDURE_STEP_END_DATE },
    { 0, ATTRIBUTE_1, TAG_PERFORMED_PROCEDURE_STEP_END_TIME },
    { 0, ATTRIBUTE_1, TAG_PERFORMED_SERIES_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_SERIES_INSTANCE_UID },
    { 1, ATTRIBUTE_1, TAG_PROTOCOL_NAME },
};

static const uint32_t frame[] = {
    TAG_PROCEDURE_CODE_SEQUENCE,
    TAG_REFERENCED_PATIENT_SEQUENCE,
    TAG_PATIENT_NAME,
    TAG_PATIENT_ID,
    TAG_PATIENT_BIRTH_DATE,
    TAG_PATIENT_SEX,
    TAG_STUDY_ID,
    TAG_PERFORMED_STATION_NAME,
    TAG_PERFORMED_LOCATION,
    TAG_PERFORMED_PROCEDURE_STEP_END_DATE,
    TAG_PERFORMED_PROCEDURE_STEP_END_TIME,
    TAG_PERFORMED_PROCEDURE_STEP_DESCRIPTION,
    TAG_PERFORMED_PROCEDURE_TYPE_DESCRIPTION,
    TAG_PERFORMED_PROTOCOL_CODE_SEQUENCE,
    TAG_PERFORMED_PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE,
    TAG_PERFORMED_SERIES_SEQUENCE,
};

/* What N-SET may change, if it was created. */
static const uint32_t changeable[] = {
    TAG_PROCEDURE_CODE_SEQUENCE,
    TAG_PERFORMED_PROCEDURE_STEP_END_DATE,
    TAG_PERFORMED_PROCEDURE_STEP_END_TIME,
    TAG_PERFORMED_PROCEDURE_STEP_STATUS,
    TAG_PERFORMED_PROCEDURE_STEP_DESCRIPTION,
    TAG_PERFORMED_PROCEDURE_TYPE_DESCRIPTION,
    TAG_PERFORMED_PROTOCOL_CODE_SEQUENCE,
    TAG_COMMENTS_ON_THE_PERFORMED_PROCEDURE_STEP,
    TAG_PERFORMED_PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE,
    TAG_PERFORMED_SERIES_SEQUENCE,
};

/* What is measured while it is performed: modalities send it with the last N-SET, created or not.
 */
static bool is_measured(uint32_t tag)
{
    return (tag >= TAG_RADIATION_FIRST && tag <= TAG_RADIATION_LAST) ||
           (tag >= TAG_BILLING_FIRST && tag <= TAG_BILLING_LAST) ||
           tag == TAG_ENTRANCE_DOSE_IN_MGY || tag == TAG_IMAGE_AREA_DOSE_PRODUCT ||
           tag == TAG_DISTANCE_SOURCE_TO_DETECTOR || tag == TAG_ANATOMIC_STRUCTURE_SEQUENCE;
}

static bool is_in(uint32_t tag, const uint32_t *tags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (tags[i] == tag)
            return true;
    }
    return false;
}

static void fail(struct performed_outcome *outcome, uint16_t code, uint32_t tag, const char *why)
{
    outcome->code = code;
    outcome->why = why;
    if (tag)
        performed_add_tag(outcome, tag);
}

static void check_rules(const struct dataset *dataset, const struct attribute_rule *rules,
                        size_t count, struct performed_outcome *outcome)
{
    struct rules_result result;
    if (rules_check(dataset, rules, count, &result))
        return;
    bool is_missing = result.missing_count > 0;
    fail(outcome, is_missing ? PERFORMED_ATTRIBUTE_MISSING : PERFORMED_VALUE_MISSING, 0,
         is_missing ? "an attribute is missing" : "an attribute has no value");
    const uint32_t *tags = is_missing ? result.missing : result.empty;
    size_t tag_count = is_missing ? result.missing_count : result.empty_count;
    for (size_t i = 0; i < tag_count; i++)
        performed_add_tag(outcome, tags[i]);
}

static bool check_moment(const struct dataset *dataset, uint32_t tag,
                         bool (*parse)(struct slice, struct time_span *),
                         struct performed_outcome *outcome)
{
    char text[64];
    struct time_span span;
    if (!dataset_string(dataset, tag, text, sizeof(text)) || parse(slice_text(text), &span))
        return true;
    fail(outcome, PERFORMED_INVALID_VALUE, tag, "a date or time is none");
    return false;
}

static bool check_moments(const struct dataset *dataset, struct performed_outcome *outcome)
{
    return check_moment(dataset, TAG_PERFORMED_PROCEDURE_STEP_START_DATE, date_parse, outcome) &&
           check_moment(dataset, TAG_PERFORMED_PROCEDURE_STEP_START_TIME, time_parse, outcome) &&
           check_moment(dataset, TAG_PERFORMED_PROCEDURE_STEP_END_DATE, date_parse, outcome) &&
           check_moment(dataset, TAG_PERFORMED_PROCEDURE_STEP_END_TIME, time_parse, outcome);
}

static bool is_plain(struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] >= 0x80 || bytes.data[i] == 0x1B)
            return false;
    }
    return true;
}

/* A name in a set that we cannot read would be kept as something else (PS3.4 F.7.2.1.2). */
static bool check_name(const struct dataset *dataset, struct performed_outcome *outcome)
{
    static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */
    struct element element;
    struct buffer text = buffer_up_to(OBJECT_DATASET_LIMIT);
    if (!dataset_find(dataset, TAG_PATIENT_NAME, &element) || is_plain(element.value))
        return true;
    bool ok = true;
    struct element set;
    if (dataset_find(dataset, TAG_SPECIFIC_CHARACTER_SET, &set)) {
        struct charset_writer *known = charset_writer_open(set.value);
        ok = known != NULL;
        charset_writer_close(known);
    }
    dataset_element_text(dataset, &element, &text);
    ok = ok && !strstr(buffer_text(&text), replacement);
    buffer_release(&text);
    if (!ok)
        fail(outcome, PERFORMED_INVALID_VALUE, TAG_PATIENT_NAME,
             "the character set of the name is not known");
    return ok;
}

void performed_check_new(const struct dataset *dataset, struct performed_outcome *outcome)
{
    char text[17];
    enum performed_state state;
    check_rules(dataset, new_rules, COUNT(new_rules), outcome);
    if (outcome->code != PERFORMED_OK)
        return;
    dataset_string(dataset, TAG_PERFORMED_PROCEDURE_STEP_STATUS, text, sizeof(text));
    if (!performed_state_find(slice_text(text), &state) || state != PERFORMED_IN_PROGRESS) {
        fail(outcome, PERFORMED_INVALID_VALUE, TAG_PERFORMED_PROCEDURE_STEP_STATUS,
             "a new step is IN PROGRESS");
        return;
    }
    if (check_moments(dataset, outcome))
        check_name(dataset, outcome);
}

void performed_check_changes(const struct dataset *known, const struct dataset *changes,
                             struct performed_outcome *outcome)
{
    struct walk walk = dataset_walk(changes);
    struct element element, present;
    size_t depth = 0;
    char text[17];
    enum performed_state state;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        bool is_top = depth == 0 && (event == WALK_ELEMENT || event == WALK_SEQUENCE);
        if (event == WALK_SEQUENCE)
            depth++;
        else if (event == WALK_SEQUENCE_END)
            depth--;
        if (!is_top || !(element.tag & 0xFFFF) || element.tag == TAG_SPECIFIC_CHARACTER_SET ||
            is_measured(element.tag))
            continue;
        if (!is_in(element.tag, changeable, COUNT(changeable)) ||
            !dataset_find(known, element.tag, &present))
            fail(outcome, PERFORMED_NO_SUCH_ATTRIBUTE, element.tag,
                 "an attribute that cannot be set, or was not created");
    }
    if (outcome->code != PERFORMED_OK)
        return;
    if (dataset_find(changes, TAG_PERFORMED_PROCEDURE_STEP_STATUS, &element) &&
        (!dataset_string(changes, TAG_PERFORMED_PROCEDURE_STEP_STATUS, text, sizeof(text)) ||
         !performed_state_find(slice_text(text), &state))) {
        fail(outcome, PERFORMED_INVALID_VALUE, TAG_PERFORMED_PROCEDURE_STEP_STATUS,
             "no status of a performed step");
        return;
    }
    check_moments(changes, outcome);
}

void performed_check_final(const struct dataset *dataset, struct performed_outcome *outcome)
{
    check_rules(dataset, final_rules, COUNT(final_rules), outcome);
}

void performed_encode_frame(struct encoder *encoder)
{
    for (size_t i = 0; i < COUNT(frame); i++) {
        if (dictionary_vr(frame[i]) == VR_SQ) {
            encode_sequence_begin(encoder, frame[i]);
            encode_sequence_end(encoder);
        } else {
            encode_bytes(encoder, frame[i], dictionary_vr(frame[i]), slice_of(NULL, 0));
        }
    }
}
