/* SPDX-License-Identifier: MIT */
#pragma once
/* Points at which a test may make things go wrong. HOUNSFIELD_FAULT=name:count in the environment
 * raises SIGKILL at the count-th passing of FAULT_POINT(name) (the first when there is no count).
 * HOUNSFIELD_FAULT=name:count:errno:times makes FAULT_ERRNO(name) true, with errno set, from the
 * count-th passing on, `times` times (once when it is left out, 0: for good); the errno is given by
 * its name, as ENOSPC. Without HOUNSFIELD_FAULTS all of it compiles to nothing. Thread-safe. */

#include <stdbool.h>

#ifdef HOUNSFIELD_FAULTS
void fault_point(const char *name);
bool fault_errno(const char *name);
/* In place of the environment; NULL: nothing goes wrong. Counting begins anew. */
void fault_set(const char *fault);
/* The next passing of FAULT_POINT(name) calls it once: what comes in between just there. */
void fault_set_call(const char *name, void (*call)(void *context), void *context);
#define FAULT_POINT(name) fault_point(name)
#define FAULT_ERRNO(name) fault_errno(name)
#else
#define FAULT_POINT(name) ((void)0)
#define FAULT_ERRNO(name) false
#endif
