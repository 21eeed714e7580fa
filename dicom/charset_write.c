/* SPDX-License-Identifier: MIT */
#include "dicom/charset_write.h"

#include <ctype.h>
#include <iconv.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/charset_sets.h"
#include "dicom/tag.h"
#include "dicom/utf8.h"

enum { MAX_SETS = 8, MAX_CODE = 4 };

/* The defined terms by their number, with the escape that designates each (PS3.3 tables C.12-2 to
 * C.12-4). */
static const struct known_set {
    const char *name;
    enum graphic_set set;
    const char *escape;
    bool in_g0; /* and its bytes are below 80 */
    const char *codec;
} known_sets[] = {
    { "6", SET_ASCII, "\x1B(B", true, NULL },
    { "100", SET_LATIN1, "\x1B-A", false, NULL },
    { "101", SET_LATIN2, "\x1B-B", false, NULL },
    { "109", SET_LATIN3, "\x1B-C", false, NULL },
    { "110", SET_LATIN4, "\x1B-D", false, NULL },
    { "144", SET_CYRILLIC, "\x1B-L", false, NULL },
    { "127", SET_ARABIC, "\x1B-G", false, NULL },
    { "126", SET_GREEK, "\x1B-F", false, NULL },
    { "138", SET_HEBREW, "\x1B-H", false, NULL },
    { "148", SET_LATIN5, "\x1B-M", false, NULL },
    { "203", SET_LATIN9, "\x1B-b", false, NULL },
    { "166", SET_THAI, "\x1B-T", false, NULL },
    { "13", SET_KATAKANA, "\x1B)I", false, NULL },
    { "87", SET_JIS_X_0208, "\x1B$B", true, "EUC-JP" },
    { "159", SET_JIS_X_0212, "\x1B$(D", true, "EUC-JP" },
    { "149", SET_KS_X_1001, "\x1B$)C", false, "EUC-KR" },
    { "58", SET_GB_2312, "\x1B$)A", false, "EUC-CN" },
};
static const struct known_set jis_roman = { "14", SET_JIS_ROMAN, "\x1B(J", true, NULL };

enum manner { MANNER_UTF8, MANNER_WHOLE, MANNER_SETS };

struct charset_writer {
    enum manner manner;
    iconv_t whole; /* GB18030, GBK */
    const struct known_set *sets[MAX_SETS];
    iconv_t codecs[MAX_SETS];
    size_t count;
    const struct known_set *first_g0; /* what is active at the start and behind each delimiter */
    const struct known_set *first_g1; /* NULL: nothing */
    const struct known_set *g0;
    const struct known_set *g1;
};

static const char *after(const char *name, const char *word)
{
    size_t size = strlen(word);
    return strncmp(name, word, size) == 0 ? name + size : name;
}

/* The defined term without "ISO", "2022", "IR" and all that is no letter or digit. */
static const char *reduce(struct slice value, char name[24])
{
    size_t size = 0;
    for (size_t i = 0; i < value.size && size < 23; i++)
        if (isalnum(value.data[i]))
            name[size++] = (char)toupper(value.data[i]);
    name[size] = '\0';
    return after(after(after(name, "ISO"), "2022"), "IR");
}

static bool open_whole(struct charset_writer *writer, const char *codec)
{
    writer->manner = MANNER_WHOLE;
    writer->whole = iconv_open(codec, "UTF-8");
    return writer->whole != (iconv_t)-1;
}

static bool add_set(struct charset_writer *writer, const char *name)
{
    for (size_t i = 0; i < sizeof(known_sets) / sizeof(known_sets[0]); i++) {
        const struct known_set *set = &known_sets[i];
        if (strcmp(set->name, name) != 0)
            continue;
        if (writer->count == MAX_SETS)
            return false;
        iconv_t codec = set->codec ? iconv_open(set->codec, "UTF-8") : (iconv_t)-1;
        if (set->codec && codec == (iconv_t)-1)
            return false;
        writer->codecs[writer->count] = codec;
        writer->sets[writer->count++] = set;
        return true;
    }
    return false;
}

/* The first value says what is active without an escape (PS3.5 6.1.2.5.3). */
static void set_start(struct charset_writer *writer)
{
    const struct known_set *first = writer->sets[0];
    writer->first_g0 = first->set == SET_KATAKANA ? &jis_roman : &known_sets[0];
    writer->first_g1 = first->in_g0 || first->codec ? NULL : first;
}

static bool open_sets(struct charset_writer *writer, struct slice value)
{
    bool more = true;
    for (size_t index = 0; more; index++) {
        const uint8_t *end = value.size ? memchr(value.data, '\\', value.size) : NULL;
        size_t size = end ? (size_t)(end - value.data) : value.size;
        char name[24];
        const char *key = reduce(slice_take(value, size), name);
        value = slice_skip(value, end ? size + 1 : size);
        more = end != NULL;
        if (index == 0 && !more && (strcmp(key, "192") == 0 || strcmp(key, "UTF8") == 0))
            return true;
        if (index == 0 && !more && strcmp(key, "GB18030") == 0)
            return open_whole(writer, "GB18030");
        if (index == 0 && !more && strcmp(key, "GBK") == 0)
            return open_whole(writer, "GBK");
        writer->manner = MANNER_SETS;
        if (!add_set(writer, *key ? key : "6"))
            return false;
    }
    set_start(writer);
    return true;
}

struct charset_writer *charset_writer_open(struct slice value)
{
    struct charset_writer *writer = mem_alloc(sizeof(*writer));
    writer->whole = (iconv_t)-1;
    if (open_sets(writer, value))
        return writer;
    charset_writer_close(writer);
    return NULL;
}

