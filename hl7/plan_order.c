/* SPDX-License-Identifier: MIT */
/* Orders (IHE RAD-4, RAD-13) and appointments (IHE RAD-48) as entries of the worklist. */
#include "dicom/tag.h"
#include "hl7/plan.h"
#include "hl7/value.h"

enum {
    STEP_SEQUENCE = 0x00400100,
    STEP_START_DATE = 0x00400002,
    STEP_START_TIME = 0x00400003,
    STEP_DESCRIPTION = 0x00400007,
    STEP_LOCATION = 0x00400011,
    PLACER_NUMBER = 0x00402016,
    FILLER_NUMBER = 0x00402017,
};

/* Table 0119. What we hear is what the order filler tells its image manager. */
static const struct {
    const char *code;
    enum hl7_control control;
} controls[] = {
    { "NW", HL7_NEW },         { "SN", HL7_NEW },         { "RO", HL7_NEW },
    { "XO", HL7_CHANGE },      { "XX", HL7_CHANGE },      { "RP", HL7_CHANGE },
    { "RU", HL7_CHANGE },      { "SC", HL7_STATUS },      { "CA", HL7_CANCEL },
    { "OC", HL7_CANCEL },      { "CR", HL7_CANCEL },      { "DC", HL7_DISCONTINUE },
    { "OD", HL7_DISCONTINUE }, { "DR", HL7_DISCONTINUE },
};

/* Table 0038, and of OBR-25 table 0123. */
static const struct {
    unsigned field;
    const char *code;
    enum hl7_control control;
    enum hl7_status status;
} statuses[] = {
    { 5, "SC", HL7_STATUS, HL7_SCHEDULED }, { 5, "IP", HL7_STATUS, HL7_STARTED },
    { 5, "CM", HL7_STATUS, HL7_COMPLETED }, { 5, "A", HL7_STATUS, HL7_COMPLETED },
    { 5, "CA", HL7_CANCEL, HL7_SCHEDULED }, { 5, "DC", HL7_DISCONTINUE, HL7_SCHEDULED },
    { 25, "O", HL7_STATUS, HL7_SCHEDULED }, { 25, "S", HL7_STATUS, HL7_SCHEDULED },
    { 25, "I", HL7_STATUS, HL7_STARTED },   { 25, "A", HL7_STATUS, HL7_COMPLETED },
    { 25, "P", HL7_STATUS, HL7_COMPLETED }, { 25, "R", HL7_STATUS, HL7_COMPLETED },
    { 25, "F", HL7_STATUS, HL7_COMPLETED }, { 25, "C", HL7_STATUS, HL7_COMPLETED },
    { 25, "X", HL7_CANCEL, HL7_SCHEDULED },
};

/* One ORC with what follows it, or a further OBR of it. */
struct group {
    const struct hl7_segment *orc;
    const struct hl7_segment *obr; /* NULL: none */
    struct hl7_scope scope;
    enum hl7_control control;
    enum hl7_status status;
    char placer[HL7_NUMBER_SIZE];
    char filler[HL7_NUMBER_SIZE];
};

static bool find_status(const struct hl7_planner *planner, struct group *group)
{
    const struct hl7_message *message = planner->message;
    unsigned field = hl7_value(message, group->orc, 5, 1).size ? 5 : 25;
    const struct hl7_segment *segment = field == 5 ? group->orc : group->obr;
    struct slice code = hl7_value(message, segment, field, 1);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].field == field && slice_equals_text(code, statuses[i].code)) {
            group->control = statuses[i].control;
            group->status = statuses[i].status;
            return true;
        }
    if (!code.size)
        return hl7_fault_set(planner->fault, HL7_FIELD_MISSING, "ORC", group->orc->sequence, 5,
                             "ORC-5: a status is told, and none is there");
    return hl7_fault_set(planner->fault, HL7_VALUE_NOT_FOUND, segment->name, segment->sequence,
                         field, "%s-%u: no status that is followed here", segment->name, field);
}

static bool find_control(const struct hl7_planner *planner, struct group *group)
{
    struct slice code = hl7_value(planner->message, group->orc, 1, 1);
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
        if (slice_equals_text(code, controls[i].code)) {
            group->control = controls[i].control;
            return group->control != HL7_STATUS || find_status(planner, group);
        }
    return hl7_fault_set(planner->fault, code.size ? HL7_VALUE_NOT_FOUND : HL7_FIELD_MISSING, "ORC",
                         group->orc->sequence, 1,
                         code.size ? "ORC-1: no order control that is followed here"
                                   : "ORC-1: the order control is missing");
}

