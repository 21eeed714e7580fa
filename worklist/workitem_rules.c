/* SPDX-License-Identifier: MIT */
/* What the attributes of a unified procedure step must be (PS3.4 table CC.2.5-3). */
#include <ctype.h>
#include <string.h>

#include "dicom/encode.h"
#include "worklist/workitem_parts.h"
#include "worklist/workitem_tags.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* What a requester must give. What is of type 2 for it may be missing as well: we add it. */
static const struct attribute_rule new_rules[] = {
    { 0, ATTRIBUTE_1, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE_TIME },
    { 0, ATTRIBUTE_1, TAG_INPUT_READINESS_STATE },
    { 0, ATTRIBUTE_1, TAG_PROCEDURE_STEP_STATE },
    { 0, ATTRIBUTE_1, TAG_SCHEDULED_PROCEDURE_STEP_PRIORITY },
    { 0, ATTRIBUTE_1, TAG_PROCEDURE_STEP_LABEL },
    { 0, ATTRIBUTE_1C, TAG_STUDY_INSTANCE_UID },
    { 0, ATTRIBUTE_3, TAG_REFERENCED_REQUEST_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_STUDY_INSTANCE_UID },
    { 0, ATTRIBUTE_3, TAG_SCHEDULED_WORKITEM_CODE_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_CODE_MEANING },
};

/* What, once it is there, stays with a value. */
static const struct attribute_rule set_rules[] = {
    { 0, ATTRIBUTE_1C, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE_TIME },
    { 0, ATTRIBUTE_1C, TAG_INPUT_READINESS_STATE },
    { 0, ATTRIBUTE_1C, TAG_SCHEDULED_PROCEDURE_STEP_PRIORITY },
    { 0, ATTRIBUTE_1C, TAG_WORKLIST_LABEL },
    { 0, ATTRIBUTE_1C, TAG_PROCEDURE_STEP_LABEL },
};

/* "P" of the column of final states: with results. */
static const struct attribute_rule completed_rules[] = {
    { 0, ATTRIBUTE_1, TAG_UPS_PERFORMED_PROCEDURE_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_PERFORMED_STATION_NAME_CODE_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_PERFORMED_START_DATE_TIME },
    { 1, ATTRIBUTE_1, TAG_PERFORMED_WORKITEM_CODE_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_PERFORMED_END_DATE_TIME },
    { 1, ATTRIBUTE_2, TAG_OUTPUT_INFORMATION_SEQUENCE },
};

/* Not for N-SET: the state has an operation of its own, and whom and what it is of stays. */
static const uint32_t fixed[] = {
    TAG_SOP_CLASS_UID,      TAG_SOP_INSTANCE_UID,     TAG_PATIENT_NAME,
    TAG_PATIENT_ID,         TAG_ISSUER_OF_PATIENT_ID, TAG_PATIENT_BIRTH_DATE,
    TAG_PATIENT_SEX,        TAG_ADMISSION_ID,         TAG_REFERENCED_REQUEST_SEQUENCE,
    TAG_STUDY_INSTANCE_UID, TAG_PROCEDURE_STEP_STATE,
};

static const struct {
    uint32_t tag;
    const char *values[4];
} enumerations[] = {
    { TAG_INPUT_READINESS_STATE, { "READY", "UNAVAILABLE", "INCOMPLETE", NULL } },
    { TAG_SCHEDULED_PROCEDURE_STEP_PRIORITY, { "HIGH", "MEDIUM", "LOW", NULL } },
};
enum { CS_SIZE = 17 };

/* As it was given, and as it should be spelled. False: there is no value. */
static bool read_code(const struct dataset *dataset, uint32_t tag, char given[CS_SIZE],
                      char spelled[CS_SIZE])
{
    if (!dataset_string(dataset, tag, given, CS_SIZE) || !given[0])
        return false;
    for (size_t i = 0; i < CS_SIZE; i++)
        spelled[i] = (char)toupper((unsigned char)given[i]);
    return true;
}

static bool is_one_of(const char *text, const char *const *values)
{
    for (; *values; values++)
        if (strcmp(text, *values) == 0)
            return true;
    return false;
}

static void check_enumerations(const struct dataset *dataset, struct workitem_outcome *outcome)
{
    char given[CS_SIZE];
    char spelled[CS_SIZE];
    for (size_t i = 0; i < COUNT(enumerations); i++) {
        if (!read_code(dataset, enumerations[i].tag, given, spelled) ||
            is_one_of(spelled, enumerations[i].values))
            continue;
        outcome->code = WORKITEM_NOT_TO_BE_SET;
        outcome_add(outcome, enumerations[i].tag);
    }
}

