/* SPDX-License-Identifier: MIT */
#include "http/multipart_reader.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/memory.h"

enum {
    MAX_PADDING = 64,         /* spaces and tabs behind a boundary */
    MAX_PREAMBLE = 1 << 20,   /* before the first delimiter */
    MAX_FIELDS = 32,          /* header fields of a part */
    CARRY_SIZE = 512,         /* holds any delimiter line, and bytes before it */
    NEEDLE_SIZE = 4 + 70 + 1, /* CR LF -- boundary */
};

enum state { IN_PREAMBLE, IN_HEADERS, IN_CONTENT, IN_EPILOGUE };

struct field {
    const char *name;
    const char *value;
};

struct multipart_reader {
    enum state state;
    char needle[NEEDLE_SIZE + 1]; /* "\r\n--boundary" */
    size_t needle_size;
    struct multipart_limits limits;
    struct slice input;        /* fed and not yet used */
    uint8_t carry[CARRY_SIZE]; /* bytes before `input` that may begin a delimiter */
    size_t carry_size;
    size_t carry_used;  /* of these, content that was handed out by the last call */
    bool at_line_start; /* a delimiter may stand here without a line end of its own before it */
    bool bare_newlines; /* the first delimiter line ended in LF alone: so may all lines */
    bool first_seen;
    bool finished;
    bool end_due; /* the delimiter that ended a part was the closing one */
    uint64_t part_count;
    uint64_t preamble_size;
    struct buffer headers;
    struct field fields[MAX_FIELDS];
    size_t field_count;
};

bool multipart_boundary_is_valid(const char *boundary)
{
    size_t size = strspn(boundary, "0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ");
    return size >= 1 && size <= 70 && boundary[size] == '\0' && boundary[size - 1] != ' ';
}

struct multipart_reader *multipart_reader_new(const char *boundary,
                                              const struct multipart_limits *limits)
{
    struct multipart_reader *reader = mem_alloc(sizeof(*reader));
    if (limits)
        reader->limits = *limits;
    if (!reader->limits.header_bytes)
        reader->limits.header_bytes = 16 << 10;
    if (!reader->limits.parts)
        reader->limits.parts = 100000;
    size_t size = strlen(boundary);
    memcpy(reader->needle, "\r\n--", 4);
    memcpy(reader->needle + 4, boundary, size);
    reader->needle_size = 4 + size;
    reader->headers = buffer_up_to(reader->limits.header_bytes);
    reader->at_line_start = true;
    return reader;
}

void multipart_reader_free(struct multipart_reader *reader)
{
    if (!reader)
        return;
    buffer_release(&reader->headers);
    free(reader);
}

void multipart_feed(struct multipart_reader *reader, struct slice bytes)
{
    reader->input = bytes;
}

void multipart_finish(struct multipart_reader *reader)
{
    reader->finished = true;
}

/* --- delimiters --- */

enum verdict {
    NO_DELIMITER,
    MAYBE, /* more bytes must tell */
    DELIMITER,
    CLOSING,
};

/* What stands behind a boundary decides: padding and a line end (or, behind "--", the end of the
 * body), else the line only begins like a delimiter. *size: bytes up to the end of that line. */
static enum verdict judge_line_end(struct slice rest, bool finished, bool *bare, size_t *size)
{
    size_t at = 0;
    bool closing = false;
    if (rest.size && rest.data[0] == '-') {
        if (rest.size < 2)
            return finished ? NO_DELIMITER : MAYBE;
        if (rest.data[1] != '-')
            return NO_DELIMITER;
        closing = true;
        at = 2;
    }
    size_t padded = at;
    while (at < rest.size && (rest.data[at] == ' ' || rest.data[at] == '\t'))
        if (++at - padded > MAX_PADDING)
            return NO_DELIMITER;
    bool carriage = at < rest.size && rest.data[at] == '\r';
    at += carriage;
    if (at == rest.size) {
        *size = at;
        if (!finished)
            return MAYBE;
        return closing ? CLOSING : NO_DELIMITER;
    }
    if (rest.data[at] != '\n')
        return NO_DELIMITER;
    *bare = !carriage;
    *size = at + 1;
    return closing ? CLOSING : DELIMITER;
}

struct finding {
    enum verdict verdict;
    size_t content; /* bytes before it, or before what may be it */
    size_t end;     /* behind its line */
    bool bare;      /* its line ended in LF alone */
};

/* Does a delimiter whose boundary line begins at `line` begin there? `content` is where the content
 * before it ends. */
static struct finding judge(const struct multipart_reader *reader, struct slice bytes,
                            size_t content, size_t line)
{
    struct finding finding = { NO_DELIMITER, content, 0, false };
    size_t behind = line + reader->needle_size - 2;
    size_t size = 0;
    finding.verdict = judge_line_end(slice_skip(bytes, behind), reader->finished, &finding.bare,
                                     &size);
    finding.end = behind + size;
    return finding;
}

/* Up to the first delimiter line nobody knows yet how the lines end. */
static bool takes_bare_newlines(const struct multipart_reader *reader)
{
    return reader->bare_newlines || !reader->first_seen;
}

