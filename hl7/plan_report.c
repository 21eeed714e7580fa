/* SPDX-License-Identifier: MIT */
/* Reports (ORU^R01) as instances: texts become a Basic Text SR (PS3.3 A.35.1), a PDF an
 * encapsulated document (PS3.3 A.45.1), so that they are queried, retrieved, deleted, moved with
 * their patient and cast as whatever else the study has. */
#include "dicom/tag.h"
#include "hl7/plan.h"
#include "hl7/value.h"

#define BASIC_TEXT_SR    "1.2.840.10008.5.1.4.1.1.88.11"
#define ENCAPSULATED_PDF "1.2.840.10008.5.1.4.1.1.104.1"

enum {
    MAX_ITEMS = 64,       /* content items: runs of OBX with one OBX-3 */
    TEXT_LIMIT = 1 << 20, /* of one */
    DOCUMENT_LIMIT = 64 << 20,
    CODE_VALUE = 0x00080100,
    CODING_SCHEME = 0x00080102,
    CODE_MEANING = 0x00080104,
    DOCUMENT_TITLE = 0x00420010,
    CONCEPT_NAME_CODE_SEQUENCE = 0x0040A043,
    REFERENCED_REQUEST_SEQUENCE = 0x0040A370,
    VERIFYING_OBSERVER_SEQUENCE = 0x0040A073,
    CONTENT_SEQUENCE = 0x0040A730,
};

static void set_fitting(const struct hl7_planner *planner, struct draft *draft,
                        struct draft_place place, struct slice raw)
{
    struct buffer text = buffer_up_to(TEXT_LIMIT);
    struct buffer value = buffer_up_to(TEXT_LIMIT);
    hl7_unescape(planner->message, raw, &text);
    if (hl7_fit(dictionary_vr(place.tags[place.depth - 1]), buffer_slice(&text), &value) !=
        HL7_WRONG)
        draft_set(draft, place, buffer_slice(&value));
    buffer_release(&text);
    buffer_release(&value);
}

/* A code sequence of one item: of a CE, else the one that is given. */
static void set_code(const struct hl7_planner *planner, struct draft *draft,
                     struct draft_place sequence, struct slice coded,
                     const char *const otherwise[3])
{
    static const uint32_t tags[] = { CODE_VALUE, CODING_SCHEME, CODE_MEANING };
    static const unsigned components[] = { 1, 3, 2 };
    struct slice value = hl7_component(planner->message, coded, 1);
    bool is_coded = value.size && value.size <= 16 &&
                    hl7_component(planner->message, coded, 2).size;
    for (size_t i = 0; i < 3; i++) {
        struct draft_place place = draft_under(sequence, 0, tags[i]);
        struct slice part = hl7_component(planner->message, coded, components[i]);
        if (is_coded && (part.size || i != 1))
            set_fitting(planner, draft, place, part);
        else
            draft_set_text(draft, place, is_coded ? "L" : otherwise[i]);
    }
}

/* PS3.3 C.17.2, what of it the order tells. */
static void set_request(const struct hl7_planner *planner, const struct hl7_segment *obr,
                        const struct hl7_action *action, struct draft *report)
{
    const struct hl7_message *message = planner->message;
    struct draft_place request = draft_at(REFERENCED_REQUEST_SEQUENCE);
    struct slice accession = draft_get(report, draft_at(TAG_ACCESSION_NUMBER));
    draft_set(report, draft_under(request, 0, TAG_ACCESSION_NUMBER), accession);
    draft_set_text(report, draft_under(request, 0, 0x00081110), ""); /* Referenced Study */
    set_fitting(planner, report, draft_under(request, 0, 0x00321060),
                hl7_value(message, obr, 4, 2));
    draft_set_text(report, draft_under(request, 0, 0x00321064), ""); /* Requested Procedure Code */
    set_fitting(planner, report, draft_under(request, 0, TAG_REQUESTED_PROCEDURE_ID),
                hl7_value(message, obr, 19, 1));
    draft_set(report, draft_under(request, 0, 0x00402016),
              slice_of(action->placer, strcspn(action->placer, "^")));
    draft_set(report, draft_under(request, 0, 0x00402017),
              slice_of(action->filler, strcspn(action->filler, "^")));
}

/* Completion and verification (PS3.3 C.17.2): of the status of the results (table 0123) and who is
 * responsible for them. */
