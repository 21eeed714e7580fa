/* SPDX-License-Identifier: MIT */
#pragma once
/* The state machine of a unified procedure step (PS3.4 CC.1.1, table CC.1.1-2): a pure function of
 * the state, what is asked, and the lock that comes with it. Immutable, thread-safe. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* (0074,1000), and what object.state of a work item is. */
enum workitem_state {
    WORKITEM_NONE, /* there is no such item */
    WORKITEM_SCHEDULED,
    WORKITEM_IN_PROGRESS,
    WORKITEM_COMPLETED,
    WORKITEM_CANCELED,
    WORKITEM_GONE, /* it was deleted: that is all that is known of it any more */
};
enum { WORKITEM_STATES = WORKITEM_GONE + 1 };

const char *workitem_state_text(enum workitem_state state); /* "SCHEDULED" ...; "" for the others */
/* "SCHEDULED" ... "CANCELED"; no other text. */
bool workitem_state_find(struct slice text, enum workitem_state *state);

enum workitem_operation {
    WORKITEM_CREATE,
    WORKITEM_SET,            /* N-SET */
    WORKITEM_CLAIM,          /* change state to IN PROGRESS */
    WORKITEM_UNCLAIM,        /* to SCHEDULED */
    WORKITEM_COMPLETE,       /* to COMPLETED */
    WORKITEM_CANCEL,         /* to CANCELED */
    WORKITEM_REQUEST_CANCEL, /* by who does not perform it */
};
enum { WORKITEM_OPERATIONS = WORKITEM_REQUEST_CANCEL + 1 };

/* The Transaction UID that came with it. */
enum workitem_lock {
    LOCK_MISSING, /* none, or no UID */
    LOCK_OTHER,   /* one, and not that of the item (an item that nobody has claimed has none) */
    LOCK_HELD,    /* that of the item */
};

/* Statuses of the service class (PS3.4 CC.2.1.3 to CC.2.7.3), and of PS3.7 where it says so. */
enum workitem_code {
    WORKITEM_OK = 0x0000,
    WORKITEM_ATTRIBUTES_IGNORED = 0x0001, /* done, without those that are not supported */
    WORKITEM_NOT_TO_BE_SET = 0x0106,      /* invalid attribute value */
    WORKITEM_DUPLICATE = 0x0111,
    WORKITEM_ATTRIBUTE_MISSING = 0x0120,
    WORKITEM_VALUE_MISSING = 0x0121,
    WORKITEM_CREATED_MODIFIED = 0xB300,
    WORKITEM_LOCK_NOT_GRANTED = 0xB301, /* subscribed, without the deletion lock */
    WORKITEM_IS_CANCELED = 0xB304,
    WORKITEM_COERCED = 0xB305,
    WORKITEM_IS_COMPLETED = 0xB306,
    WORKITEM_FINAL = 0xC300, /* no longer to be updated */
    WORKITEM_WRONG_LOCK = 0xC301,
    WORKITEM_IN_PROGRESS_ALREADY = 0xC302,
    WORKITEM_NOT_TO_SCHEDULED = 0xC303, /* only N-CREATE does that */
    WORKITEM_NOT_READY = 0xC304,        /* requirements of the final state are not met */
    WORKITEM_UNKNOWN = 0xC307,
    WORKITEM_RECEIVER_UNKNOWN = 0xC308,
    WORKITEM_NOT_SCHEDULED = 0xC309, /* N-CREATE with another state */
    WORKITEM_NOT_STARTED = 0xC310,
    WORKITEM_COMPLETED_ALREADY = 0xC311,
    WORKITEM_PERFORMER_UNREACHABLE = 0xC312,
    WORKITEM_PERFORMER_REFUSES = 0xC313,
    WORKITEM_WRONG_ACTION = 0xC314, /* not for this instance */
    WORKITEM_NO_EVENTS = 0xC315,
};
/* What it says to people, as PS3.4 has it. */
const char *workitem_code_text(uint16_t code);
static inline bool workitem_code_is_failure(uint16_t code)
{
    return code != WORKITEM_OK && code != WORKITEM_ATTRIBUTES_IGNORED && code >> 12 != 0xB;
}

struct workitem_step {
    uint16_t code;            /* enum workitem_code */
    enum workitem_state next; /* as it was when the code says that nothing is done */
    /* Of a request to cancel: the item is claimed and cancelled by us, in these two steps (PS3.4
     * CC.2.2.3); or who performs it is told. */
    bool by_us;
    bool tell_performer;
};

/* Requirements of a final state are the caller's to check, after this has said that it may be. */
struct workitem_step workitem_step(enum workitem_state state, enum workitem_operation operation,
                                   enum workitem_lock lock);
