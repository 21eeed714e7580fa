/* SPDX-License-Identifier: MIT */
#include "hl7/plan.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/tag.h"
#include "hl7/value.h"

enum {
    FUTURE_S = 24 * 3600, /* that a sender's clock may be ahead */
    ADMISSION_ID = 0x00380010,
    CURRENT_PATIENT_LOCATION = 0x00380300,
};

static bool plan_update(const struct hl7_planner *planner);
static bool plan_departure(const struct hl7_planner *planner);
static bool plan_visit_undone(const struct hl7_planner *planner);
static bool plan_merge(const struct hl7_planner *planner);
static bool plan_unmerge(const struct hl7_planner *planner);

struct hl7_type {
    const char *code;
    const char *event; /* NULL: any, and none */
    bool (*plan)(const struct hl7_planner *planner);
    const char *effect;
};

#define ORDER  "orders: scheduled procedure steps made, changed, cancelled, by ORC-1"
#define UPDATE "the patient's demographics and visit, everywhere"
#define MERGE  "PID-3 survives, MRG-1 goes"

static const struct hl7_type types[] = {
    { "ORM", "O01", hl7_plan_orders, ORDER },
    { "ORM", NULL, hl7_plan_orders, ORDER },
    { "OMG", "O19", hl7_plan_orders, ORDER },
    { "OMI", "O23", hl7_plan_orders, ORDER ", a step for each IPC" },
    { "SIU", "S12", hl7_plan_appointment, "appointment made: a step, or another start of one" },
    { "SIU", "S13", hl7_plan_appointment, "appointment moved: another start of the order's steps" },
    { "SIU", "S14", hl7_plan_appointment, "appointment changed: as S13" },
    { "SIU", "S15", hl7_plan_appointment,
      "appointment cancelled: steps not started are cancelled" },
    { "ORU", "R01", hl7_plan_reports, "report: kept with the study as an SR or a PDF document" },
    { "ADT", "A01", plan_update, UPDATE },
    { "ADT", "A02", plan_update, UPDATE },
    { "ADT", "A03", plan_departure, UPDATE "; the location is empty" },
    { "ADT", "A04", plan_update, UPDATE },
    { "ADT", "A05", plan_update, UPDATE },
    { "ADT", "A06", plan_update, UPDATE },
    { "ADT", "A07", plan_update, UPDATE },
    { "ADT", "A08", plan_update, UPDATE },
    { "ADT", "A10", plan_update, UPDATE },
    { "ADT", "A11", plan_visit_undone, UPDATE "; the visit is empty" },
    { "ADT", "A13", plan_update, UPDATE },
    { "ADT", "A18", plan_merge, MERGE },
    { "ADT", "A23", plan_visit_undone, UPDATE "; the visit is empty" },
    { "ADT", "A28", plan_update, UPDATE },
    { "ADT", "A31", plan_update, UPDATE },
    { "ADT", "A34", plan_merge, MERGE },
    { "ADT", "A37", plan_unmerge, "the two PID are two patients again" },
    { "ADT", "A40", plan_merge, MERGE },
    { "ADT", "A47", plan_merge, "the ID of MRG-1 becomes that of PID-3" },
};
enum { TYPES = sizeof(types) / sizeof(types[0]) };

const struct hl7_type *hl7_type_find(struct slice code, struct slice event)
{
    for (size_t i = 0; i < TYPES; i++)
        if (slice_equals_text(code, types[i].code) &&
            (types[i].event ? slice_equals_text(event, types[i].event) : !event.size))
            return &types[i];
    return NULL;
}

bool hl7_type_is_known(struct slice code)
{
    for (size_t i = 0; i < TYPES; i++)
        if (slice_equals_text(code, types[i].code))
            return true;
    return false;
}

const struct hl7_type *hl7_type_at(size_t index)
{
    return index < TYPES ? &types[index] : NULL;
}

const char *hl7_type_code(const struct hl7_type *type)
{
    return type->code;
}

const char *hl7_type_event(const struct hl7_type *type)
{
    return type->event ? type->event : "";
}

const char *hl7_type_effect(const struct hl7_type *type)
{
    return type->effect;
}

/* Plans. */

