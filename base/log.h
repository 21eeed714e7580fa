/* SPDX-License-Identifier: MIT */
#pragma once
/* One line per event on stderr, "time level text", key=value; UIDs, AE titles, counts, durations;
 * never a name, birth date or patient ID. In a value control characters are written as \xHH, quotes
 * and backslashes as \" and \\, so that no peer can forge a line, nor a key behind why="...".
 * Thread-safe; the one mutable global of the program. An error is logged at the edge, once, by who
 * does not return it. */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Every line that this thread writes from now on ends with request=ID; NULL: no more. Borrowed. */
void log_set_request(const char *id);

void log_set_level(enum log_level level); /* INFO until set */

/* Whatever the level is: for base/audit.h. */
void log_audit(const char *format, ...) __attribute__((format(printf, 1, 2)));

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
