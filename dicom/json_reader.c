/* SPDX-License-Identifier: MIT */
/* DICOM JSON (PS3.18 annex F) as it arrives: RFC 8259 to the letter, since what one reader lets
 * pass another may understand otherwise. The document is an array of data sets. */
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/model_formats.h"
#include "dicom/utf8.h"

enum {
    MAX_DEPTH = 256, /* three for each sequence, and some for what is read over */
    MAX_NUMBER_SIZE = 64,
};

/* What an open brace or bracket is. */
enum frame {
    FRAME_DOCUMENT,     /* [ of all */
    FRAME_DATASET,      /* { "ggggeeee": */
    FRAME_ATTRIBUTE,    /* { "vr": */
    FRAME_VALUES,       /* [ of Value */
    FRAME_ITEM_OR_NAME, /* { in it, of which nothing is known yet */
    FRAME_NAME,         /* { "Alphabetic": */
    FRAME_SKIPPED_OBJECT,
    FRAME_SKIPPED_ARRAY,
};

/* Keys of an attribute. Each at most once. */
enum key { KEY_NONE, KEY_VR, KEY_VALUE, KEY_INLINE_BINARY, KEY_BULK_DATA_URI, KEY_OTHER };

enum expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END,
    EXPECT_KEY,
    EXPECT_KEY_OR_END,
    EXPECT_COLON,
    EXPECT_COMMA_OR_END,
    EXPECT_NOTHING
};

enum lexeme { LEX_NONE, LEX_STRING, LEX_ESCAPE, LEX_UNICODE, LEX_NUMBER, LEX_WORD };

struct json_reader {
    struct model_reader base;
    enum expect expect;
    enum lexeme lexeme;
    struct buffer token; /* the string, number or word that is being read */
    unsigned unicode;    /* of an escape */
    unsigned unicode_digits;
    unsigned surrogate; /* the first half of a character; 0: none */
    struct {
        uint8_t frame;
        uint8_t keys; /* seen so far, a bit each */
    } open[MAX_DEPTH];
    size_t depth;
    enum key key; /* of the attribute that is open */
    size_t group; /* of the name that is open */
    struct buffer groups[MODEL_NAME_GROUPS];
};

static void broken(struct json_reader *reader, const char *what)
{
    model_builder_break(&reader->base.builder, what);
}

static enum frame frame_of(const struct json_reader *reader)
{
    return (enum frame)reader->open[reader->depth - 1].frame;
}

static void open_frame(struct json_reader *reader, enum frame frame)
{
    if (reader->depth == MAX_DEPTH) {
        broken(reader, "the document is nested too deeply");
        return;
    }
    reader->open[reader->depth].frame = (uint8_t)frame;
    reader->open[reader->depth++].keys = 0;
    bool array = frame == FRAME_DOCUMENT || frame == FRAME_VALUES || frame == FRAME_SKIPPED_ARRAY;
    reader->expect = array ? EXPECT_VALUE_OR_END : EXPECT_KEY_OR_END;
}

/* Notes that a key was there. */
static void take_key(struct json_reader *reader, unsigned key)
{
    uint8_t bit = (uint8_t)(1u << key);
    if (reader->open[reader->depth - 1].keys & bit)
        broken(reader, "a key is there twice");
    reader->open[reader->depth - 1].keys |= bit;
}

/* Keys. */

static void begin_attribute(struct json_reader *reader, struct slice key)
{
    struct model_builder *builder = &reader->base.builder;
    uint32_t tag;
    bool is_tag = model_tag_parse(key, &tag);
    /* A key that is none makes an attribute of group 0000, which is left out. */
    model_builder_begin(builder, is_tag ? tag : 0);
    if (!is_tag)
        model_builder_fail(builder, "a key is no tag (8 hexadecimal digits)");
    reader->key = KEY_NONE;
}

static bool find_group(struct slice key, size_t *group)
{
    static const char *const names[MODEL_NAME_GROUPS] = { "Alphabetic", "Ideographic", "Phonetic" };
    for (*group = 0; *group < MODEL_NAME_GROUPS; ++*group)
        if (slice_equals_text(key, names[*group]))
            return true;
    return false;
}