/* Where the end of `bytes` may be the beginning of a delimiter; its size when it cannot. */
static size_t find_partial(const struct multipart_reader *reader, struct slice bytes)
{
    size_t first = bytes.size >= reader->needle_size ? bytes.size - reader->needle_size + 1 : 0;
    for (size_t at = first; at < bytes.size; at++) {
        size_t left = bytes.size - at;
        if (memcmp(bytes.data + at, reader->needle, left) == 0)
            return at;
        if (left < reader->needle_size && takes_bare_newlines(reader) &&
            memcmp(bytes.data + at, reader->needle + 1, left) == 0)
            return at;
    }
    return bytes.size;
}

/* LF--boundary. By memchr, as memmem is ten times slower on zeros (the background of most images)
 * with one boundary in a few: its hash of two bytes collides. Where line feeds stand dense, memmem
 * it is. */
static const uint8_t *find_line(const struct multipart_reader *reader, struct slice bytes)
{
    const uint8_t *needle = (const uint8_t *)reader->needle + 1;
    size_t size = reader->needle_size - 1;
    const uint8_t *end = bytes.data + bytes.size;
    const uint8_t *at = bytes.data;
    for (size_t hits = 1; at < end; hits++, at++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (!at || (size_t)(end - at) < size)
            return NULL;
        if (at[1] == '-' && memcmp(at, needle, size) == 0)
            return at;
        if (hits >= 64 && (size_t)(at - bytes.data) < hits * 32)
            return memmem(at + 1, (size_t)(end - at) - 1, needle, size);
    }
    return NULL;
}

/* The first delimiter in `bytes`, or how many bytes surely are content. */
static struct finding find_delimiter(const struct multipart_reader *reader, struct slice bytes)
{
    const char *line = reader->needle + 2; /* "--boundary" */
    size_t line_size = reader->needle_size - 2;
    if (reader->at_line_start) {
        size_t common = bytes.size < line_size ? bytes.size : line_size;
        if (memcmp(bytes.data, line, common) == 0) {
            struct finding finding = { MAYBE, 0, 0, false };
            if (common == line_size)
                finding = judge(reader, bytes, 0, 0);
            else if (reader->finished)
                finding.verdict = NO_DELIMITER;
            if (finding.verdict != NO_DELIMITER)
                return finding;
        }
    }
    for (size_t at = 0; at < bytes.size;) {
        const uint8_t *found = find_line(reader, slice_skip(bytes, at));
        if (!found)
            break;
        size_t newline = (size_t)(found - bytes.data);
        bool carriage = newline && bytes.data[newline - 1] == '\r';
        if (carriage || takes_bare_newlines(reader)) {
            struct finding finding = judge(reader, bytes, newline - carriage, newline + 1);
            if (finding.verdict != NO_DELIMITER)
                return finding;
        }
        at = newline + 1;
    }
    struct finding none = { NO_DELIMITER, bytes.size, 0, false };
    if (!reader->finished) {
        none.content = find_partial(reader, bytes);
        none.verdict = none.content < bytes.size ? MAYBE : NO_DELIMITER;
    }
    return none;
}

/* --- header fields --- */

static bool parse_field(struct multipart_reader *reader, char *line, struct error *err)
{
    if (line[0] == ' ' || line[0] == '\t')
        return true; /* a folded continuation: no field that we read is folded */
    char *colon = strchr(line, ':');
    if (!colon || colon == line)
        return error_set(err, ERROR_INVALID, "a part's header has a line that is no field");
    if (reader->field_count == MAX_FIELDS)
        return error_set(err, ERROR_LIMIT, "a part has more than %d header fields", MAX_FIELDS);
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t size = strlen(value); size && strchr(" \t\r", value[size - 1]); size--)
        value[size - 1] = '\0';
    reader->fields[reader->field_count].name = line;
    reader->fields[reader->field_count++].value = value;
    return true;
}

static bool parse_fields(struct multipart_reader *reader, struct error *err)
{
    reader->field_count = 0;
    if (memchr(reader->headers.data, '\0', reader->headers.size))
        return error_set(err, ERROR_INVALID, "a part's header holds a NUL");
    buffer_text(&reader->headers);
    char *line = (char *)reader->headers.data;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (line[0] == '\0' || strcmp(line, "\r") == 0)
            break;
        if (!parse_field(reader, line, err))
            return false;
    }
    return true;
}

/* Moves header lines out of the input. *complete when the empty line was among them. */
static bool take_headers(struct multipart_reader *reader, bool *complete, struct error *err)
{
    *complete = false;
    while (reader->input.size && !*complete) {
        const uint8_t *newline = memchr(reader->input.data, '\n', reader->input.size);
        size_t size = newline ? (size_t)(newline - reader->input.data) + 1 : reader->input.size;
        if (!buffer_append(&reader->headers, slice_take(reader->input, size)))
            return error_set(err, ERROR_LIMIT, "a part's header exceeds %zu bytes",
                             reader->limits.header_bytes);
        reader->input = slice_skip(reader->input, size);
        size_t all = reader->headers.size;
        const uint8_t *data = reader->headers.data;
        *complete = newline && (all == 1 || data[all - 2] == '\n' ||
                                (data[all - 2] == '\r' && (all == 2 || data[all - 3] == '\n')));
    }
    return true;
}

