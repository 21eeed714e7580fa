/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#ifdef HOUNSFIELD_FAULTS

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_long passed;

void fault_point(const char *name)
{
    const char *wanted = getenv("HOUNSFIELD_FAULT");
    if (!wanted)
        return;
    size_t size = strcspn(wanted, ":");
    if (strlen(name) != size || memcmp(wanted, name, size) != 0)
        return;
    long count = wanted[size] ? strtol(wanted + size + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&passed, 1) + 1 == count)
        raise(SIGKILL);
}

#else

/* An empty translation unit is not ISO C. */
extern int fault_points_are_compiled_out;

#endif