static void set_status(const struct hl7_planner *planner, const struct hl7_segment *obr,
                       struct draft *report)
{
    const struct hl7_message *message = planner->message;
    struct slice status = hl7_value(message, obr, 25, 1);
    bool is_final = slice_equals_text(status, "F") || slice_equals_text(status, "C");
    struct slice reader = hl7_value(message, obr, 32, 0);
    struct buffer name = buffer_up_to(4096);
    draft_set_text(report, draft_at(0x0040A491), is_final || !status.size ? "COMPLETE" : "PARTIAL");
    /* NDL has the name in subcomponents of its first component, XCN in components. */
    struct slice first = hl7_component(message, reader, 1);
    for (unsigned i = 2; i <= 3; i++) {
        struct slice part = hl7_subcomponent(message, first, i);
        if (!part.size)
            part = hl7_component(message, reader, i);
        if (i > 2 && part.size)
            buffer_append_byte(&name, '^');
        hl7_unescape(message, part, &name);
    }
    bool is_verified = is_final && name.size;
    draft_set_text(report, draft_at(0x0040A493), is_verified ? "VERIFIED" : "UNVERIFIED");
    if (is_verified) {
        struct draft_place observer = draft_at(VERIFYING_OBSERVER_SEQUENCE);
        struct buffer value = buffer_up_to(4096);
        hl7_fit(VR_PN, buffer_slice(&name), &value);
        draft_set(report, draft_under(observer, 0, 0x0040A075), buffer_slice(&value));
        struct slice organization = hl7_value(message, &message->segments[0], 4, 1);
        set_fitting(planner, report, draft_under(observer, 0, 0x0040A027), organization);
        draft_set_text(report, draft_under(observer, 0, 0x0040A088), "");
        struct slice at = hl7_value(message, obr, 22, 1);
        set_fitting(planner, report, draft_under(observer, 0, 0x0040A030),
                    at.size ? at : hl7_value(message, &message->segments[0], 7, 1));
        buffer_release(&value);
    }
    buffer_release(&name);
}

/* When the report was made: the same for a message that is sent again. */
static void set_times(const struct hl7_planner *planner, const struct hl7_segment *obr,
                      struct draft *report)
{
    const struct hl7_message *message = planner->message;
    struct slice at = hl7_value(message, obr, 22, 1);
    struct slice examined = hl7_value(message, obr, 7, 1);
    at = at.size ? at : examined;
    examined = examined.size ? examined : at;
    set_fitting(planner, report, draft_at(TAG_STUDY_DATE), examined);
    set_fitting(planner, report, draft_at(TAG_STUDY_TIME), examined);
    set_fitting(planner, report, draft_at(TAG_CONTENT_DATE), at);
    set_fitting(planner, report, draft_at(TAG_CONTENT_TIME), at);
}

/* One OBX-5 as a line, whatever its type (OBX-2): of coded values the text, of numbers with the
 * unit. */
static void append_line(const struct hl7_planner *planner, const struct hl7_segment *obx,
                        struct buffer *text)
{
    const struct hl7_message *message = planner->message;
    struct slice field = hl7_field(message, obx, 5);
    struct slice type = hl7_value(message, obx, 2, 1);
    struct slice unit = hl7_value(message, obx, 6, 1);
    bool is_coded = slice_equals_text(type, "CE") || slice_equals_text(type, "CWE") ||
                    slice_equals_text(type, "CNE") || slice_equals_text(type, "CF");
    struct slice value;
    while (hl7_next_repetition(message, &field, &value)) {
        struct slice meaning = hl7_component(message, value, 2);
        if (hl7_is_null(value))
            continue;
        if (text->size)
            buffer_append_byte(text, '\n');
        if (is_coded)
            value = meaning.size ? meaning : hl7_component(message, value, 1);
        hl7_unescape(message, value, text);
    }
    if (slice_equals_text(type, "NM") && unit.size) {
        buffer_append_byte(text, ' ');
        hl7_unescape(message, unit, text);
    }
}

