/* SPDX-License-Identifier: MIT */
#include "worklist/workitem_state.h"

#include "tests/test.h"

enum { S = WORKITEM_SCHEDULED, P = WORKITEM_IN_PROGRESS, C = WORKITEM_COMPLETED };
enum { X = WORKITEM_CANCELED, SAME = -1 };

/* UPS-01, UPS-03, UPS-04, UPS-05, UPS-06: the table of PS3.4 CC.1.1, a row for each operation and
 * lock; columns are no item, SCHEDULED, IN PROGRESS, COMPLETED, CANCELED, deleted. */
static const struct {
    enum workitem_operation operation;
    enum workitem_lock lock;
    struct {
        uint16_t code;
        int next;
    } columns[WORKITEM_STATES];
} rows[] = {
    { WORKITEM_CREATE,
      LOCK_MISSING,
      { { 0, S },
        { 0x0111, SAME },
        { 0x0111, SAME },
        { 0x0111, SAME },
        { 0x0111, SAME },
        { 0x0111, SAME } } },
    { WORKITEM_SET,
      LOCK_MISSING,
      { { 0xC307, SAME },
        { 0, S },
        { 0xC301, SAME },
        { 0xC300, SAME },
        { 0xC300, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_SET,
      LOCK_OTHER,
      { { 0xC307, SAME },
        { 0, S },
        { 0xC301, SAME },
        { 0xC300, SAME },
        { 0xC300, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_SET,
      LOCK_HELD,
      { { 0xC307, SAME },
        { 0, S },
        { 0, P },
        { 0xC300, SAME },
        { 0xC300, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_CLAIM,
      LOCK_MISSING,
      { { 0xC307, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_CLAIM,
      LOCK_OTHER,
      { { 0xC307, SAME },
        { 0, P },
        { 0xC301, SAME },
        { 0xC300, SAME },
        { 0xC300, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_CLAIM,
      LOCK_HELD,
      { { 0xC307, SAME },
        { 0, P },
        { 0xC302, SAME },
        { 0xC300, SAME },
        { 0xC300, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_UNCLAIM,
      LOCK_MISSING,
      { { 0xC307, SAME },
        { 0xC303, SAME },
        { 0xC303, SAME },
        { 0xC303, SAME },
        { 0xC303, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_UNCLAIM,
      LOCK_HELD,
      { { 0xC307, SAME },
        { 0xC303, SAME },
        { 0xC303, SAME },
        { 0xC303, SAME },
        { 0xC303, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_COMPLETE,
      LOCK_MISSING,
      { { 0xC307, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_COMPLETE,
      LOCK_OTHER,
      { { 0xC307, SAME },
        { 0xC310, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_COMPLETE,
      LOCK_HELD,
      { { 0xC307, SAME },
        { 0xC310, SAME },
        { 0, C },
        { 0xB306, SAME },
        { 0xC300, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_CANCEL,
      LOCK_MISSING,
      { { 0xC307, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_CANCEL,
      LOCK_OTHER,
      { { 0xC307, SAME },
        { 0xC310, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC301, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_CANCEL,
      LOCK_HELD,
      { { 0xC307, SAME },
        { 0xC310, SAME },
        { 0, X },
        { 0xC300, SAME },
        { 0xB304, SAME },
        { 0xC307, SAME } } },
    { WORKITEM_REQUEST_CANCEL,
      LOCK_MISSING,
      { { 0xC307, SAME },
        { 0, X },
        { 0, P },
        { 0xC311, SAME },
        { 0xB304, SAME },
        { 0xC307, SAME } } },
};

TEST(each_row_of_the_table_of_states_is_as_the_standard_has_it)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (int state = WORKITEM_NONE; state < WORKITEM_STATES; state++) {
            struct workitem_step step = workitem_step((enum workitem_state)state, rows[i].operation,
                                                      rows[i].lock);
            int next = rows[i].columns[state].next;
            CHECK_INT(step.code, rows[i].columns[state].code);
            CHECK_INT(step.next, next == SAME ? state : next);
        }
}

TEST(a_request_to_cancel_is_carried_out_by_us_or_told_to_the_performer)
{
    struct workitem_step step = workitem_step(WORKITEM_SCHEDULED, WORKITEM_REQUEST_CANCEL,
                                              LOCK_MISSING);
    CHECK(step.by_us && !step.tell_performer);
    step = workitem_step(WORKITEM_IN_PROGRESS, WORKITEM_REQUEST_CANCEL, LOCK_MISSING);
    CHECK(!step.by_us && step.tell_performer);
    step = workitem_step(WORKITEM_COMPLETED, WORKITEM_REQUEST_CANCEL, LOCK_MISSING);
    CHECK(!step.by_us && !step.tell_performer);
}

TEST(states_have_their_names_and_no_others)
{
    enum workitem_state state = WORKITEM_NONE;
    CHECK(workitem_state_find(slice_text("IN PROGRESS"), &state));
    CHECK_INT(state, WORKITEM_IN_PROGRESS);
    CHECK(!workitem_state_find(slice_text(""), &state));
    CHECK(!workitem_state_find(slice_text("CANCELLED"), &state));
    CHECK(!workitem_state_find(slice_text("scheduled"), &state));
    CHECK_TEXT(workitem_state_text(WORKITEM_CANCELED), "CANCELED");
    CHECK(workitem_code_text(0xC312)[0] && workitem_code_is_failure(0xC312));
    CHECK(!workitem_code_is_failure(0xB304) && !workitem_code_is_failure(0));
}
