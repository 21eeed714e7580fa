/* SPDX-License-Identifier: MIT */
#include "sample-data/text.h"

#include <iconv.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "sample-data/instance.h"

enum { MAX_TEXT = 1024 };

static char *convert(const char *utf8, const char *codec)
{
    char text[MAX_TEXT];
    char *in = (char *)(uintptr_t)utf8;
    char *out = text;
    size_t in_left = strlen(utf8);
    size_t out_left = sizeof(text) - 1;
    iconv_t converter = iconv_open(codec, "UTF-8");
    if (converter == (iconv_t)-1)
        die("no %s in this system's iconv", codec);
    if (iconv(converter, &in, &in_left, &out, &out_left) == (size_t)-1 ||
        iconv(converter, NULL, NULL, &out, &out_left) == (size_t)-1)
        die("a text cannot be written in %s", codec);
    iconv_close(converter);
    *out = '\0';
    return mem_copy_text(text);
}

char *text_japanese(const char *utf8)
{
    return convert(utf8, "ISO-2022-JP");
}

char *text_korean(const char *utf8)
{
    struct buffer text = buffer_up_to(MAX_TEXT);
    char *euc = convert(utf8, "EUC-KR");
    bool designated = false;
    for (const char *at = euc; *at; at++) {
        if (*at == '^' || *at == '=')
            designated = false; /* PS3.5 6.1.2.5.3: initial state at delimiters */
        if ((*at & 0x80) && !designated) {
            buffer_append_text(&text, "\033$)C");
            designated = true;
        }
        buffer_append_byte(&text, (uint8_t)*at);
    }
    char *copy = mem_copy_text(buffer_text(&text));
    buffer_release(&text);
    free(euc);
    return copy;
}
