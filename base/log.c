/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 1024, ID_SIZE = 80 };

#define LEVEL_AUDIT ((enum log_level)(LOG_LEVEL_DEBUG + 1))

static atomic_int highest_level = LOG_LEVEL_INFO;
static _Thread_local const char *request_id;

void log_set_level(enum log_level level)
{
    atomic_store(&highest_level, (int)level);
}

void log_set_request(const char *id)
{
    request_id = id;
}

/* Puts together what is logged, with another mark in the place of the quotes of the format. Only
 * these differ from the text as it is: whatever quote else is there came with a value. */
static void fill_marked(char text[LINE_SIZE], const char *format, va_list arguments)
{
    char marked[LINE_SIZE];
    va_list copy;
    size_t size = 0;
    for (; size < sizeof(marked) - 1 && format[size]; size++)
        marked[size] = format[size] == '"' ? '\'' : format[size];
    marked[size] = '\0';
    va_copy(copy, arguments);
    vsnprintf(text, LINE_SIZE, marked, copy);
    va_end(copy);
}

static size_t escape(char *out, const char *text, const char *other)
{
    size_t size = 0;
    for (size_t i = 0; text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        if (text[i] != other[i])
            out[size++] = '"';
        else if (c < 0x20 || c == 0x7f)
            size += (size_t)snprintf(out + size, sizeof("\\x00"), "\\x%02x", c);
        else if (c == '"' || c == '\\')
            size += (size_t)snprintf(out + size, sizeof("\\x"), "\\%c", c);
        else
            out[size++] = text[i];
    }
    return size;
}

/* One write(2) per line, so that lines of several threads do not mix. */
static void write_line(enum log_level level, const char *format, va_list arguments)
{
    static const char *const names[] = { "error", "warn", "info", "debug", "audit" };
    if (level != LEVEL_AUDIT &&
        (int)level > atomic_load_explicit(&highest_level, memory_order_relaxed))
        return;
    struct timespec now;
    struct tm utc;
    char text[LINE_SIZE];
    char other[LINE_SIZE];
    char line[LINE_SIZE * 4 + 64 + ID_SIZE];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t size = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
    size += (size_t)snprintf(line + size, sizeof(line) - size, ".%03ldZ %s ", now.tv_nsec / 1000000,
                             names[level]);
    bool has_quotes = strchr(format, '"') != NULL;
    if (has_quotes)
        fill_marked(other, format, arguments);
    vsnprintf(text, sizeof(text), format, arguments);
    size += escape(line + size, text, has_quotes ? other : text);
    if (request_id)
        size += (size_t)snprintf(line + size, ID_SIZE, " request=%.64s", request_id);
    line[size++] = '\n';
    if (write(STDERR_FILENO, line, size) < 0)
        return; /* there is nobody left to tell */
}

#define LOG_FUNCTION(name, level)                                                                  \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        write_line(level, format, arguments);                                                      \
        va_end(arguments);                                                                         \
    }

LOG_FUNCTION(log_audit, LEVEL_AUDIT)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