void charset_writer_close(struct charset_writer *writer)
{
    if (!writer)
        return;
    for (size_t i = 0; i < writer->count; i++)
        if (writer->codecs[i] != (iconv_t)-1)
            iconv_close(writer->codecs[i]);
    if (writer->whole != (iconv_t)-1)
        iconv_close(writer->whole);
    free(writer);
}

/* One character by iconv; its size, or 0. */
static size_t convert(iconv_t codec, struct slice character, uint8_t code[MAX_CODE])
{
    char *in = (char *)(uintptr_t)character.data; /* iconv does not write there */
    size_t in_left = character.size;
    char *out = (char *)code;
    size_t out_left = MAX_CODE;
    iconv(codec, NULL, NULL, NULL, NULL);
    if (iconv(codec, &in, &in_left, &out, &out_left) != 0 || in_left)
        return 0;
    return MAX_CODE - out_left;
}

/* The character in a set of two bytes: EUC has them above A0, and JIS X 0212 behind 8F. */
static size_t encode_pair(enum graphic_set set, iconv_t codec, struct slice character,
                          uint8_t code[2])
{
    uint8_t bytes[MAX_CODE];
    size_t size = convert(codec, character, bytes);
    size_t at = set == SET_JIS_X_0212 ? 1 : 0;
    if (size != at + 2 || (at && bytes[0] != 0x8F) || bytes[at] < 0xA1)
        return 0;
    bool low = set == SET_JIS_X_0208 || set == SET_JIS_X_0212;
    code[0] = low ? bytes[at] & 0x7F : bytes[at];
    code[1] = low ? bytes[at + 1] & 0x7F : bytes[at + 1];
    return 2;
}

/* The code of a character in a set: its size, or 0. */
static size_t encode_in(const struct known_set *known, iconv_t codec, uint32_t character,
                        struct slice utf8, uint8_t code[2])
{
    enum graphic_set set = known->set;
    if (set == SET_ASCII || set == SET_JIS_ROMAN) {
        bool differs = set == SET_JIS_ROMAN && (character == '\\' || character == '~');
        code[0] = character == 0xA5 ? '\\' : character == 0x203E ? '~' : (uint8_t)character;
        if (set == SET_JIS_ROMAN && (character == 0xA5 || character == 0x203E))
            return 1;
        return character < 0x80 && !differs;
    }
    if (set == SET_KATAKANA) {
        code[0] = (uint8_t)(character - 0xFF61u + 0xA1);
        return character >= 0xFF61 && character <= 0xFF9F;
    }
    if (known->codec)
        return character < 0x80 ? 0 : encode_pair(set, codec, utf8, code);
    for (size_t i = 0; i < 96; i++)
        if (charset_g1_table[set][i] == character && character) {
            code[0] = (uint8_t)(0xA0 + i);
            return 1;
        }
    return 0;
}

static void activate(struct charset_writer *writer, const struct known_set *set,
                     struct buffer *text)
{
    const struct known_set **active = set->in_g0 ? &writer->g0 : &writer->g1;
    if (*active != set)
        buffer_append_text(text, set->escape);
    *active = set;
}

/* G0 must be what it was at the start before a delimiter and at the end (PS3.5 6.1.2.5.3). */
static void reset(struct charset_writer *writer, struct buffer *text)
{
    activate(writer, writer->first_g0, text);
    writer->g1 = writer->first_g1;
}

static bool write_character(struct charset_writer *writer, uint32_t character, struct slice utf8,
                            struct buffer *text)
{
    uint8_t code[2];
    size_t size = encode_in(writer->first_g0, (iconv_t)-1, character, utf8, code);
    if (size) {
        activate(writer, writer->first_g0, text);
        return buffer_append(text, slice_of(code, size));
    }
    for (size_t i = 0; i < writer->count; i++) {
        size = encode_in(writer->sets[i], writer->codecs[i], character, utf8, code);
        if (size) {
            activate(writer, writer->sets[i], text);
            return buffer_append(text, slice_of(code, size));
        }
    }
    return false;
}

static bool is_delimiter(uint16_t vr, uint32_t character)
{
    return character < 0x20 || (character == '\\' && vr_is_multi_valued(vr)) ||
           ((character == '^' || character == '=') && vr == VR_PN);
}

static bool write_sets(struct charset_writer *writer, uint16_t vr, struct slice utf8,
                       struct buffer *text)
{
    writer->g0 = writer->first_g0;
    writer->g1 = writer->first_g1;
    while (utf8.size) {
        size_t size;
        uint32_t character = utf8_next(utf8, &size);
        if (is_delimiter(vr, character)) {
            reset(writer, text);
            buffer_append_byte(text, (uint8_t)character);
        } else if (!write_character(writer, character, slice_take(utf8, size), text)) {
            return false;
        }
        utf8 = slice_skip(utf8, size);
    }
    reset(writer, text);
    return !text->overflowed;
}

static bool write_whole(struct charset_writer *writer, struct slice utf8, struct buffer *text)
{
    while (utf8.size) {
        uint8_t code[MAX_CODE];
        size_t size;
        utf8_next(utf8, &size);
        size_t converted = convert(writer->whole, slice_take(utf8, size), code);
        if (!converted)
            return false;
        buffer_append(text, slice_of(code, converted));
        utf8 = slice_skip(utf8, size);
    }
    return !text->overflowed;
}

bool charset_write(struct charset_writer *writer, uint16_t vr, struct slice utf8,
                   struct buffer *text)
{
    switch (writer->manner) {
    case MANNER_SETS:
        return write_sets(writer, vr, utf8, text);
    case MANNER_WHOLE:
        return write_whole(writer, utf8, text);
    case MANNER_UTF8:
        break;
    }
    return buffer_append(text, utf8);
}