/* The number of ORC, else that of OBR. */
static bool find_number(const struct hl7_planner *planner, const struct group *group,
                        unsigned field, char number[HL7_NUMBER_SIZE])
{
    if (!hl7_plan_number(planner, group->orc, field, number))
        return false;
    return number[0] || !group->obr || hl7_plan_number(planner, group->obr, field, number);
}

static bool is_known_by_entry(const struct draft *entry)
{
    return draft_get(entry, draft_at(TAG_ACCESSION_NUMBER)).size ||
           draft_get(entry, draft_at(TAG_STUDY_INSTANCE_UID)).size;
}

/* The action of this order: several ORC of one are one. */
static struct hl7_action *action_of(const struct hl7_planner *planner, const struct group *group)
{
    struct hl7_plan *plan = planner->plan;
    for (size_t i = 0; i < plan->count; i++) {
        struct hl7_action *action = &plan->actions[i];
        if (action->kind == HL7_DO_ORDER && action->control == group->control &&
            action->status == group->status && (group->placer[0] || group->filler[0]) &&
            !strcmp(action->placer, group->placer) && !strcmp(action->filler, group->filler))
            return action;
    }
    struct hl7_action *action = hl7_plan_add(plan, HL7_DO_ORDER, group->orc, planner->fault);
    if (action) {
        action->control = group->control;
        action->status = group->status;
        memcpy(action->placer, group->placer, sizeof(action->placer));
        memcpy(action->filler, group->filler, sizeof(action->filler));
    }
    return action;
}

static bool add_step(const struct hl7_planner *planner, const struct group *group,
                     const struct hl7_segment *ipc, const struct draft *patient,
                     struct hl7_action *action)
{
    struct hl7_scope scope = group->scope;
    struct draft *step = hl7_action_add_step(action);
    scope.ipc = ipc;
    if (!step)
        return hl7_fault_set(planner->fault, HL7_INTERNAL_ERROR, "ORC", group->orc->sequence, 0,
                             "more than %d steps in one order", HL7_MAX_STEPS);
    draft_merge(step, patient);
    if (!hl7_mapping_apply(planner->configuration->mapping, &scope,
                           HL7_LEVEL_ORDER | HL7_LEVEL_STEP, step, &planner->plan->notes,
                           planner->fault))
        return false;
    /* The item is there also when nothing is told of the step. */
    if (!draft_has(step, draft_in(STEP_SEQUENCE, 0, STEP_DESCRIPTION)) &&
        action->control == HL7_NEW)
        draft_set_text(step, draft_in(STEP_SEQUENCE, 0, STEP_DESCRIPTION), "");
    return true;
}

static bool check_new(const struct hl7_planner *planner, const struct group *group)
{
    if (group->control != HL7_NEW && group->control != HL7_CHANGE)
        return true;
    if (!group->obr)
        return hl7_fault_set(planner->fault, HL7_SEQUENCE_ERROR, "OBR", 1, 0,
                             "an order without OBR");
    struct slice procedure = hl7_value(planner->message, group->obr, 4, 0);
    return group->control != HL7_NEW || (procedure.size && !hl7_is_null(procedure)) ||
           hl7_fault_set(planner->fault, HL7_FIELD_MISSING, "OBR", group->obr->sequence, 4,
                         "OBR-4: the procedure is missing");
}

/* Whole orders are cancelled and followed by their numbers; steps that are named by an ID, or
 * orders that have no number of their own, by their entries. */
static bool is_entry_needed(const struct group *group, const struct draft *entry)
{
    return group->control == HL7_NEW || group->control == HL7_CHANGE ||
           (!group->placer[0] && !group->filler[0]) ||
           draft_get(entry, draft_in(STEP_SEQUENCE, 0, TAG_SCHEDULED_PROCEDURE_STEP_ID)).size;
}