static void begin_name(struct json_reader *reader)
{
    reader->open[reader->depth - 1].frame = FRAME_NAME;
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        buffer_clear(&reader->groups[i]);
}

static void begin_item(struct json_reader *reader)
{
    reader->open[reader->depth - 1].frame = FRAME_DATASET;
    model_builder_item_begin(&reader->base.builder);
}

static void key_of_attribute(struct json_reader *reader, struct slice key)
{
    static const char *const names[] = { [KEY_VR] = "vr",
                                         [KEY_VALUE] = "Value",
                                         [KEY_INLINE_BINARY] = "InlineBinary",
                                         [KEY_BULK_DATA_URI] = "BulkDataURI" };
    reader->key = KEY_OTHER;
    for (unsigned i = KEY_VR; i < KEY_OTHER; i++) {
        if (!slice_equals_text(key, names[i]))
            continue;
        reader->key = (enum key)i;
        take_key(reader, i);
    }
}

static void take_key_text(struct json_reader *reader, struct slice key)
{
    reader->expect = EXPECT_COLON;
    if (frame_of(reader) == FRAME_ITEM_OR_NAME) {
        if (find_group(key, &reader->group))
            begin_name(reader);
        else
            begin_item(reader);
    }
    switch (frame_of(reader)) {
    case FRAME_DATASET:
        begin_attribute(reader, key);
        break;
    case FRAME_ATTRIBUTE:
        key_of_attribute(reader, key);
        break;
    case FRAME_NAME:
        if (find_group(key, &reader->group))
            take_key(reader, (unsigned)reader->group);
        else
            model_builder_fail(&reader->base.builder, "a person name has another key");
        break;
    default:
        break;
    }
}

/* Values. */

/* A value that is not what its place wants. */
static void misplaced(struct json_reader *reader)
{
    switch (frame_of(reader)) {
    case FRAME_DOCUMENT:
        broken(reader, "the document is no array of data sets");
        break;
    case FRAME_DATASET:
        model_builder_fail(&reader->base.builder, "an attribute is no object");
        model_builder_vr(&reader->base.builder, slice_text("UN"));
        model_builder_end(&reader->base.builder);
        break;
    case FRAME_ATTRIBUTE:
        if (reader->key != KEY_OTHER)
            model_builder_fail(&reader->base.builder, "a member has another type");
        break;
    case FRAME_VALUES:
    case FRAME_NAME:
        model_builder_fail(&reader->base.builder, "a value has another type");
        break;
    default:
        break;
    }
}

static void take_attribute_text(struct json_reader *reader, struct slice text)
{
    struct model_builder *builder = &reader->base.builder;
    switch (reader->key) {
    case KEY_VR:
        model_builder_vr(builder, text);
        break;
    case KEY_INLINE_BINARY:
        model_builder_inline(builder, text, false);
        break;
    case KEY_BULK_DATA_URI:
        model_builder_bulk_data(builder, text);
        break;
    default:
        misplaced(reader);
        break;
    }
}

static void take_scalar(struct json_reader *reader, enum model_token kind, struct slice text)
{
    reader->expect = EXPECT_COMMA_OR_END;
    if (!reader->depth) {
        broken(reader, "the document is no array of data sets");
        return;
    }
    enum frame frame = frame_of(reader);
    if (frame == FRAME_VALUES)
        model_builder_value(&reader->base.builder, kind, text);
    else if (frame == FRAME_ATTRIBUTE && kind == TOKEN_TEXT)
        take_attribute_text(reader, text);
    else if (frame == FRAME_NAME && reader->group == MODEL_NAME_GROUPS)
        return; /* its key was at fault */
    else if (frame == FRAME_NAME && kind == TOKEN_TEXT)
        buffer_append(&reader->groups[reader->group], text);
    else if (frame != FRAME_NAME || kind != TOKEN_EMPTY)
        misplaced(reader);
}

