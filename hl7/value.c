/* SPDX-License-Identifier: MIT */
#include "hl7/value.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "dicom/date_time.h"
#include "dicom/tag.h"
#include "dicom/uid.h"
#include "dicom/utf8.h"

enum {
    NAME_GROUP = 64,        /* characters of a component group (PS3.5 6.2) */
    TEXT_LIMIT = 128 << 10, /* of one value while it is being made */
    MAX_NAMES = 10,         /* repetitions that are looked at */
};

size_t hl7_fit_size(uint16_t vr)
{
    static const struct {
        uint16_t vr;
        size_t size;
    } sizes[] = {
        { VR_SH, 16 },   { VR_LO, 64 },    { VR_ST, 1024 }, { VR_LT, 10240 }, { VR_CS, 16 },
        { VR_AE, 16 },   { VR_UI, 64 },    { VR_IS, 12 },   { VR_DS, 16 },    { VR_UC, 65534 },
        { VR_UR, 2048 }, { VR_UT, 65534 }, { VR_AS, 4 },
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i].vr == vr)
            return sizes[i].size;
    return SIZE_MAX;
}

static struct slice trim(struct slice text)
{
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_skip(text, 1);
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\n'))
        text.size--;
    return text;
}

/* Appends at most `limit` characters; each one that `forbidden` has, or a control, is replaced. */
static enum hl7_fit append_characters(struct slice text, size_t limit, const char *forbidden,
                                      char instead, bool has_lines, struct buffer *value)
{
    enum hl7_fit fit = HL7_FITS;
    while (text.size) {
        size_t size;
        uint32_t code = utf8_next(text, &size);
        if (limit-- == 0)
            return HL7_CUT;
        if (code == '\n' && has_lines) {
            buffer_append_text(value, "\r\n");
        } else if (code < ' ' || (code >= 0x7F && code < 0xA0)) {
            buffer_append_byte(value, ' ');
            fit = HL7_REPLACED;
        } else if (code < 0x80 && strchr(forbidden, (int)code)) {
            buffer_append_byte(value, (uint8_t)instead);
            fit = HL7_REPLACED;
        } else {
            buffer_append(value, slice_take(text, size));
        }
        text = slice_skip(text, size);
    }
    return fit;
}

/* Digits of a time stamp before fraction and offset. */
static size_t stamp_digits(struct slice text)
{
    size_t digits = 0;
    while (digits < text.size && isdigit(text.data[digits]))
        digits++;
    return digits;
}

static enum hl7_fit fit_date(struct slice text, struct buffer *value)
{
    struct time_span span;
    struct slice day = slice_take(text, 8);
    if (stamp_digits(text) < 8 || !date_parse(day, &span))
        return HL7_WRONG;
    buffer_append(value, day);
    return HL7_FITS;
}

/* The time of a time stamp, to the second; none in one of a day alone. */
static enum hl7_fit fit_time(struct slice text, struct buffer *value)
{
    struct time_span span;
    size_t digits = stamp_digits(text);
    struct slice time = slice_take(slice_skip(text, 8), digits >= 14 ? 6 : 4);
    if (digits < 12 || !time_parse(time, &span))
        return HL7_WRONG;
    buffer_append(value, time);
    return HL7_FITS;
}

static enum hl7_fit fit_date_time(struct slice text, struct buffer *value)
{
    struct time_span span;
    if (text.size > 26 || stamp_digits(text) < 4 || !date_time_parse(text, &span))
        return HL7_WRONG;
    buffer_append(value, text);
    return HL7_FITS;
}

static enum hl7_fit fit_code_string(struct slice text, struct buffer *value)
{
    size_t before = value->size;
    if (text.size > 16)
        return HL7_WRONG;
    for (size_t i = 0; i < text.size; i++) {
        int c = toupper(text.data[i]);
        if (!isupper(c) && !isdigit(c) && c != ' ' && c != '_') {
            value->size = before;
            return HL7_WRONG;
        }
        buffer_append_byte(value, (uint8_t)c);
    }
    return HL7_FITS;
}

static enum hl7_fit fit_ae_title(struct slice text, struct buffer *value)
{
    if (text.size > 16)
        return HL7_WRONG;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < ' ' || text.data[i] > '~' || text.data[i] == '\\')
            return HL7_WRONG;
    buffer_append(value, text);
    return HL7_FITS;
}

static enum hl7_fit fit_number(struct slice text, size_t limit, bool is_integer,
                               struct buffer *value)
{
    if (text.size > limit)
        return HL7_WRONG;
    for (size_t i = 0; i < text.size; i++)
        if (!isdigit(text.data[i]) && !strchr(is_integer ? "+-" : "+-.eE", text.data[i]))
            return HL7_WRONG;
    buffer_append(value, text);
    return HL7_FITS;
}

static enum hl7_fit fit_uid(struct slice text, struct buffer *value)
{
    char uid[UID_SIZE];
    if (!uid_copy(text, uid))
        return HL7_WRONG;
    buffer_append_text(value, uid);
    return HL7_FITS;
}