static bool plan_group(const struct hl7_planner *planner, struct group *group,
                       const struct draft *patient)
{
    const struct hl7_message *message = planner->message;
    if (!find_control(planner, group) || !find_number(planner, group, 2, group->placer) ||
        !find_number(planner, group, 3, group->filler) || !check_new(planner, group))
        return false;
    struct hl7_action *action = action_of(planner, group);
    size_t steps = 0;
    for (size_t i = group->scope.begin; action && i < group->scope.end; i++)
        if (hl7_is_segment(&message->segments[i], "IPC")) {
            steps++;
            if (!add_step(planner, group, &message->segments[i], patient, action))
                return false;
        }
    if (!action || (!steps && !add_step(planner, group, NULL, patient, action)))
        return false;
    struct draft *last = &action->steps[action->step_count - 1];
    if (!group->placer[0] && !group->filler[0] && !is_known_by_entry(last))
        return hl7_fault_set(planner->fault, HL7_FIELD_MISSING, "ORC", group->orc->sequence, 2,
                             "ORC-2: an order without a number");
    if (!is_entry_needed(group, last))
        draft_release(&action->steps[--action->step_count]);
    return true;
}

/* Where the group that begins at a segment ends: at the next ORC, or an OBR that is not its first.
 */
static size_t end_of_group(const struct hl7_message *message, size_t begin,
                           const struct hl7_segment **obr)
{
    size_t i = begin;
    *obr = NULL;
    for (; i < message->count; i++) {
        const struct hl7_segment *segment = &message->segments[i];
        if (i > begin && hl7_is_segment(segment, "ORC"))
            break;
        if (!hl7_is_segment(segment, "OBR"))
            continue;
        if (*obr)
            break;
        *obr = segment;
    }
    return i;
}

bool hl7_plan_orders(const struct hl7_planner *planner)
{
    const struct hl7_message *message = planner->message;
    const struct hl7_segment *orc = hl7_find(message, "ORC", NULL);
    const struct hl7_segment *pid = hl7_find(message, "PID", NULL);
    struct draft patient = draft_init();
    struct hl7_person person;
    bool ok = true;
    if (!pid || !orc)
        ok = hl7_fault_set(planner->fault, HL7_SEQUENCE_ERROR, pid ? "ORC" : "PID", 1, 0,
                           "the segment %s is missing", pid ? "ORC" : "PID");
    struct slice control = hl7_value(message, orc, 1, 1);
    bool is_new = slice_equals_text(control, "NW") || slice_equals_text(control, "XO");
    ok = ok && hl7_plan_patient(planner, pid, is_new, &patient, &person);
    for (size_t i = ok ? (size_t)(orc - message->segments) : message->count;
         ok && i < message->count;) {
        struct group group = { .orc = orc };
        group.scope = (struct hl7_scope){ .message = message, .begin = i, .orc = orc };
        group.scope.end = i = end_of_group(message, i, &group.obr);
        ok = plan_group(planner, &group, &patient);
        if (i < message->count && hl7_is_segment(&message->segments[i], "ORC"))
            orc = &message->segments[i];
    }
    for (size_t i = 0; ok && i < planner->plan->count; i++)
        planner->plan->actions[i].person = person;
    draft_release(&patient);
    return ok;
}

/* Appointments. */

static void set_in_step(const struct hl7_planner *planner, struct draft *step, uint32_t tag,
                        struct slice raw)
{
    struct buffer text = buffer_up_to(64 << 10);
    struct buffer value = buffer_up_to(64 << 10);
    hl7_unescape(planner->message, raw, &text);
    if (text.size && hl7_fit(dictionary_vr(tag), buffer_slice(&text), &value) != HL7_WRONG &&
        value.size)
        draft_set(step, draft_in(STEP_SEQUENCE, 0, tag), buffer_slice(&value));
    buffer_release(&text);
    buffer_release(&value);
}

static void set_number(struct draft *step, uint32_t tag, const char *number)
{
    struct buffer value = buffer_up_to(1024);
    size_t size = strcspn(number, "^");
    if (size && hl7_fit(VR_LO, slice_of(number, size), &value) == HL7_FITS)
        draft_set(step, draft_at(tag), buffer_slice(&value));
    buffer_release(&value);
}

/* The start: of the first service, else of the appointment (HL7 v2.5.1 10.6.1.11, 10.6.3.4). */
static struct slice start_of(const struct hl7_planner *planner, const struct hl7_segment *schedule)
{
    const struct hl7_message *message = planner->message;
    struct slice start = hl7_value(message, hl7_find(message, "AIS", NULL), 4, 1);
    if (!start.size)
        start = hl7_value(message, hl7_find(message, "TQ1", NULL), 7, 1);
    return start.size ? start : hl7_value(message, schedule, 11, 4);
}