/* Observations of one kind in a row are one text: a report comes a line for each OBX. */
static bool add_content(const struct hl7_planner *planner, const struct hl7_segment *begin,
                        const struct hl7_segment *end, struct draft *report)
{
    static const char *const finding[] = { "121071", "DCM", "Finding" };
    const struct hl7_message *message = planner->message;
    struct buffer text = buffer_up_to(TEXT_LIMIT);
    unsigned item = 0;
    bool ok = true;
    for (const struct hl7_segment *obx = begin; ok && obx < end; obx++) {
        struct slice name = hl7_value(message, obx, 3, 0);
        if (!hl7_is_segment(obx, "OBX"))
            continue;
        append_line(planner, obx, &text);
        const struct hl7_segment *next = obx + 1;
        while (next < end && !hl7_is_segment(next, "OBX"))
            next++;
        if (next < end && slice_equal(hl7_value(message, next, 3, 0), name))
            continue;
        struct draft_place content = draft_at(CONTENT_SEQUENCE);
        ok = !text.overflowed && item < MAX_ITEMS;
        if (!ok)
            hl7_fault_set(planner->fault, HL7_INTERNAL_ERROR, "OBX", obx->sequence, 5,
                          "a report of more than %d texts, or %d bytes in one", MAX_ITEMS,
                          TEXT_LIMIT);
        if (ok && text.size) {
            struct buffer value = buffer_up_to(TEXT_LIMIT * 2);
            draft_set_text(report, draft_under(content, item, 0x0040A010), "CONTAINS");
            draft_set_text(report, draft_under(content, item, 0x0040A040), "TEXT");
            set_code(planner, report, draft_under(content, item, CONCEPT_NAME_CODE_SEQUENCE), name,
                     finding);
            hl7_fit(VR_UT, buffer_slice(&text), &value);
            draft_set(report, draft_under(content, item, 0x0040A160), buffer_slice(&value));
            buffer_release(&value);
            item++;
        }
        buffer_clear(&text);
    }
    buffer_release(&text);
    return ok;
}

/* OBX of the type ED: its fifth component is the document (HL7 v2.5.1 2.A.24). */
static bool is_pdf(const struct hl7_planner *planner, const struct hl7_segment *obx)
{
    const struct hl7_message *message = planner->message;
    struct slice subtype = hl7_value(message, obx, 5, 3);
    return slice_equals_text(hl7_value(message, obx, 2, 1), "ED") &&
           (slice_equals_text(subtype, "PDF") || slice_equals_text(subtype, "pdf")) &&
           (slice_equals_text(hl7_value(message, obx, 5, 4), "Base64") ||
            slice_equals_text(hl7_value(message, obx, 5, 4), "BASE64") ||
            slice_equals_text(hl7_value(message, obx, 5, 4), "base64"));
}

/* What both kinds of instances have. */
static bool begin_report(const struct hl7_planner *planner, const struct hl7_segment *obr,
                         const struct hl7_segment *orc, const struct draft *patient,
                         const char *sop_class, struct hl7_action **out)
{
    struct hl7_action *action = hl7_plan_add(planner->plan, HL7_DO_REPORT, obr, planner->fault);
    const struct hl7_message *message = planner->message;
    if (!action || !hl7_plan_number(planner, obr, 2, action->placer) ||
        !hl7_plan_number(planner, obr, 3, action->filler) ||
        (orc && !action->placer[0] && !hl7_plan_number(planner, orc, 2, action->placer)) ||
        (orc && !action->filler[0] && !hl7_plan_number(planner, orc, 3, action->filler)))
        return false;
    struct draft *report = hl7_action_add_step(action);
    struct slice accession = hl7_value(message, obr, 18, 1);
    struct slice study = hl7_value(message, hl7_find(message, "ZDS", NULL), 1, 1);
    action->sop_class = sop_class;
    draft_merge(report, patient);
    draft_set_text(report, draft_at(TAG_SOP_CLASS_UID), sop_class);
    draft_set_text(report, draft_at(TAG_MANUFACTURER), "HOUNSFIELD");
    set_fitting(planner, report, draft_at(TAG_ACCESSION_NUMBER), accession);
    if (study.size)
        set_fitting(planner, report, draft_at(TAG_STUDY_INSTANCE_UID), study);
    set_times(planner, obr, report);
    draft_set_text(report, draft_at(TAG_STUDY_ID), "");
    *out = action;
    return true;
}

static bool plan_text(const struct hl7_planner *planner, const struct hl7_segment *obr,
                      const struct hl7_segment *orc, const struct hl7_segment *end,
                      const struct draft *patient)
{
    static const char *const title[] = { "18748-4", "LN", "Diagnostic imaging report" };
    struct hl7_action *action;
    if (!begin_report(planner, obr, orc, patient, BASIC_TEXT_SR, &action))
        return false;
    struct draft *report = &action->steps[0];
    draft_set_text(report, draft_at(TAG_MODALITY), "SR");
    draft_set_text(report, draft_at(TAG_REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE), "");
    draft_set_text(report, draft_at(TAG_SERIES_NUMBER), "9001");
    draft_set_text(report, draft_at(TAG_INSTANCE_NUMBER), "1");
    draft_set_text(report, draft_at(0x0040A040), "CONTAINER");
    draft_set_text(report, draft_at(0x0040A050), "SEPARATE");
    draft_set_text(report, draft_at(0x0040A372), ""); /* Performed Procedure Code */
    set_code(planner, report, draft_at(CONCEPT_NAME_CODE_SEQUENCE), slice_of(NULL, 0), title);
    set_request(planner, obr, action, report);
    set_status(planner, obr, report);
    return add_content(planner, obr, end, report);
}