enum hl7_fit hl7_fit(uint16_t vr, struct slice utf8, struct buffer *value)
{
    struct slice text = trim(utf8);
    if (!text.size)
        return HL7_FITS;
    switch (vr) {
    case VR_DA:
        return fit_date(text, value);
    case VR_TM:
        return fit_time(text, value);
    case VR_DT:
        return fit_date_time(text, value);
    case VR_CS:
        return fit_code_string(text, value);
    case VR_AE:
        return fit_ae_title(text, value);
    case VR_UI:
        return fit_uid(text, value);
    case VR_IS:
    case VR_DS:
        return fit_number(text, hl7_fit_size(vr), vr == VR_IS, value);
    case VR_PN:
        return append_characters(text, NAME_GROUP, "\\=", ' ', false, value);
    case VR_ST:
    case VR_LT:
    case VR_UT:
        return append_characters(text, hl7_fit_size(vr), "", ' ', true, value);
    case VR_SH:
    case VR_LO:
    case VR_UC:
        return append_characters(text, hl7_fit_size(vr), "\\", '/', false, value);
    default:
        return HL7_WRONG;
    }
}

/* Names. */

static enum hl7_fit worse(enum hl7_fit a, enum hl7_fit b)
{
    return a > b ? a : b;
}

/* Family, given, middle, prefix, suffix (PS3.5 6.2.1.2) of a repetition. */
static enum hl7_fit append_group(const struct hl7_message *message, struct slice name,
                                 bool is_provider, struct buffer *group)
{
    /* XPN: family^given^middle^suffix^prefix; in XCN they stand behind the ID. */
    static const unsigned order[] = { 1, 2, 3, 5, 4 };
    struct buffer text = buffer_up_to(TEXT_LIMIT);
    enum hl7_fit fit = HL7_FITS;
    size_t end = 0;
    for (size_t i = 0; i < 5; i++) {
        struct slice part = hl7_component(message, name, order[i] + is_provider);
        if (order[i] == 1) /* FN: the surname stands first */
            part = hl7_subcomponent(message, part, 1);
        buffer_clear(&text);
        hl7_unescape(message, part, &text);
        if (i)
            buffer_append_byte(group, '^');
        fit = worse(
            fit, append_characters(trim(buffer_slice(&text)), SIZE_MAX, "\\=^", ' ', false, group));
        if (text.size)
            end = group->size;
    }
    group->size = end; /* no delimiters at the end */
    buffer_release(&text);
    return fit;
}

static size_t group_of(const struct hl7_message *message, struct slice name, bool is_provider)
{
    struct slice code = hl7_component(message, name, is_provider ? 15 : 8);
    return slice_equals_text(code, "I") ? 1 : slice_equals_text(code, "P") ? 2 : 0;
}

enum hl7_fit hl7_fit_name(const struct hl7_message *message, struct slice field, bool is_provider,
                          struct buffer *value)
{
    bool is_there[3] = { false };
    enum hl7_fit fit = HL7_FITS;
    struct buffer groups[3];
    struct slice name;
    for (size_t i = 0; i < 3; i++)
        groups[i] = buffer_up_to(TEXT_LIMIT);
    for (unsigned i = 0; i < MAX_NAMES && hl7_next_repetition(message, &field, &name); i++) {
        size_t group = group_of(message, name, is_provider);
        if (is_there[group] || !name.size) /* the first one is the legal name */
            continue;
        fit = worse(fit, append_group(message, name, is_provider, &groups[group]));
        is_there[group] = groups[group].size > 0;
    }
    for (size_t i = 0, pending = 0; i < 3; i++) {
        if (groups[i].size) {
            for (; pending; pending--)
                buffer_append_byte(value, '=');
            fit = worse(fit, append_characters(buffer_slice(&groups[i]), NAME_GROUP, "", ' ', false,
                                               value));
        }
        pending++;
        buffer_release(&groups[i]);
    }
    return fit;
}

/* Time. */

static bool read_stamp(struct slice stamp, struct time_span *span, bool *has_offset)
{
    struct slice text = trim(stamp);
    *has_offset = date_time_has_offset(text);
    return stamp_digits(text) >= 8 && text.size <= 26 && date_time_parse(text, span);
}

/* Of a time as if it were of UTC the one of this machine's zone: what is ahead of UTC there and
 * then, looked up where it would be in UTC, then where it is. */
static int64_t in_zone(int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    time_t place = seconds;
    for (int i = 0; i < 2; i++) {
        struct tm parts;
        localtime_r(&place, &parts);
        place = seconds - parts.tm_gmtoff;
    }
    return (int64_t)place * 1000000 + us % 1000000;
}

bool hl7_instant(struct slice stamp, int64_t *us)
{
    struct time_span span;
    bool has_offset;
    if (!read_stamp(stamp, &span, &has_offset))
        return false;
    *us = has_offset ? span.first_us : in_zone(span.first_us);
    return true;
}

bool hl7_instant_last(struct slice stamp, int64_t *us)
{
    struct time_span span;
    bool has_offset;
    if (!read_stamp(stamp, &span, &has_offset))
        return false;
    *us = has_offset ? span.last_us : in_zone(span.last_us);
    return true;
}