static void open_object(struct json_reader *reader)
{
    enum frame frame = reader->depth ? frame_of(reader) : FRAME_SKIPPED_OBJECT;
    if (!reader->depth) {
        broken(reader, "the document is no array of data sets");
    } else if (frame == FRAME_DOCUMENT) {
        open_frame(reader, FRAME_DATASET);
    } else if (frame == FRAME_DATASET) {
        open_frame(reader, FRAME_ATTRIBUTE);
    } else if (frame == FRAME_VALUES) {
        open_frame(reader, FRAME_ITEM_OR_NAME);
    } else {
        misplaced(reader);
        open_frame(reader, FRAME_SKIPPED_OBJECT);
    }
}

static void open_array(struct json_reader *reader)
{
    if (!reader->depth) {
        open_frame(reader, FRAME_DOCUMENT);
    } else if (frame_of(reader) == FRAME_ATTRIBUTE && reader->key == KEY_VALUE) {
        open_frame(reader, FRAME_VALUES);
    } else {
        misplaced(reader);
        open_frame(reader, FRAME_SKIPPED_ARRAY);
    }
}

static void end_name(struct json_reader *reader)
{
    struct slice groups[MODEL_NAME_GROUPS];
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        groups[i] = buffer_slice(&reader->groups[i]);
    model_builder_name(&reader->base.builder, groups);
}

/* { }: an item without attributes, or a name without groups. */
static void end_empty(struct json_reader *reader)
{
    if (model_builder_present_vr(&reader->base.builder) == VR_PN) {
        model_builder_value(&reader->base.builder, TOKEN_EMPTY, slice_of(NULL, 0));
        return;
    }
    model_builder_item_begin(&reader->base.builder);
    model_builder_item_end(&reader->base.builder);
}

/* True when a data set is complete by it. */
static bool close_frame(struct json_reader *reader)
{
    enum frame frame = frame_of(reader);
    reader->depth--;
    reader->expect = reader->depth ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
    switch (frame) {
    case FRAME_DATASET:
        if (reader->depth == 1)
            return true;
        model_builder_item_end(&reader->base.builder);
        break;
    case FRAME_ATTRIBUTE:
        model_builder_end(&reader->base.builder);
        break;
    case FRAME_ITEM_OR_NAME:
        end_empty(reader);
        break;
    case FRAME_NAME:
        end_name(reader);
        break;
    default:
        break;
    }
    return false;
}

/* Lexemes. */

static void end_string(struct json_reader *reader)
{
    struct slice text = buffer_slice(&reader->token);
    reader->lexeme = LEX_NONE;
    if (reader->surrogate)
        broken(reader, "half a character stands alone");
    else if (reader->token.overflowed)
        broken(reader, "a text is too long");
    else if (!utf8_is_valid(text))
        broken(reader, "the document is not in UTF-8");
    else if (reader->expect == EXPECT_KEY || reader->expect == EXPECT_KEY_OR_END)
        take_key_text(reader, text);
    else
        take_scalar(reader, TOKEN_TEXT, text);
}

/* RFC 8259 6. */
static bool is_number(struct slice text)
{
    size_t at = text.data[0] == '-';
    size_t begin = at;
    while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    if (at == begin || (text.data[begin] == '0' && at > begin + 1))
        return false;
    if (at < text.size && text.data[at] == '.') {
        begin = ++at;
        while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9')
            at++;
        if (at == begin)
            return false;
    }
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        at += at < text.size && (text.data[at] == '+' || text.data[at] == '-');
        begin = at;
        while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9')
            at++;
        if (at == begin)
            return false;
    }
    return at == text.size;
}

static void end_number(struct json_reader *reader)
{
    struct slice text = buffer_slice(&reader->token);
    reader->lexeme = LEX_NONE;
    if (is_number(text))
        take_scalar(reader, TOKEN_NUMBER, text);
    else
        broken(reader, "a number is none of JSON");
}

