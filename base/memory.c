/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory)
{
    if (!memory) {
        fputs("hounsfield: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *mem_alloc_array(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *memory, size_t size)
{
    return checked(realloc(memory, size ? size : 1));
}

void *mem_resize_array(void *memory, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        checked(NULL);
    return mem_resize(memory, count * size);
}

void *mem_copy(const void *data, size_t size)
{
    if (!size)
        return NULL;
    return memcpy(checked(malloc(size)), data, size);
}

char *mem_copy_text(const char *text)
{
    return text ? (char *)checked(strdup(text)) : NULL;
}

char *mem_copy_text_up_to(const char *text, size_t size)
{
    return (char *)checked(strndup(text, size));
}

char *mem_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return (char *)checked(text);
}