struct hl7_action *hl7_plan_add(struct hl7_plan *plan, enum hl7_action_kind kind,
                                const struct hl7_segment *segment, struct hl7_fault *fault)
{
    if (plan->count == HL7_MAX_ACTIONS) {
        hl7_fault_set(fault, HL7_INTERNAL_ERROR, segment->name, segment->sequence, 0,
                      "more than %d orders, patients or reports in one message", HL7_MAX_ACTIONS);
        return NULL;
    }
    plan->actions = mem_resize_array(plan->actions, plan->count + 1, sizeof(*plan->actions));
    struct hl7_action *action = &plan->actions[plan->count++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    memcpy(action->segment, segment->name, sizeof(action->segment));
    action->sequence = segment->sequence;
    action->patient = draft_init();
    return action;
}

struct draft *hl7_action_add_step(struct hl7_action *action)
{
    if (action->step_count == HL7_MAX_STEPS)
        return NULL;
    action->steps = mem_resize_array(action->steps, action->step_count + 1, sizeof(*action->steps));
    action->steps[action->step_count] = draft_init();
    return &action->steps[action->step_count++];
}

void hl7_plan_free(struct hl7_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->count; i++) {
        struct hl7_action *action = &plan->actions[i];
        draft_release(&action->patient);
        for (size_t j = 0; j < action->step_count; j++)
            draft_release(&action->steps[j]);
        free(action->steps);
    }
    free(plan->actions);
    free(plan);
}

/* When what the message tells was so: the event can be older than its message, which may have
 * waited. A clock that is far ahead would keep all later messages from being heard. */
static int64_t time_of(const struct hl7_planner *planner, int64_t now_us)
{
    const struct hl7_message *message = planner->message;
    int64_t sent_us;
    int64_t event_us;
    const struct hl7_segment *event = hl7_find(message, "EVN", NULL);
    bool is_sent = hl7_instant(hl7_value(message, &message->segments[0], 7, 1), &sent_us);
    /* Of an event of a day all that is known is that it was over at its end. */
    bool has_event = hl7_instant_last(hl7_value(message, event, 2, 1), &event_us);
    int64_t us = is_sent ? sent_us : now_us;
    if (has_event && event_us < us)
        us = event_us;
    if (us <= now_us + (int64_t)FUTURE_S * 1000000)
        return us;
    struct hl7_fault note;
    hl7_fault_set(&note, HL7_DATA_TYPE, "MSH", 1, 7,
                  "the time is more than a day ahead of ours, which is taken instead");
    hl7_note(&planner->plan->notes, &note);
    return now_us;
}

bool hl7_plan_make(const struct hl7_configuration *configuration, const struct hl7_type *type,
                   const struct hl7_message *message, int64_t now_us, struct hl7_plan **out,
                   struct hl7_fault *fault)
{
    struct hl7_plan *plan = mem_alloc(sizeof(*plan));
    struct hl7_planner planner = { configuration, message, type, plan, fault };
    plan->message_us = time_of(&planner, now_us);
    bool ok = type->plan(&planner);
    for (size_t i = 0; ok && i < plan->count; i++) {
        bool overflowed = plan->actions[i].patient.overflowed;
        for (size_t j = 0; j < plan->actions[i].step_count; j++)
            overflowed |= plan->actions[i].steps[j].overflowed;
        ok = !overflowed || hl7_fault_set(fault, HL7_INTERNAL_ERROR, plan->actions[i].segment,
                                          plan->actions[i].sequence, 0, "too many values");
    }
    if (!ok) {
        hl7_plan_free(plan);
        plan = NULL;
    }
    *out = plan;
    return ok;
}

/* Patients. */

static const struct hl7_segment *require(const struct hl7_planner *planner, const char *name,
                                         const struct hl7_segment *after)
{
    const struct hl7_segment *segment = hl7_find(planner->message, name, after);
    if (!segment)
        hl7_fault_set(planner->fault, HL7_SEQUENCE_ERROR, name, after ? 2 : 1, 0,
                      "the segment %s is missing", name);
    return segment;
}

bool hl7_plan_patient(const struct hl7_planner *planner, const struct hl7_segment *pid,
                      bool is_named, struct draft *draft, struct hl7_person *person)
{
    const struct hl7_configuration *configuration = planner->configuration;
    /* PID is the first of its kind: what belongs to it follows. */
    const struct hl7_scope scope = { .message = planner->message };
    struct slice name = hl7_value(planner->message, pid, 5, 0);
    if (!hl7_person_set(planner->message, pid, configuration->options.assigning_authority, draft,
                        person, planner->fault))
        return false;
    if (is_named && !name.size)
        return hl7_fault_set(planner->fault, HL7_FIELD_MISSING, "PID", pid->sequence, 5,
                             "PID-5: there is no patient name");
    return hl7_mapping_apply(configuration->mapping, &scope, HL7_LEVEL_PATIENT | HL7_LEVEL_VISIT,
                             draft, &planner->plan->notes, planner->fault);
}

static struct hl7_action *add_patient(const struct hl7_planner *planner, bool is_named)
{
    const struct hl7_segment *pid = require(planner, "PID", NULL);
    struct hl7_action *action =
        pid ? hl7_plan_add(planner->plan, HL7_DO_PATIENT, pid, planner->fault) : NULL;
    if (action && hl7_plan_patient(planner, pid, is_named, &action->patient, &action->person))
        return action;
    return NULL;
}

static bool plan_update(const struct hl7_planner *planner)
{
    return add_patient(planner, true);
}