static void end_word(struct json_reader *reader)
{
    struct slice text = buffer_slice(&reader->token);
    reader->lexeme = LEX_NONE;
    if (slice_equals_text(text, "null"))
        take_scalar(reader, TOKEN_EMPTY, slice_of(NULL, 0));
    else if (slice_equals_text(text, "true") || slice_equals_text(text, "false"))
        take_scalar(reader, TOKEN_OTHER, text);
    else
        broken(reader, "a word is none of JSON");
}

static void put_character(struct json_reader *reader, unsigned code)
{
    reader->lexeme = LEX_STRING;
    bool low = code >= 0xDC00 && code <= 0xDFFF;
    if (low != (reader->surrogate != 0)) {
        broken(reader, "half a character stands alone");
    } else if (low) {
        utf8_append(&reader->token,
                    0x10000 + ((reader->surrogate - 0xD800) << 10) + (code - 0xDC00));
        reader->surrogate = 0;
    } else if (code >= 0xD800 && code <= 0xDBFF) {
        reader->surrogate = code;
    } else {
        utf8_append(&reader->token, code);
    }
}

static void read_escape(struct json_reader *reader, uint8_t c)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter = c ? strchr(letters, c) : NULL;
    reader->lexeme = LEX_UNICODE;
    reader->unicode = reader->unicode_digits = 0;
    if (c == 'u')
        return;
    reader->lexeme = LEX_STRING;
    if (!letter)
        broken(reader, "an escape is none of JSON");
    else if (reader->surrogate)
        broken(reader, "half a character stands alone");
    else
        buffer_append_byte(&reader->token, (uint8_t)meanings[letter - letters]);
}

static void read_unicode(struct json_reader *reader, uint8_t c)
{
    int digit = model_hex_digit(c);
    if (digit < 0) {
        broken(reader, "an escape is none of JSON");
        return;
    }
    reader->unicode = reader->unicode << 4 | (unsigned)digit;
    if (++reader->unicode_digits == 4)
        put_character(reader, reader->unicode);
}

/* As many bytes of a string as stand for themselves, then one that does not. */
static void read_string(struct json_reader *reader)
{
    struct slice *rest = &reader->base.rest;
    size_t size = 0;
    while (size < rest->size && rest->data[size] >= 0x20 && rest->data[size] != '"' &&
           rest->data[size] != '\\')
        size++;
    if (size && reader->surrogate) {
        broken(reader, "half a character stands alone");
        return;
    }
    if (size)
        buffer_append(&reader->token, slice_take(*rest, size));
    *rest = slice_skip(*rest, size);
    if (!rest->size)
        return;
    uint8_t c = rest->data[0];
    *rest = slice_skip(*rest, 1);
    if (c == '"')
        end_string(reader);
    else if (c == '\\')
        reader->lexeme = LEX_ESCAPE;
    else
        broken(reader, "a control character stands in a text");
}

static bool is_number_part(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-';
}

/* Numbers and words end where something else begins. */
static void read_word(struct json_reader *reader)
{
    struct slice *rest = &reader->base.rest;
    bool number = reader->lexeme == LEX_NUMBER;
    uint8_t c = rest->data[0];
    if (number ? is_number_part(c) : c >= 'a' && c <= 'z') {
        if (reader->token.size == MAX_NUMBER_SIZE)
            broken(reader, "a number or word is too long");
        buffer_append_byte(&reader->token, c);
        *rest = slice_skip(*rest, 1);
    } else if (number) {
        end_number(reader);
    } else {
        end_word(reader);
    }
}

static void begin_lexeme(struct json_reader *reader, enum lexeme lexeme)
{
    reader->lexeme = lexeme;
    buffer_clear(&reader->token);
}

/* The first character of a value. */
static void begin_value(struct json_reader *reader, uint8_t c)
{
    if (c == '{') {
        open_object(reader);
    } else if (c == '[') {
        open_array(reader);
    } else if (c == '"') {
        begin_lexeme(reader, LEX_STRING);
    } else if (c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')) {
        begin_lexeme(reader, c >= 'a' ? LEX_WORD : LEX_NUMBER);
        buffer_append_byte(&reader->token, c);
    } else {
        broken(reader, "a value is none of JSON");
    }
}

