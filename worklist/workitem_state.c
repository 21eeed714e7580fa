/* SPDX-License-Identifier: MIT */
#include "worklist/workitem_state.h"

#include <string.h>

static const char *const state_texts[WORKITEM_STATES] = {
    [WORKITEM_NONE] = "",
    [WORKITEM_SCHEDULED] = "SCHEDULED",
    [WORKITEM_IN_PROGRESS] = "IN PROGRESS",
    [WORKITEM_COMPLETED] = "COMPLETED",
    [WORKITEM_CANCELED] = "CANCELED",
    [WORKITEM_GONE] = "",
};

const char *workitem_state_text(enum workitem_state state)
{
    return state_texts[state];
}

bool workitem_state_find(struct slice text, enum workitem_state *state)
{
    for (enum workitem_state i = WORKITEM_SCHEDULED; i <= WORKITEM_CANCELED; i++) {
        if (!slice_equal(text, slice_text(state_texts[i])))
            continue;
        *state = i;
        return true;
    }
    return false;
}

const char *workitem_code_text(uint16_t code)
{
    static const struct {
        uint16_t code;
        const char *text;
    } texts[] = {
        { WORKITEM_ATTRIBUTES_IGNORED, "Requested optional Attributes are not supported" },
        { WORKITEM_NOT_TO_BE_SET, "An attribute cannot be set, or not to this value" },
        { WORKITEM_DUPLICATE, "SOP Instance UID exists already" },
        { WORKITEM_ATTRIBUTE_MISSING, "A required attribute is missing" },
        { WORKITEM_VALUE_MISSING, "A required attribute has no value" },
        { WORKITEM_CREATED_MODIFIED, "The UPS was created with modifications" },
        { WORKITEM_LOCK_NOT_GRANTED, "Deletion Lock not granted" },
        { WORKITEM_IS_CANCELED, "The UPS is already in the requested state of CANCELED" },
        { WORKITEM_COERCED, "Coerced invalid values to valid values" },
        { WORKITEM_IS_COMPLETED, "The UPS is already in the requested state of COMPLETED" },
        { WORKITEM_FINAL, "The UPS may no longer be updated" },
        { WORKITEM_WRONG_LOCK, "The correct Transaction UID was not provided" },
        { WORKITEM_IN_PROGRESS_ALREADY, "The UPS is already IN PROGRESS" },
        { WORKITEM_NOT_TO_SCHEDULED, "The UPS may only become SCHEDULED via N-CREATE" },
        { WORKITEM_NOT_READY, "Final state requirements are not met" },
        { WORKITEM_UNKNOWN, "No such UPS" },
        { WORKITEM_RECEIVER_UNKNOWN, "Receiving AE-TITLE is Unknown to this SCP" },
        { WORKITEM_NOT_SCHEDULED, "The provided value of UPS State was not SCHEDULED" },
        { WORKITEM_NOT_STARTED, "The UPS is not yet in the IN PROGRESS state" },
        { WORKITEM_COMPLETED_ALREADY, "The UPS is already COMPLETED" },
        { WORKITEM_PERFORMER_UNREACHABLE, "The performer cannot be contacted" },
        { WORKITEM_PERFORMER_REFUSES, "Performer chooses not to cancel" },
        { WORKITEM_WRONG_ACTION, "Specified action not appropriate for specified instance" },
        { WORKITEM_NO_EVENTS, "SCP does not support Event Reports" },
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].code == code)
            return texts[i].text;
    return "";
}

/* One cell of the table: what is done without the lock, with one, and with the right one. A code of
 * 0 goes on to `next`. */
struct cell {
    uint16_t codes[3]; /* by enum workitem_lock */
    enum workitem_state next;
};
#define ALWAYS(code)                                                                               \
    {                                                                                              \
        (code), (code), (code)                                                                     \
    }
/* Nothing is done: the state stays. */
#define REFUSED(code)                                                                              \
    {                                                                                              \
        ALWAYS(code), WORKITEM_NONE                                                                \
    }

