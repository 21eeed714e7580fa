/* SPDX-License-Identifier: MIT */
#pragma once
/* Points at which a crash test may kill the process. HOUNSFIELD_FAULT=name:count in the environment
 * raises SIGKILL at the count-th passing of the point of that name (the first when there is no
 * count). Without HOUNSFIELD_FAULTS the points compile to nothing. Thread-safe. */

#ifdef HOUNSFIELD_FAULTS
void fault_point(const char *name);
#define FAULT_POINT(name) fault_point(name)
#else
#define FAULT_POINT(name) ((void)0)
#endif