static bool closes(const struct json_reader *reader, uint8_t c)
{
    if (!reader->depth || (c != '}' && c != ']'))
        return false;
    enum frame frame = frame_of(reader);
    bool array = frame == FRAME_DOCUMENT || frame == FRAME_VALUES || frame == FRAME_SKIPPED_ARRAY;
    return c == (array ? ']' : '}');
}

static bool is_object(const struct json_reader *reader)
{
    return !closes(reader, ']');
}

/* What stands between lexemes. True when a data set is complete. */
static bool read_structure(struct json_reader *reader, uint8_t c)
{
    switch (reader->expect) {
    case EXPECT_VALUE_OR_END:
        if (closes(reader, c))
            return close_frame(reader);
        begin_value(reader, c);
        return false;
    case EXPECT_VALUE:
        begin_value(reader, c);
        return false;
    case EXPECT_KEY_OR_END:
        if (closes(reader, c))
            return close_frame(reader);
        break;
    case EXPECT_KEY:
        break;
    case EXPECT_COLON:
        reader->expect = EXPECT_VALUE;
        if (c != ':')
            broken(reader, "a colon is missing");
        return false;
    case EXPECT_COMMA_OR_END:
        if (closes(reader, c))
            return close_frame(reader);
        reader->expect = is_object(reader) ? EXPECT_KEY : EXPECT_VALUE;
        if (c != ',')
            broken(reader, "a comma is missing");
        return false;
    case EXPECT_NOTHING:
        broken(reader, "something stands behind the document");
        return false;
    }
    if (c == '"')
        begin_lexeme(reader, LEX_STRING);
    else
        broken(reader, "a key is missing");
    return false;
}

/* One step; true when a data set is complete. */
static bool step(struct json_reader *reader)
{
    struct slice *rest = &reader->base.rest;
    uint8_t c = rest->data[0];
    switch (reader->lexeme) {
    case LEX_STRING:
        read_string(reader);
        return false;
    case LEX_NUMBER:
    case LEX_WORD:
        read_word(reader);
        return false;
    case LEX_ESCAPE:
        *rest = slice_skip(*rest, 1);
        read_escape(reader, c);
        return false;
    case LEX_UNICODE:
        *rest = slice_skip(*rest, 1);
        read_unicode(reader, c);
        return false;
    case LEX_NONE:
        break;
    }
    *rest = slice_skip(*rest, 1);
    return c != ' ' && c != '\t' && c != '\r' && c != '\n' && read_structure(reader, c);
}

static void next(struct model_reader *base, enum model_event *event)
{
    struct json_reader *reader = (struct json_reader *)base;
    while (base->rest.size && base->builder.fatal.code == ERROR_NONE) {
        if (step(reader)) {
            *event = MODEL_DATASET;
            return;
        }
    }
    if (!base->finished || base->builder.fatal.code != ERROR_NONE)
        return;
    *event = MODEL_END;
    if (reader->expect != EXPECT_NOTHING)
        broken(reader, "the document is cut short");
}

static size_t memory(const struct model_reader *base)
{
    const struct json_reader *reader = (const struct json_reader *)base;
    size_t size = reader->token.capacity;
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        size += reader->groups[i].capacity;
    return size;
}

static void free_reader(struct model_reader *base)
{
    struct json_reader *reader = (struct json_reader *)base;
    model_builder_release(&base->builder);
    buffer_release(&reader->token);
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        buffer_release(&reader->groups[i]);
    free(reader);
}

struct model_reader *json_reader_new(const struct model_limits *limits)
{
    static const struct model_format_reader format = { next, memory, free_reader };
    struct json_reader *reader = mem_alloc(sizeof(*reader));
    reader->base.format = &format;
    model_builder_init(&reader->base.builder, limits);
    reader->token = buffer_up_to(reader->base.builder.bytes.limit);
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        reader->groups[i] = buffer_up_to(reader->base.builder.bytes.limit);
    return &reader->base;
}