/* Items that were deleted are as unknown as those that never were; but their UIDs are taken. */
static const struct cell cells[WORKITEM_OPERATIONS][WORKITEM_STATES] = {
    [WORKITEM_CREATE] = {
        [WORKITEM_NONE] = { ALWAYS(WORKITEM_OK), WORKITEM_SCHEDULED },
        [WORKITEM_SCHEDULED] = REFUSED(WORKITEM_DUPLICATE),
        [WORKITEM_IN_PROGRESS] = REFUSED(WORKITEM_DUPLICATE),
        [WORKITEM_COMPLETED] = REFUSED(WORKITEM_DUPLICATE),
        [WORKITEM_CANCELED] = REFUSED(WORKITEM_DUPLICATE),
        [WORKITEM_GONE] = REFUSED(WORKITEM_DUPLICATE),
    },
    [WORKITEM_SET] = {
        [WORKITEM_NONE] = REFUSED(WORKITEM_UNKNOWN),
        [WORKITEM_SCHEDULED] = { ALWAYS(WORKITEM_OK), WORKITEM_SCHEDULED },
        [WORKITEM_IN_PROGRESS] = { { WORKITEM_WRONG_LOCK, WORKITEM_WRONG_LOCK, WORKITEM_OK },
                                   WORKITEM_IN_PROGRESS },
        [WORKITEM_COMPLETED] = REFUSED(WORKITEM_FINAL),
        [WORKITEM_CANCELED] = REFUSED(WORKITEM_FINAL),
        [WORKITEM_GONE] = REFUSED(WORKITEM_UNKNOWN),
    },
    /* The UID of a claim is the claimant's own choice: any will do for an item without one. */
    [WORKITEM_CLAIM] = {
        [WORKITEM_NONE] = REFUSED(WORKITEM_UNKNOWN),
        [WORKITEM_SCHEDULED] = { { WORKITEM_WRONG_LOCK, WORKITEM_OK, WORKITEM_OK },
                                 WORKITEM_IN_PROGRESS },
        [WORKITEM_IN_PROGRESS] = { { WORKITEM_WRONG_LOCK, WORKITEM_WRONG_LOCK,
                                     WORKITEM_IN_PROGRESS_ALREADY },
                                   WORKITEM_NONE },
        [WORKITEM_COMPLETED] = { { WORKITEM_WRONG_LOCK, WORKITEM_FINAL, WORKITEM_FINAL },
                                 WORKITEM_NONE },
        [WORKITEM_CANCELED] = { { WORKITEM_WRONG_LOCK, WORKITEM_FINAL, WORKITEM_FINAL },
                                WORKITEM_NONE },
        [WORKITEM_GONE] = REFUSED(WORKITEM_UNKNOWN),
    },
    [WORKITEM_UNCLAIM] = {
        [WORKITEM_NONE] = REFUSED(WORKITEM_UNKNOWN),
        [WORKITEM_SCHEDULED] = REFUSED(WORKITEM_NOT_TO_SCHEDULED),
        [WORKITEM_IN_PROGRESS] = REFUSED(WORKITEM_NOT_TO_SCHEDULED),
        [WORKITEM_COMPLETED] = REFUSED(WORKITEM_NOT_TO_SCHEDULED),
        [WORKITEM_CANCELED] = REFUSED(WORKITEM_NOT_TO_SCHEDULED),
        [WORKITEM_GONE] = REFUSED(WORKITEM_UNKNOWN),
    },
    [WORKITEM_COMPLETE] = {
        [WORKITEM_NONE] = REFUSED(WORKITEM_UNKNOWN),
        [WORKITEM_SCHEDULED] = { { WORKITEM_WRONG_LOCK, WORKITEM_NOT_STARTED,
                                   WORKITEM_NOT_STARTED },
                                 WORKITEM_NONE },
        [WORKITEM_IN_PROGRESS] = { { WORKITEM_WRONG_LOCK, WORKITEM_WRONG_LOCK, WORKITEM_OK },
                                   WORKITEM_COMPLETED },
        [WORKITEM_COMPLETED] = { { WORKITEM_WRONG_LOCK, WORKITEM_WRONG_LOCK,
                                   WORKITEM_IS_COMPLETED },
                                 WORKITEM_NONE },
        [WORKITEM_CANCELED] = { { WORKITEM_WRONG_LOCK, WORKITEM_WRONG_LOCK, WORKITEM_FINAL },
                                WORKITEM_NONE },
        [WORKITEM_GONE] = REFUSED(WORKITEM_UNKNOWN),
    },
    [WORKITEM_CANCEL] = {
        [WORKITEM_NONE] = REFUSED(WORKITEM_UNKNOWN),
        [WORKITEM_SCHEDULED] = { { WORKITEM_WRONG_LOCK, WORKITEM_NOT_STARTED,
                                   WORKITEM_NOT_STARTED },
                                 WORKITEM_NONE },
        [WORKITEM_IN_PROGRESS] = { { WORKITEM_WRONG_LOCK, WORKITEM_WRONG_LOCK, WORKITEM_OK },
                                   WORKITEM_CANCELED },
        [WORKITEM_COMPLETED] = { { WORKITEM_WRONG_LOCK, WORKITEM_WRONG_LOCK, WORKITEM_FINAL },
                                 WORKITEM_NONE },
        [WORKITEM_CANCELED] = { { WORKITEM_WRONG_LOCK, WORKITEM_WRONG_LOCK, WORKITEM_IS_CANCELED },
                                WORKITEM_NONE },
        [WORKITEM_GONE] = REFUSED(WORKITEM_UNKNOWN),
    },
    [WORKITEM_REQUEST_CANCEL] = {
        [WORKITEM_NONE] = REFUSED(WORKITEM_UNKNOWN),
        [WORKITEM_SCHEDULED] = { ALWAYS(WORKITEM_OK), WORKITEM_CANCELED },
        [WORKITEM_IN_PROGRESS] = { ALWAYS(WORKITEM_OK), WORKITEM_IN_PROGRESS },
        [WORKITEM_COMPLETED] = REFUSED(WORKITEM_COMPLETED_ALREADY),
        [WORKITEM_CANCELED] = REFUSED(WORKITEM_IS_CANCELED),
        [WORKITEM_GONE] = REFUSED(WORKITEM_UNKNOWN),
    },
};

struct workitem_step workitem_step(enum workitem_state state, enum workitem_operation operation,
                                   enum workitem_lock lock)
{
    const struct cell *cell = &cells[operation][state];
    struct workitem_step step = { .code = cell->codes[lock], .next = state };
    if (step.code != WORKITEM_OK)
        return step;
    step.next = cell->next;
    if (operation == WORKITEM_REQUEST_CANCEL) {
        step.by_us = state == WORKITEM_SCHEDULED;
        step.tell_performer = state == WORKITEM_IN_PROGRESS;
    }
    return step;
}
