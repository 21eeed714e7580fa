/* SPDX-License-Identifier: MIT */
#include "hl7/message.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/tag.h"
#include "dicom/utf8.h"

enum {
    MIN_HEADER = 8, /* "MSH|^~\&", less what may be left out */
    ESCAPE = 0x1B,
    /* One byte of a set can become four, and U+FFFD three. */
    MAX_GROWTH = 4,
    MAX_ESCAPE = 4096, /* bytes between two escape characters */
};

bool hl7_fault_set(struct hl7_fault *fault, enum hl7_code code, const char *segment,
                   unsigned sequence, unsigned field, const char *format, ...)
{
    va_list arguments;
    memset(fault, 0, sizeof(*fault));
    fault->code = code;
    fault->sequence = sequence;
    fault->field = field;
    fault->is_rejected = code >= HL7_UNSUPPORTED_MESSAGE && code <= HL7_UNSUPPORTED_VERSION;
    if (segment)
        memcpy(fault->segment, segment, strnlen(segment, 3));
    va_start(arguments, format);
    vsnprintf(fault->text, sizeof(fault->text), format, arguments);
    va_end(arguments);
    return false;
}

/* Separators. */

/* Letters and digits would make names and numbers unreadable; controls end segments. */
static bool may_separate(uint8_t byte)
{
    return byte > ' ' && byte < 0x7F && !isalnum(byte);
}

/* MSH-1 and MSH-2 (HL7 v2.5.1 2.14.9.1). Escape and subcomponent may be left out at the end, the
 * truncation character of v2.7 may follow. */
static bool read_separators(struct slice bytes, struct hl7_separators *separators)
{
    uint8_t of[5] = { 0 };
    if (bytes.size < MIN_HEADER - 2 || memcmp(bytes.data, "MSH", 3) != 0)
        return false;
    of[0] = bytes.data[3];
    for (size_t i = 4; i < bytes.size && i < 8 && bytes.data[i] != of[0]; i++)
        of[i - 3] = bytes.data[i];
    for (size_t i = 0; i < 5; i++) {
        if (!(of[i] ? may_separate(of[i]) : i > 2))
            return false;
        for (size_t j = 0; j < i; j++)
            if (of[i] && of[i] == of[j])
                return false;
    }
    *separators = (struct hl7_separators){ of[0], of[1], of[2], of[3], of[4] };
    return true;
}

/* The part number `number` (from 1) of a text. */
static struct slice part(struct slice text, uint8_t separator, unsigned number)
{
    while (text.size) {
        const uint8_t *end = separator ? memchr(text.data, separator, text.size) : NULL;
        size_t size = end ? (size_t)(end - text.data) : text.size;
        if (--number == 0)
            return slice_take(text, size);
        if (!end)
            break;
        text = slice_skip(text, size + 1);
    }
    return slice_of(NULL, 0);
}

static size_t line_size(struct slice text)
{
    const uint8_t *end = memchr(text.data, '\r', text.size);
    size_t size = end ? (size_t)(end - text.data) : text.size;
    const uint8_t *feed = memchr(text.data, '\n', size);
    return feed ? (size_t)(feed - text.data) : size;
}

bool hl7_header_read(struct slice bytes, struct hl7_header *header)
{
    memset(header, 0, sizeof(*header));
    if (!read_separators(bytes, &header->separators))
        return false;
    struct slice rest = slice_skip(slice_take(bytes, line_size(bytes)), 4);
    header->fields[1] = slice_of(bytes.data + 3, 1);
    for (unsigned i = 2; i < sizeof(header->fields) / sizeof(header->fields[0]); i++)
        header->fields[i] = part(rest, header->separators.field, i - 1);
    return true;
}

static bool begins_with(struct slice line, const char *name)
{
    return line.size > 3 && memcmp(line.data, name, 3) == 0;
}

bool hl7_is_batch(struct slice bytes)
{
    return begins_with(bytes, "FHS") || begins_with(bytes, "BHS");
}

bool hl7_batch_header_read(struct slice bytes, struct hl7_header *header)
{
    struct slice control_id = slice_of(NULL, 0);
    while (bytes.size && !begins_with(bytes, "MSH")) {
        struct slice line = slice_take(bytes, line_size(bytes));
        if (begins_with(line, "FHS") || begins_with(line, "BHS")) {
            /* FHS-11, BHS-11; the first field is the separator itself. */
            struct slice id = part(slice_skip(line, 4), line.data[3], 10);
            control_id = id.size ? id : control_id;
        }
        bytes = slice_skip(bytes, line.size + 1);
    }
    if (!hl7_header_read(bytes, header))
        return false;
    if (control_id.size)
        header->fields[10] = control_id;
    return true;
}

