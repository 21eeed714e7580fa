/* SPDX-License-Identifier: MIT */
#pragma once
/* What a message would do: its actions with the data sets that they carry, made of the message and
 * the settings alone. Pure; hl7/perform.h does it. */

#include "hl7/configuration.h"
#include "hl7/person.h"

enum {
    HL7_MAX_ACTIONS = 64,
    HL7_MAX_STEPS = 64, /* of one order */
    HL7_NUMBER_SIZE = 201,
};

enum hl7_action_kind {
    HL7_DO_ORDER,
    HL7_DO_PATIENT,
    HL7_DO_MERGE,
    HL7_DO_UNMERGE,
    HL7_DO_REPORT,
};

enum hl7_control { HL7_NEW, HL7_CHANGE, HL7_STATUS, HL7_CANCEL, HL7_DISCONTINUE };
enum hl7_status { HL7_SCHEDULED, HL7_STARTED, HL7_COMPLETED };

struct hl7_action {
    enum hl7_action_kind kind;
    char segment[4]; /* that faults of it are told at, and which one */
    unsigned sequence;

    struct hl7_person person; /* of a merge: who survives */
    struct hl7_person gone;   /* of a merge, or its undoing */
    struct draft patient;     /* demographics and visit */

    /* Orders. */
    enum hl7_control control;
    enum hl7_status status;
    char placer[HL7_NUMBER_SIZE]; /* "number^namespace", as it is told */
    char filler[HL7_NUMBER_SIZE];
    struct draft *steps; /* entries of the worklist */
    size_t step_count;

    /* Reports: `steps` has one data set, the instance without study, series and SOP Instance UID;
     * these come of who has the order or the images. */
    const char *sop_class;
    struct slice document; /* of an encapsulated one: base64, escapes still in it */
};

struct hl7_plan {
    struct hl7_action *actions; /* HL7_MAX_ACTIONS at most */
    size_t count;
    int64_t message_us; /* when it was so: EVN-2 when that is before MSH-7, else MSH-7 */
    struct hl7_notes notes;
};

/* NULL when nothing is done here with such a message. */
struct hl7_type;
const struct hl7_type *hl7_type_find(struct slice code, struct slice event);
/* Is there any event of this message code? */
bool hl7_type_is_known(struct slice code);
const char *hl7_type_code(const struct hl7_type *type);
const char *hl7_type_event(const struct hl7_type *type);
const char *hl7_type_effect(const struct hl7_type *type); /* in words */
const struct hl7_type *hl7_type_at(size_t index);         /* NULL: no more */

/* `now_us` is for messages without a time, or of a time to come. False with a fault. */
bool hl7_plan_make(const struct hl7_configuration *configuration, const struct hl7_type *type,
                   const struct hl7_message *message, int64_t now_us, struct hl7_plan **out,
                   struct hl7_fault *fault);
void hl7_plan_free(struct hl7_plan *plan);

/* The next action, NULL with a fault when there are too many. Pointers to others end. */
struct hl7_action *hl7_plan_add(struct hl7_plan *plan, enum hl7_action_kind kind,
                                const struct hl7_segment *segment, struct hl7_fault *fault);
struct draft *hl7_action_add_step(struct hl7_action *action); /* NULL: too many */

/* What the plans of all types are made with. */
struct hl7_planner {
    const struct hl7_configuration *configuration;
    const struct hl7_message *message;
    const struct hl7_type *type;
    struct hl7_plan *plan;
    struct hl7_fault *fault;
};
/* The patient of a message: PID must be there, with an ID, and a name if `is_named`. */
bool hl7_plan_patient(const struct hl7_planner *planner, const struct hl7_segment *pid,
                      bool is_named, struct draft *draft, struct hl7_person *person);
/* Entity identifiers (EI) as they are kept: "number^namespace". Empty when there is none. */
bool hl7_plan_number(const struct hl7_planner *planner, const struct hl7_segment *segment,
                     unsigned field, char number[HL7_NUMBER_SIZE]);
bool hl7_plan_orders(const struct hl7_planner *planner);      /* ORM^O01, OMG^O19, OMI^O23 */
bool hl7_plan_appointment(const struct hl7_planner *planner); /* SIU */
bool hl7_plan_reports(const struct hl7_planner *planner);     /* ORU^R01 */