static bool fill_appointment(const struct hl7_planner *planner, const struct hl7_segment *schedule,
                             struct hl7_action *action, struct draft *step)
{
    const struct hl7_message *message = planner->message;
    const struct hl7_segment *service = hl7_find(message, "AIS", NULL);
    const struct hl7_segment *place = hl7_find(message, "AIL", NULL);
    const struct hl7_scope scope = { .message = message };
    struct slice start = start_of(planner, schedule);
    struct slice code = hl7_value(message, service, 3, 1);
    struct slice name = hl7_value(message, service, 3, 2);
    int64_t instant;
    if (start.size && !hl7_instant(start, &instant))
        return hl7_fault_set(planner->fault, HL7_DATA_TYPE, service ? "AIS" : "SCH", 1,
                             service ? 4 : 11, "the start is no time");
    if (!start.size && action->control != HL7_CANCEL)
        return hl7_fault_set(planner->fault, HL7_FIELD_MISSING, "AIS", 1, 4,
                             "AIS-4, SCH-11: the start is missing");
    /* What the site maps comes first. */
    if (!hl7_mapping_apply(planner->configuration->mapping, &scope,
                           HL7_LEVEL_ORDER | HL7_LEVEL_STEP, step, &planner->plan->notes,
                           planner->fault))
        return false;
    set_in_step(planner, step, STEP_START_DATE, start);
    set_in_step(planner, step, STEP_START_TIME, start);
    set_in_step(planner, step, STEP_DESCRIPTION, name.size ? name : code);
    set_in_step(planner, step, STEP_LOCATION, hl7_value(message, place, 3, 1));
    set_number(step, PLACER_NUMBER, action->placer);
    set_number(step, FILLER_NUMBER, action->filler);
    if (!draft_has(step, draft_in(STEP_SEQUENCE, 0, STEP_START_DATE)))
        draft_set_text(step, draft_in(STEP_SEQUENCE, 0, STEP_DESCRIPTION), "");
    return true;
}

bool hl7_plan_appointment(const struct hl7_planner *planner)
{
    const struct hl7_message *message = planner->message;
    const char *event = hl7_type_event(planner->type);
    const struct hl7_segment *schedule = hl7_find(message, "SCH", NULL);
    const struct hl7_segment *pid = hl7_find(message, "PID", NULL);
    struct draft patient = draft_init();
    bool ok = false;
    if (!pid || !schedule) {
        hl7_fault_set(planner->fault, HL7_SEQUENCE_ERROR, schedule ? "PID" : "SCH", 1, 0,
                      "the segment %s is missing", schedule ? "PID" : "SCH");
        goto out;
    }
    struct hl7_action *action = hl7_plan_add(planner->plan, HL7_DO_ORDER, schedule, planner->fault);
    if (!action || !hl7_plan_number(planner, schedule, 26, action->placer) ||
        !hl7_plan_number(planner, schedule, 27, action->filler))
        goto out;
    /* A schedule without orders: the appointment stands for one. */
    if (!action->placer[0] && !action->filler[0] &&
        (!hl7_plan_number(planner, schedule, 1, action->placer) ||
         !hl7_plan_number(planner, schedule, 2, action->filler)))
        goto out;
    if (!action->placer[0] && !action->filler[0]) {
        hl7_fault_set(planner->fault, HL7_FIELD_MISSING, "SCH", 1, 26,
                      "SCH-26, SCH-27, SCH-1, SCH-2: nothing says which order it is");
        goto out;
    }
    action->control = !strcmp(event, "S12")   ? HL7_NEW
                      : !strcmp(event, "S15") ? HL7_CANCEL
                                              : HL7_CHANGE;
    if (!hl7_plan_patient(planner, pid, action->control == HL7_NEW, &patient, &action->person))
        goto out;
    ok = true;
    if (action->control != HL7_CANCEL) {
        struct draft *step = hl7_action_add_step(action);
        draft_merge(step, &patient);
        ok = fill_appointment(planner, schedule, action, step);
    }
out:
    draft_release(&patient);
    return ok;
}