/* Character sets. */

const char *hl7_character_set(struct slice name)
{
    static const struct {
        const char *hl7; /* table 0211 */
        const char *dicom;
    } sets[] = {
        { "", "" },
        { "ASCII", "" },
        { "8859/1", "ISO_IR 100" },
        { "8859/2", "ISO_IR 101" },
        { "8859/3", "ISO_IR 109" },
        { "8859/4", "ISO_IR 110" },
        { "8859/5", "ISO_IR 144" },
        { "8859/6", "ISO_IR 127" },
        { "8859/7", "ISO_IR 126" },
        { "8859/8", "ISO_IR 138" },
        { "8859/9", "ISO_IR 148" },
        { "8859/15", "ISO_IR 203" },
        { "ISO IR6", "" },
        { "ISO IR14", "ISO_IR 13" },
        { "ISO IR87", "ISO 2022 IR 87" },
        { "ISO IR159", "ISO 2022 IR 159" },
        { "GB 18030-2000", "GB18030" },
        { "GB 18030", "GB18030" },
        { "KS X 1001", "ISO 2022 IR 149" },
        { "UNICODE UTF-8", "ISO_IR 192" },
        { "UNICODE", "ISO_IR 192" }, /* of v2.3 on; in eight-bit blocks it can only be this one */
        { "UTF-8", "ISO_IR 192" },
        { "UTF8", "ISO_IR 192" },
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        if (slice_equals_text(name, sets[i].hl7))
            return sets[i].dicom;
    return NULL;
}

/* The value of (0008,0005) that MSH-18 means: its repetitions are the sets that are used. */
static bool find_charset(const struct hl7_header *header, const char *otherwise,
                         const struct charset **out, struct hl7_fault *fault)
{
    struct slice field = header->fields[18];
    struct buffer names = buffer_up_to(256);
    for (unsigned i = 1; field.size; i++) {
        const uint8_t *end = memchr(field.data, header->separators.repetition, field.size);
        size_t size = end ? (size_t)(end - field.data) : field.size;
        const char *name = hl7_character_set(slice_take(field, size));
        if (!name || i > 8) {
            buffer_release(&names);
            return hl7_fault_set(fault, HL7_VALUE_NOT_FOUND, "MSH", 1, 18,
                                 "the character set is not one that is read here");
        }
        if (i > 1)
            buffer_append_byte(&names, '\\');
        buffer_append_text(&names, name);
        field = slice_skip(field, size + 1);
    }
    if (!header->fields[18].size && otherwise)
        buffer_append_text(&names, otherwise);
    *out = charset_find(buffer_slice(&names));
    buffer_release(&names);
    return true;
}

/* Bytes of other sets could be taken for separators (0x5C in GB 18030, any in ISO 2022), so all is
 * decoded before anything is split. */
static bool decode(struct hl7_message *message, struct slice bytes, struct hl7_fault *fault)
{
    struct hl7_separators before;
    message->text = bytes;
    if (charset_is_plain(message->charset, bytes))
        return true;
    if (bytes.size > SIZE_MAX / MAX_GROWTH)
        return hl7_fault_set(fault, HL7_INTERNAL_ERROR, NULL, 0, 0, "the message is too long");
    message->decoded = buffer_up_to(bytes.size * MAX_GROWTH);
    read_separators(bytes, &before);
    /* Line ends reset code extensions, here as there (PS3.5 6.1.2.5.3, HL7 v2.5.1 2.7.2). UR: a VR
     * of one value whose backslashes are backslashes, also where JIS X 0201 has the yen. */
    charset_decode(message->charset, VR_UR, bytes, &message->decoded);
    message->text = buffer_slice(&message->decoded);
    return true;
}

/* Segments. */

static bool is_name(struct slice line, uint8_t separator)
{
    if (line.size < 3 || (line.size > 3 && line.data[3] != separator))
        return false;
    for (size_t i = 0; i < 3; i++)
        if (!isupper(line.data[i]) && !isdigit(line.data[i]))
            return false;
    return true;
}

/* What neither ends a segment nor can be in a text: it would be cut off or forged somewhere. */
static bool has_control(struct slice line)
{
    for (size_t i = 0; i < line.size; i++)
        if (line.data[i] < ' ' && line.data[i] != '\t' && line.data[i] != '\f')
            return true;
    return false;
}

static size_t bucket_of(const char *name)
{
    return ((unsigned char)name[0] * 31u + (unsigned char)name[1] * 7u + (unsigned char)name[2]) %
           HL7_BUCKETS;
}

static struct hl7_segment *first_of(const struct hl7_message *message, const char *name)
{
    size_t number = message->buckets[bucket_of(name)];
    while (number && memcmp(message->segments[number - 1].name, name, 3) != 0)
        number = message->segments[number - 1].chain;
    return number ? &message->segments[number - 1] : NULL;
}

/* Adds it to those of its name. */
static void count_segment(struct hl7_message *message, struct hl7_segment *segment)
{
    struct hl7_segment *first = first_of(message, segment->name);
    uint16_t *bucket = &message->buckets[bucket_of(segment->name)];
    if (first) {
        segment->sequence = ++first->count;
        return;
    }
    segment->sequence = segment->count = 1;
    segment->chain = *bucket;
    *bucket = (uint16_t)(segment - message->segments + 1);
}

static bool add_segment(struct hl7_message *message, struct slice line, struct hl7_fault *fault)
{
    struct hl7_segment *segment = &message->segments[message->count];
    if (!is_name(line, message->separators.field))
        return hl7_fault_set(fault, HL7_SEQUENCE_ERROR, NULL, 0, 0,
                             "line %zu is no segment: it has no name", message->count + 1);
    memcpy(segment->name, line.data, 3);
    segment->bytes = line;
    count_segment(message, segment);
    if (message->count++ && hl7_is_segment(segment, "MSH"))
        return hl7_fault_set(fault, HL7_SEQUENCE_ERROR, "MSH", 2, 0, "a second MSH");
    if (line.size > HL7_MAX_SEGMENT && !hl7_is_segment(segment, "OBX"))
        return hl7_fault_set(fault, HL7_INTERNAL_ERROR, segment->name, segment->sequence, 0,
                             "a segment of more than %d bytes", HL7_MAX_SEGMENT);
    if (has_control(line))
        return hl7_fault_set(fault, HL7_DATA_TYPE, segment->name, segment->sequence, 0,
                             "a control character in a segment");
    return true;
}

static size_t count_lines(struct slice text)
{
    size_t count = 0;
    while (text.size && count <= HL7_MAX_SEGMENTS) {
        size_t size = line_size(text);
        count += size > 0;
        text = slice_skip(text, size + 1);
    }
    return count;
}

static bool split(struct hl7_message *message, struct hl7_fault *fault)
{
    struct slice text = message->text;
    size_t count = count_lines(text);
    if (count > HL7_MAX_SEGMENTS)
        return hl7_fault_set(fault, HL7_INTERNAL_ERROR, NULL, 0, 0, "more than %d segments",
                             HL7_MAX_SEGMENTS);
    message->segments = mem_alloc_array(count + 1, sizeof(*message->segments));
    while (text.size) {
        size_t size = line_size(text);
        if (size && !add_segment(message, slice_take(text, size), fault))
            return false;
        text = slice_skip(text, size + 1);
    }
    return true;
}

bool hl7_message_parse(struct slice bytes, const char *otherwise, struct hl7_message *message,
                       struct hl7_fault *fault)
{
    struct hl7_header header;
    memset(message, 0, sizeof(*message));
    message->charset = charset_utf8();
    if (!hl7_header_read(bytes, &header)) {
        hl7_fault_set(fault, HL7_SEQUENCE_ERROR, "MSH", 1, 0,
                      "the message does not begin with MSH and five different separators");
        return false;
    }
    bool ok = find_charset(&header, otherwise, &message->charset, fault) &&
              decode(message, bytes, fault);
    /* In a set that has other signs at these places, such as the yen of JIS X 0201. */
    if (ok && !read_separators(message->text, &message->separators))
        ok = hl7_fault_set(fault, HL7_DATA_TYPE, "MSH", 1, 2,
                           "the separators are not the same in the message's character set");
    ok = ok && split(message, fault);
    if (!ok)
        hl7_message_release(message);
    return ok;
}

void hl7_message_release(struct hl7_message *message)
{
    free(message->segments);
    message->segments = NULL;
    message->count = 0;
    buffer_release(&message->decoded);
}

/* Parts. */

const struct hl7_segment *hl7_find(const struct hl7_message *message, const char *name,
                                   const struct hl7_segment *after)
{
    if (!after)
        return first_of(message, name);
    if (after->count == 1 && hl7_is_segment(after, name)) /* the only one */
        return NULL;
    for (size_t i = (size_t)(after - message->segments) + 1; i < message->count; i++)
        if (hl7_is_segment(&message->segments[i], name))
            return &message->segments[i];
    return NULL;
}

struct slice hl7_field(const struct hl7_message *message, const struct hl7_segment *segment,
                       unsigned number)
{
    bool is_header = hl7_is_segment(segment, "MSH");
    if (number == 0)
        return slice_of(NULL, 0);
    if (is_header && number == 1)
        return slice_take(slice_skip(segment->bytes, 3), 1);
    return part(slice_skip(segment->bytes, 4), message->separators.field, number - is_header);
}

unsigned hl7_repetitions(const struct hl7_message *message, struct slice field)
{
    unsigned count = field.size > 0;
    for (size_t i = 0; i < field.size; i++)
        count += field.data[i] == message->separators.repetition;
    return count;
}

struct slice hl7_repetition(const struct hl7_message *message, struct slice field, unsigned number)
{
    return part(field, message->separators.repetition, number);
}

bool hl7_next_repetition(const struct hl7_message *message, struct slice *rest,
                         struct slice *repetition)
{
    if (!rest->size)
        return false;
    const uint8_t *end = memchr(rest->data, message->separators.repetition, rest->size);
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    *repetition = slice_take(*rest, size);
    *rest = slice_skip(*rest, size + 1);
    return true;
}

struct slice hl7_component(const struct hl7_message *message, struct slice repetition,
                           unsigned number)
{
    return part(repetition, message->separators.component, number);
}

struct slice hl7_subcomponent(const struct hl7_message *message, struct slice component,
                              unsigned number)
{
    return part(component, message->separators.subcomponent, number);
}

struct slice hl7_value(const struct hl7_message *message, const struct hl7_segment *segment,
                       unsigned field, unsigned component)
{
    if (!segment)
        return slice_of(NULL, 0);
    struct slice value = hl7_field(message, segment, field);
    if (field <= 2 && hl7_is_segment(segment, "MSH")) /* the separators themselves */
        return value;
    value = hl7_repetition(message, value, 1);
    return component ? hl7_component(message, value, component) : value;
}

bool hl7_is_null(struct slice value)
{
    return slice_equals_text(value, "\"\"");
}

/* Escapes. */

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* \Xhhhh\: bytes of the message's character set. */
static bool append_hex(const struct hl7_message *message, struct slice digits, struct buffer *text)
{
    uint8_t bytes[MAX_ESCAPE / 2];
    size_t size = digits.size / 2;
    if (digits.size % 2)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(digits.data[2 * i]);
        int low = hex_digit(digits.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    charset_decode(message->charset, VR_UR, slice_of(bytes, size), text);
    return true;
}

static bool is_formatting(struct slice escape)
{
    /* Highlighting, and the commands of FT (HL7 v2.5.1 2.7.6): they begin with a point. */
    return slice_equals_text(escape, "H") || slice_equals_text(escape, "N") ||
           escape.data[0] == '.';
}

static bool append_escape(const struct hl7_message *message, struct slice escape,
                          struct buffer *text)
{
    const struct hl7_separators *separators = &message->separators;
    const struct {
        const char *name;
        uint8_t byte;
    } names[] = { { "F", separators->field },
                  { "S", separators->component },
                  { "T", separators->subcomponent },
                  { "R", separators->repetition },
                  { "E", separators->escape },
                  { ".br", '\n' },
                  { ".sp", '\n' } };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].byte && slice_equals_text(escape, names[i].name))
            return buffer_append_byte(text, names[i].byte);
    if (escape.data[0] == 'X' || escape.data[0] == 'x')
        return append_hex(message, slice_skip(escape, 1), text);
    return is_formatting(escape);
}

void hl7_unescape(const struct hl7_message *message, struct slice value, struct buffer *text)
{
    uint8_t mark = message->separators.escape;
    if (hl7_is_null(value))
        return;
    while (value.size) {
        const uint8_t *begin = mark ? memchr(value.data, mark, value.size) : NULL;
        size_t plain = begin ? (size_t)(begin - value.data) : value.size;
        utf8_append_repaired(text, slice_take(value, plain));
        value = slice_skip(value, plain);
        if (!value.size)
            return;
        struct slice inside = slice_take(slice_skip(value, 1), MAX_ESCAPE);
        const uint8_t *end = inside.size ? memchr(inside.data, mark, inside.size) : NULL;
        inside = slice_take(inside, end ? (size_t)(end - inside.data) : 0);
        if (inside.size && append_escape(message, inside, text)) {
            value = slice_skip(value, inside.size + 2);
        } else { /* no escape: the character itself */
            buffer_append_byte(text, mark);
            value = slice_skip(value, 1);
        }
    }
}
