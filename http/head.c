/* SPDX-License-Identifier: MIT */
#include "http/head.h"

#include <string.h>

enum { LINE_END = 2 /* CR and LF */ };

/* As numbers: they are positions in one block of memory only if all is as it should be. */
static uintptr_t end_of(const char *text)
{
    return (uintptr_t)text + strlen(text) + LINE_END;
}

bool head_is_sound(const char *method, const char *version, size_t size,
                   const struct request *request)
{
    uintptr_t end = end_of(version);
    for (size_t i = 0; i < request->header_count; i++) {
        if ((uintptr_t)request->headers[i].name != end)
            return false;
        end = end_of(request->headers[i].value);
    }
    return end + LINE_END == (uintptr_t)method + size;
}
