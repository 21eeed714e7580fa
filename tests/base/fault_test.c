/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#include <errno.h>

#include "tests/test.h"

#ifdef HOUNSFIELD_FAULTS

static int failures(const char *name, int passings)
{
    int failed = 0;
    for (int i = 0; i < passings; i++)
        failed += FAULT_ERRNO(name);
    return failed;
}

TEST(fault_is_seen_from_the_passing_on_that_was_asked_for_and_as_often)
{
    fault_set("here:3:ENOSPC:2");
    CHECK_INT(failures("there", 10), 0);
    CHECK_INT(failures("here", 2), 0);
    errno = 0;
    CHECK(FAULT_ERRNO("here"));
    CHECK_INT(errno, ENOSPC);
    CHECK_INT(failures("here", 10), 1);
    fault_set("here:2:EIO:0");
    CHECK_INT(failures("here", 10), 9);
    fault_set("here");
    CHECK_INT(failures("here", 10), 1);
    CHECK_INT(errno, EIO);
    fault_set(NULL);
    CHECK_INT(failures("here", 10), 0);
}

static void count_call(void *context)
{
    ++*(int *)context;
}

TEST(fault_call_comes_once_at_its_point_and_at_no_other)
{
    int calls = 0;
    fault_set_call("here", count_call, &calls);
    FAULT_POINT("there");
    CHECK_INT(calls, 0);
    FAULT_POINT("here");
    FAULT_POINT("here");
    CHECK_INT(calls, 1);
}

#else

TEST(faults_are_compiled_out)
{
    CHECK(!FAULT_ERRNO("here"));
}

#endif
