/* SPDX-License-Identifier: MIT */
#include "dicomweb/hearing.h"

#include "tests/test.h"

TEST(HOS_44_who_came_last_hears_whichever_of_them_begins_first)
{
    struct hearings *hearings = hearings_new();
    struct hearing *older = NULL, *newer = NULL, *other = NULL;
    struct error err = { 0 };
    CHECK_OK(hearing_open(hearings, 1, "VIEWER", &older, &err), err);
    CHECK_OK(hearing_open(hearings, 1, "OTHER", &other, &err), err);
    CHECK_OK(hearing_wait(other, &err), err);
    CHECK(!hearing_is_replaced(older));
    CHECK_OK(hearing_open(hearings, 2, "VIEWER", &newer, &err), err);
    CHECK(hearing_is_replaced(older));
    CHECK_OK(hearing_wait(older, &err), err); /* begins only now */
    CHECK(!hearing_is_replaced(newer));
    hearing_close(older);
    CHECK_OK(hearing_wait(newer, &err), err);
    CHECK(!hearing_is_replaced(newer) && !hearing_is_replaced(other));
    hearing_close(newer);
    hearing_close(other);
    hearings_free(hearings);
}
