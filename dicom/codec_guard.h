/* SPDX-License-Identifier: MIT */
#pragma once
/* Decoders of other people hold assertions that the bytes of a peer can break, and distributions
 * build them in. Inside the guard a failed assertion is an error of the frame; anywhere else it
 * ends the process as ever. Thread-safe. */

#include <stdbool.h>

/* Calls work(context). False when an assertion failed in it: then its frames are gone without
 * having been unwound, so what it has opened must be reachable from `context`; what a library held
 * in its own frames only is lost (OpenJPEG: some hundred bytes). Not to be nested; for C only. */
bool guard_run(void (*work)(void *context), void *context);
