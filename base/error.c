/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts an overlong text at the start of a UTF-8 character. */
static void cut_at_character(char *text, size_t size)
{
    size_t length = strlen(text);
    if (length + 1 < size)
        return;
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start > 0 && ((unsigned char)text[start - 1] & 0x80))
        text[start - 1] = '\0';
}

static void set(struct error *err, enum error_code code, uint32_t tag, const char *format,
                va_list arguments)
{
    if (!err)
        return;
    err->code = code;
    err->tag = tag;
    vsnprintf(err->message, sizeof(err->message), format, arguments);
    cut_at_character(err->message, sizeof(err->message));
}

bool error_set(struct error *err, enum error_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set(err, code, 0, format, arguments);
    va_end(arguments);
    return false;
}

bool error_set_tag(struct error *err, enum error_code code, uint32_t tag, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set(err, code, tag, format, arguments);
    va_end(arguments);
    return false;
}

bool error_set_errno(struct error *err, int errno_value, const char *format, ...)
{
    char what[192];
    char reason[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    bool full = errno_value == ENOSPC || errno_value == EDQUOT;
    return error_set(err, full ? ERROR_NO_SPACE : ERROR_IO, "%s: %s", what,
                     strerror_r(errno_value, reason, sizeof(reason)));
}

bool error_add_context(struct error *err, const char *format, ...)
{
    if (!err)
        return false;
    char context[128];
    char message[sizeof(err->message)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context, sizeof(context), format, arguments);
    va_end(arguments);
    memcpy(message, err->message, sizeof(message));
    if (snprintf(err->message, sizeof(err->message), "%s: %s", context, message) >=
        (int)sizeof(err->message))
        cut_at_character(err->message, sizeof(err->message));
    return false;
}

const char *error_name(enum error_code code)
{
    static const char *const names[] = {
        [ERROR_NONE] = "none",
        [ERROR_INVALID] = "invalid",
        [ERROR_MISMATCH] = "mismatch",
        [ERROR_UNSUPPORTED] = "unsupported",
        [ERROR_NOT_FOUND] = "not-found",
        [ERROR_GONE] = "gone",
        [ERROR_CONFLICT] = "conflict",
        [ERROR_LIMIT] = "limit",
        [ERROR_NO_SPACE] = "no-space",
        [ERROR_BUSY] = "busy",
        [ERROR_IO] = "io",
        [ERROR_CORRUPT] = "corrupt",
        [ERROR_TIMEOUT] = "timeout",
        [ERROR_CLOSED] = "closed",
        [ERROR_STOPPED] = "stopped",
    };
    return (size_t)code < sizeof(names) / sizeof(names[0]) ? names[code] : "unknown";
}