static void check_rules(const struct dataset *dataset, const struct attribute_rule *rules,
                        size_t count, struct workitem_outcome *outcome)
{
    struct rules_result result;
    if (rules_check(dataset, rules, count, &result))
        return;
    outcome->code = result.missing_count ? WORKITEM_ATTRIBUTE_MISSING : WORKITEM_VALUE_MISSING;
    const uint32_t *tags = result.missing_count ? result.missing : result.empty;
    size_t tag_count = result.missing_count ? result.missing_count : result.empty_count;
    for (size_t i = 0; i < tag_count; i++)
        outcome_add(outcome, tags[i]);
}

void workitem_check_new(const struct dataset *dataset, struct workitem_outcome *outcome)
{
    char state[CS_SIZE] = "";
    outcome->code = WORKITEM_OK;
    check_rules(dataset, new_rules, COUNT(new_rules), outcome);
    if (outcome->code != WORKITEM_OK)
        return;
    dataset_string(dataset, TAG_PROCEDURE_STEP_STATE, state, sizeof(state));
    if (strcmp(state, workitem_state_text(WORKITEM_SCHEDULED)) != 0) {
        outcome->code = WORKITEM_NOT_SCHEDULED;
        outcome_add(outcome, TAG_PROCEDURE_STEP_STATE);
        return;
    }
    check_enumerations(dataset, outcome);
}

void workitem_check_changes(const struct dataset *changes, struct workitem_outcome *outcome)
{
    struct element element;
    outcome->code = WORKITEM_OK;
    for (size_t i = 0; i < COUNT(fixed); i++) {
        if (!dataset_find(changes, fixed[i], &element))
            continue;
        outcome->code = WORKITEM_NOT_TO_BE_SET;
        outcome_add(outcome, fixed[i]);
    }
    if (outcome->code == WORKITEM_OK)
        check_rules(changes, set_rules, COUNT(set_rules), outcome);
    if (outcome->code == WORKITEM_OK)
        check_enumerations(changes, outcome);
}

bool workitem_is_ready(const struct dataset *dataset, enum workitem_state state)
{
    struct rules_result result;
    return state != WORKITEM_COMPLETED ||
           rules_check(dataset, completed_rules, COUNT(completed_rules), &result);
}

void workitem_coerce(const struct dataset *dataset, struct buffer *out, size_t *count)
{
    struct encoder encoder = { out, true };
    char given[CS_SIZE];
    char spelled[CS_SIZE];
    *count = 0;
    for (size_t i = 0; i < COUNT(enumerations); i++) {
        if (!read_code(dataset, enumerations[i].tag, given, spelled) || strcmp(given, spelled) == 0)
            continue;
        encode_text(&encoder, enumerations[i].tag, VR_CS, spelled);
        ++*count;
    }
}

size_t workitem_unknown(const struct dataset *dataset, uint32_t tags[WORKITEM_TAGS])
{
    struct walk walk = dataset_walk(dataset);
    struct element element;
    size_t depth = 0;
    size_t count = 0;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_SEQUENCE_END)
            depth--;
        if ((event == WALK_ELEMENT || event == WALK_SEQUENCE) && depth == 0 &&
            element.tag & 0xFFFF && !tag_is_private(element.tag) && !dictionary_find(element.tag) &&
            count < WORKITEM_TAGS)
            tags[count++] = element.tag;
        if (event == WALK_SEQUENCE)
            depth++;
    }
    return count;
}

void workitem_encode_frame(struct encoder *encoder)
{
    static const uint32_t tags[] = {
        TAG_ADMITTING_DIAGNOSES_DESCRIPTION,
        TAG_ADMITTING_DIAGNOSES_CODE_SEQUENCE,
        TAG_PATIENT_NAME,
        TAG_PATIENT_ID,
        TAG_PATIENT_BIRTH_DATE,
        TAG_PATIENT_SEX,
        TAG_ADMISSION_ID,
        TAG_ISSUER_OF_ADMISSION_ID_SEQUENCE,
        TAG_COMMENTS_ON_THE_SCHEDULED_PROCEDURE_STEP,
        TAG_SCHEDULED_WORKITEM_CODE_SEQUENCE,
        TAG_INPUT_INFORMATION_SEQUENCE,
        TAG_SCHEDULED_STATION_NAME_CODE_SEQUENCE,
        TAG_SCHEDULED_STATION_CLASS_CODE_SEQUENCE,
        TAG_SCHEDULED_STATION_GEOGRAPHIC_LOCATION_CODE_SEQUENCE,
        TAG_REFERENCED_REQUEST_SEQUENCE,
        TAG_STEP_PROGRESS_INFORMATION_SEQUENCE,
        TAG_SCHEDULED_PROCESSING_PARAMETERS_SEQUENCE,
        TAG_UPS_PERFORMED_PROCEDURE_SEQUENCE,
    };
    for (size_t i = 0; i < COUNT(tags); i++) {
        uint16_t vr = dictionary_vr(tags[i]);
        if (vr == VR_SQ) {
            encode_sequence_begin(encoder, tags[i]);
            encode_sequence_end(encoder);
        } else {
            encode_text(encoder, tags[i], vr, "");
        }
    }
}