static bool plan_pdf(const struct hl7_planner *planner, const struct hl7_segment *obr,
                     const struct hl7_segment *orc, const struct hl7_segment *obx,
                     const struct draft *patient)
{
    static const char *const title[] = { "18748-4", "LN", "Diagnostic imaging report" };
    struct hl7_action *action;
    if (!begin_report(planner, obr, orc, patient, ENCAPSULATED_PDF, &action))
        return false;
    struct draft *report = &action->steps[0];
    draft_set_text(report, draft_at(TAG_MODALITY), "DOC");
    draft_set_text(report, draft_at(0x00080064), "WSD"); /* Conversion Type */
    draft_set_text(report, draft_at(TAG_SERIES_NUMBER), "9002");
    draft_set_text(report, draft_at(TAG_INSTANCE_NUMBER), "1");
    draft_set_text(report, draft_at(0x00280301), "YES"); /* Burned In Annotation */
    draft_set_text(report, draft_at(0x0008002A), "");    /* Acquisition DateTime */
    set_fitting(planner, report, draft_at(DOCUMENT_TITLE), hl7_value(planner->message, obr, 4, 2));
    set_code(planner, report, draft_at(CONCEPT_NAME_CODE_SEQUENCE), slice_of(NULL, 0), title);
    action->document = hl7_value(planner->message, obx, 5, 5);
    return action->document.size <= DOCUMENT_LIMIT ||
           hl7_fault_set(planner->fault, HL7_INTERNAL_ERROR, "OBX", obx->sequence, 5,
                         "a document of more than %d bytes", DOCUMENT_LIMIT);
}

/* One OBR with the observations behind it. */
static bool plan_one(const struct hl7_planner *planner, const struct hl7_segment *obr,
                     const struct hl7_segment *orc, const struct draft *patient)
{
    const struct hl7_message *message = planner->message;
    const struct hl7_segment *last = message->segments + message->count;
    const struct hl7_segment *end = obr + 1;
    bool has_text = false;
    size_t count = planner->plan->count;
    while (end < last && !hl7_is_segment(end, "OBR") && !hl7_is_segment(end, "ORC"))
        end++;
    for (const struct hl7_segment *obx = obr + 1; obx < end; obx++) {
        if (!hl7_is_segment(obx, "OBX"))
            continue;
        if (is_pdf(planner, obx)) {
            if (!plan_pdf(planner, obr, orc, obx, patient))
                return false;
        } else if (slice_equals_text(hl7_value(message, obx, 2, 1), "ED") ||
                   slice_equals_text(hl7_value(message, obx, 2, 1), "RP")) {
            return hl7_fault_set(planner->fault, HL7_DATA_TYPE, "OBX", obx->sequence, 5,
                                 "OBX-5: of documents, a PDF in base64 is what is kept here");
        } else {
            struct slice value = hl7_field(message, obx, 5);
            has_text |= value.size && !hl7_is_null(value);
        }
    }
    if (has_text)
        return plan_text(planner, obr, orc, end, patient);
    return planner->plan->count > count || hl7_fault_set(planner->fault, HL7_SEQUENCE_ERROR, "OBX",
                                                         1, 0, "a report without observations");
}

bool hl7_plan_reports(const struct hl7_planner *planner)
{
    const struct hl7_message *message = planner->message;
    const struct hl7_segment *pid = hl7_find(message, "PID", NULL);
    const struct hl7_segment *obr = hl7_find(message, "OBR", NULL);
    const struct hl7_segment *orc = NULL;
    struct draft patient = draft_init();
    struct hl7_person person;
    bool ok = pid && obr;
    if (!ok)
        hl7_fault_set(planner->fault, HL7_SEQUENCE_ERROR, pid ? "OBR" : "PID", 1, 0,
                      "the segment %s is missing", pid ? "OBR" : "PID");
    ok = ok && hl7_plan_patient(planner, pid, true, &patient, &person);
    for (size_t i = 0; ok && i < message->count; i++) {
        const struct hl7_segment *segment = &message->segments[i];
        if (hl7_is_segment(segment, "ORC"))
            orc = segment;
        if (hl7_is_segment(segment, "OBR")) {
            ok = plan_one(planner, segment, orc, &patient);
            orc = NULL;
        }
    }
    for (size_t i = 0; ok && i < planner->plan->count; i++)
        planner->plan->actions[i].person = person;
    draft_release(&patient);
    return ok;
}
