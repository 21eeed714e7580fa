/* SPDX-License-Identifier: MIT */
#include "dicom/codec_guard.h"

#undef NDEBUG /* <assert.h> declares __assert_fail only where assertions are on */
#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local jmp_buf *guard; /* of this thread; NULL outside */

/* What assert() calls in glibc. The program's own definition takes precedence over the C library's
 * in all libraries that it is linked with (ELF symbol interposition). */
void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
    if (guard)
        longjmp(*guard, 1);
    fprintf(stderr, "%s:%u: %s: assertion failed: %s\n", file, line, function, assertion);
    abort();
}

bool guard_run(void (*work)(void *context), void *context)
{
    jmp_buf here;
    if (setjmp(here)) {
        guard = NULL;
        return false;
    }
    guard = &here;
    work(context);
    guard = NULL;
    return true;
}