static bool plan_departure(const struct hl7_planner *planner)
{
    struct hl7_action *action = add_patient(planner, false);
    if (action)
        draft_set_text(&action->patient, draft_at(CURRENT_PATIENT_LOCATION), "");
    return action;
}

static bool plan_visit_undone(const struct hl7_planner *planner)
{
    struct hl7_action *action = add_patient(planner, false);
    if (!action)
        return false;
    draft_set_text(&action->patient, draft_at(ADMISSION_ID), "");
    draft_set_text(&action->patient, draft_at(CURRENT_PATIENT_LOCATION), "");
    return true;
}

/* Each PID with the MRG behind it (HL7 v2.5.1 3.3.40). What PID tells besides is news of who
 * survives. */
static bool plan_merge(const struct hl7_planner *planner)
{
    const struct hl7_message *message = planner->message;
    const char *authority = planner->configuration->options.assigning_authority;
    const struct hl7_segment *merge = require(planner, "MRG", NULL);
    const struct hl7_segment *pid = merge ? require(planner, "PID", NULL) : NULL;
    if (!pid)
        return false;
    for (; merge; merge = hl7_find(message, "MRG", merge)) {
        for (const struct hl7_segment *next = pid; next && next < merge;
             next = hl7_find(message, "PID", next))
            pid = next;
        if (pid > merge)
            return hl7_fault_set(planner->fault, HL7_SEQUENCE_ERROR, "PID", 1, 0,
                                 "there is no PID before MRG");
        struct hl7_action *action = hl7_plan_add(planner->plan, HL7_DO_MERGE, merge,
                                                 planner->fault);
        if (!action ||
            !hl7_person_set(message, pid, authority, &action->patient, &action->person,
                            planner->fault) ||
            !hl7_person_read(message, merge, 1, authority, &action->gone, planner->fault))
            return false;
        /* One sender's numbers are of one authority, unless it says otherwise. */
        if (!action->gone.issuer[0])
            memcpy(action->gone.issuer, action->person.issuer, sizeof(action->gone.issuer));
        if (!strcmp(action->person.id, action->gone.id) &&
            !strcmp(action->person.issuer, action->gone.issuer))
            return hl7_fault_set(planner->fault, HL7_DUPLICATE_KEY, "MRG", merge->sequence, 1,
                                 "MRG-1: the same ID as PID-3");
        const struct hl7_scope scope = { .message = message,
                                         .begin = (size_t)(pid - message->segments),
                                         .end = (size_t)(merge - message->segments) };
        if (!hl7_mapping_apply(planner->configuration->mapping, &scope, HL7_LEVEL_PATIENT,
                               &action->patient, &planner->plan->notes, planner->fault))
            return false;
    }
    return true;
}

/* PID, PID: each is a patient of its own; what was told of either is its own again (HL7 v2.5.1
 * 3.3.37). */
static bool plan_unmerge(const struct hl7_planner *planner)
{
    const char *authority = planner->configuration->options.assigning_authority;
    const struct hl7_segment *first = require(planner, "PID", NULL);
    const struct hl7_segment *second = first ? require(planner, "PID", first) : NULL;
    struct hl7_action *action =
        second ? hl7_plan_add(planner->plan, HL7_DO_UNMERGE, second, planner->fault) : NULL;
    return action &&
           hl7_person_read(planner->message, first, 3, authority, &action->person,
                           planner->fault) &&
           hl7_person_read(planner->message, second, 3, authority, &action->gone, planner->fault);
}

static bool has_control(const struct buffer *text)
{
    for (size_t i = 0; i < text->size; i++)
        if (text->data[i] < ' ' || text->data[i] == 0x7F)
            return true;
    return false;
}

bool hl7_plan_number(const struct hl7_planner *planner, const struct hl7_segment *segment,
                     unsigned field, char number[HL7_NUMBER_SIZE])
{
    const struct hl7_message *message = planner->message;
    struct buffer text = buffer_up_to(HL7_NUMBER_SIZE - 1);
    struct slice assigner = hl7_value(message, segment, field, 2);
    number[0] = 0;
    hl7_unescape(message, hl7_value(message, segment, field, 1), &text);
    if (text.size && assigner.size && !hl7_is_null(assigner)) {
        buffer_append_byte(&text, '^');
        hl7_unescape(message, assigner, &text);
    }
    bool ok = !text.overflowed && !has_control(&text);
    if (ok && text.size)
        memcpy(number, text.data, text.size);
    number[ok ? text.size : 0] = 0;
    buffer_release(&text);
    return ok || hl7_fault_set(planner->fault, HL7_DATA_TYPE, segment->name, segment->sequence,
                               field, "%s-%u: longer than %d bytes, or with control characters",
                               segment->name, field, HL7_NUMBER_SIZE - 1);
}