/* --- events --- */

/* Drops what the last call handed out of the carry, and fills it up from the input. */
static void refill_carry(struct multipart_reader *reader)
{
    reader->carry_size -= reader->carry_used;
    memmove(reader->carry, reader->carry + reader->carry_used, reader->carry_size);
    reader->carry_used = 0;
    if (!reader->carry_size)
        return;
    size_t size = CARRY_SIZE - reader->carry_size;
    if (size > reader->input.size)
        size = reader->input.size;
    if (size)
        memcpy(reader->carry + reader->carry_size, reader->input.data, size);
    reader->carry_size += size;
    reader->input = slice_skip(reader->input, size);
}

static void begin_headers(struct multipart_reader *reader, const struct finding *finding)
{
    if (!reader->first_seen)
        reader->bare_newlines = finding->bare;
    reader->first_seen = true;
    reader->state = finding->verdict == CLOSING ? IN_EPILOGUE : IN_HEADERS;
    reader->end_due = finding->verdict == CLOSING;
    reader->part_count += finding->verdict != CLOSING;
    buffer_clear(&reader->headers);
}

/* Preamble and content: finds the next delimiter and gives out what stands before it. *done false:
 * nothing to tell yet, go on in the state that is now. */
static bool scan(struct multipart_reader *reader, struct multipart_event *event, bool *done,
                 struct error *err)
{
    refill_carry(reader);
    bool in_carry = reader->carry_size > 0;
    struct slice bytes = in_carry ? slice_of(reader->carry, reader->carry_size) : reader->input;
    bool in_part = reader->state == IN_CONTENT;
    *done = true;
    if (!bytes.size) {
        if (reader->finished)
            return error_set(err, ERROR_INVALID, "the body ends without its closing delimiter");
        event->kind = MULTIPART_MORE;
        return true;
    }
    struct finding finding = find_delimiter(reader, bytes);
    if (finding.content) {
        reader->at_line_start = false;
        if (in_carry)
            reader->carry_used = finding.content;
        else
            reader->input = slice_skip(reader->input, finding.content);
        event->kind = MULTIPART_CONTENT;
        event->content = slice_take(bytes, finding.content);
        if (!in_part) {
            reader->preamble_size += finding.content;
            if (reader->preamble_size > MAX_PREAMBLE)
                return error_set(err, ERROR_INVALID, "the body begins with no delimiter");
        }
        *done = in_part;
        return true;
    }
    if (finding.verdict == MAYBE) {
        if (!in_carry) {
            memcpy(reader->carry, bytes.data, bytes.size);
            reader->carry_size = bytes.size;
            reader->input = slice_of(NULL, 0);
        }
        event->kind = MULTIPART_MORE;
        return true;
    }
    /* What lies in the carry behind the delimiter came from the input by the last refill. */
    if (in_carry) {
        size_t back = reader->carry_size - finding.end;
        if (back) /* there may be no input, and nothing is not subtracted from NULL */
            reader->input = slice_of(reader->input.data - back, reader->input.size + back);
        reader->carry_size = 0;
    } else {
        reader->input = slice_skip(reader->input, finding.end);
    }
    event->kind = MULTIPART_PART_END;
    *done = in_part;
    begin_headers(reader, &finding);
    return true;
}

static bool read_headers(struct multipart_reader *reader, struct multipart_event *event,
                         struct error *err)
{
    bool complete;
    if (reader->part_count > reader->limits.parts)
        return error_set(err, ERROR_LIMIT, "the body has more than %llu parts",
                         (unsigned long long)reader->limits.parts);
    if (!take_headers(reader, &complete, err))
        return false;
    if (!complete) {
        if (reader->finished)
            return error_set(err, ERROR_INVALID, "the body ends in the header of a part");
        event->kind = MULTIPART_MORE;
        return true;
    }
    if (!parse_fields(reader, err))
        return false;
    reader->state = IN_CONTENT;
    reader->at_line_start = true;
    event->kind = MULTIPART_PART;
    return true;
}

bool multipart_next(struct multipart_reader *reader, struct multipart_event *event,
                    struct error *err)
{
    for (;;) {
        bool done = true;
        bool ok = true;
        memset(event, 0, sizeof(*event));
        switch (reader->state) {
        case IN_PREAMBLE:
        case IN_CONTENT:
            ok = scan(reader, event, &done, err);
            break;
        case IN_HEADERS:
            ok = read_headers(reader, event, err);
            break;
        case IN_EPILOGUE:
            reader->input = slice_of(NULL, 0);
            event->kind = reader->end_due ? MULTIPART_END : MULTIPART_MORE;
            reader->end_due = false;
            break;
        }
        if (done || !ok)
            return ok;
    }
}

const char *multipart_part_header(const struct multipart_reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->field_count; i++)
        if (strcasecmp(reader->fields[i].name, name) == 0)
            return reader->fields[i].value;
    return NULL;
}
