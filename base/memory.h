/* SPDX-License-Identifier: MIT */
#pragma once
/* Memory that is there or the process is not: no path tests for an allocation that failed. A size
 * that comes from a peer meets a limit before it comes here. Thread-safe. */

#include <stddef.h>

void *mem_alloc(size_t size);                     /* zeroed; free with free() */
void *mem_alloc_array(size_t count, size_t size); /* zeroed; aborts on overflow of count * size */
void *mem_resize(void *memory, size_t size);      /* as realloc; new bytes are not zeroed */
void *mem_resize_array(void *memory, size_t count, size_t size);
void *mem_copy(const void *data, size_t size);            /* NULL for size 0 */
char *mem_copy_text(const char *text);                    /* NULL for NULL */
char *mem_copy_text_up_to(const char *text, size_t size); /* at most size bytes, NUL-terminated */
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
