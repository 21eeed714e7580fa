/* SPDX-License-Identifier: MIT */
/* One byte for the transfer syntax, then a data set. What the scan lets pass must come out as JSON
 * that a strict reader takes: keys ascending, one of Value, BulkDataURI and InlineBinary at most;
 * and as the same after a data set that differs in a byte. */
#include "dicom/json.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/scan.h"
#include "dicom/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A reader of JSON without recursion (RFC 8259). */
struct reader {
    struct slice rest;
    char open[512]; /* '{' or '[' */
    size_t depth;
};

static uint8_t peek(const struct reader *reader)
{
    return reader->rest.size ? reader->rest.data[0] : 0;
}

static void take(struct reader *reader, uint8_t byte)
{
    if (peek(reader) != byte || !reader->rest.size)
        abort();
    reader->rest = slice_skip(reader->rest, 1);
}

static void take_escape(struct reader *reader)
{
    static const char simple[] = "\"\\/bfnrt";
    uint8_t letter = peek(reader);
    take(reader, letter);
    if (letter == 'u') {
        for (int i = 0; i < 4; i++) {
            uint8_t digit = peek(reader);
            if (!digit || !strchr("0123456789ABCDEFabcdef", digit))
                abort();
            take(reader, digit);
        }
    } else if (!letter || !strchr(simple, letter)) {
        abort();
    }
}

static struct slice take_string(struct reader *reader)
{
    take(reader, '"');
    const uint8_t *begin = reader->rest.data;
    while (peek(reader) != '"') {
        uint8_t byte = peek(reader);
        if (byte < 0x20)
            abort();
        take(reader, byte);
        if (byte == '\\')
            take_escape(reader);
    }
    struct slice text = slice_of(begin, (size_t)(reader->rest.data - begin));
    take(reader, '"');
    return text;
}

static size_t take_digits(struct reader *reader)
{
    size_t count = 0;
    while (peek(reader) >= '0' && peek(reader) <= '9') {
        take(reader, peek(reader));
        count++;
    }
    return count;
}

static void take_number(struct reader *reader)
{
    if (peek(reader) == '-')
        take(reader, '-');
    bool zero = peek(reader) == '0';
    size_t whole = take_digits(reader);
    if (!whole || (zero && whole > 1))
        abort();
    if (peek(reader) == '.') {
        take(reader, '.');
        if (!take_digits(reader))
            abort();
    }
    if (peek(reader) == 'e' || peek(reader) == 'E') {
        take(reader, peek(reader));
        if (peek(reader) == '+' || peek(reader) == '-')
            take(reader, peek(reader));
        if (!take_digits(reader))
            abort();
    }
}

static void take_scalar(struct reader *reader)
{
    if (peek(reader) == '"')
        take_string(reader);
    else if (peek(reader) == 'n')
        for (const char *letter = "null"; *letter; letter++)
            take(reader, (uint8_t)*letter);
    else
        take_number(reader);
}

static void open_level(struct reader *reader, char kind)
{
    take(reader, (uint8_t)kind);
    if (reader->depth == sizeof(reader->open))
        abort();
    reader->open[reader->depth++] = kind;
}

/* Behind a value: the ends that follow, and a comma unless all is over. */
static void take_ends(struct reader *reader)
{
    while (reader->depth) {
        char close = reader->open[reader->depth - 1] == '{' ? '}' : ']';
        if (peek(reader) != close) {
            take(reader, ',');
            return;
        }
        take(reader, (uint8_t)close);
        reader->depth--;
    }
}

/* Tags of open objects must ascend: the last one of each depth. */
static void check_json(struct slice json)
{
    static struct slice last[512];
    struct reader reader = { .rest = json };
    bool begins = true;
    if (!utf8_is_valid(json))
        abort();
    for (bool first = true; first || reader.depth; first = false) {
        if (reader.depth && reader.open[reader.depth - 1] == '{') {
            struct slice key = take_string(&reader);
            take(&reader, ':');
            if (key.size == 8 && !begins && last[reader.depth].size == 8 &&
                slice_compare(last[reader.depth], key) >= 0)
                abort();
            last[reader.depth] = key;
        }
        begins = false;
        uint8_t kind = peek(&reader);
        if (kind == '{' || kind == '[') {
            open_level(&reader, (char)kind);
            last[reader.depth].size = 0;
            if (peek(&reader) != (kind == '{' ? '}' : ']'))
                continue;
        } else {
            take_scalar(&reader);
        }
        take_ends(&reader);
    }
    if (reader.rest.size)
        abort();
}

/* A writer that knows the data set before writes the same. */
static void write_json(const struct dataset *dataset, const struct json_options *options,
                       struct json_writer *writer)
{
    struct buffer json = buffer_up_to(64 << 20);
    struct buffer alike = buffer_up_to(64 << 20);
    json_write_dataset(dataset, options, &json);
    json_writer_put(writer, dataset, options, &alike);
    if (!json.overflowed)
        check_json(buffer_slice(&json));
    if (!slice_equal(buffer_slice(&json), buffer_slice(&alike)))
        abort();
    buffer_release(&json);
    buffer_release(&alike);
}

static void write_bytes(struct slice bytes, const struct transfer_syntax *syntax,
                        struct json_writer *writer)
{
    static const uint32_t some[] = { 0x00080005, 0x00081140, 0x00100010 };
    static const struct json_options options[] = {
        { .bulk_data_prefix = "/b\"/" },
        { .bulk_data_prefix = NULL, .inline_binary_limit = 4 },
        { .tags = some, .tag_count = 3 },
        { .bulk_data_prefix = "/b\"/" },
    };
    struct scan_limits limits = scan_default_limits;
    limits.value_size = 64;
    struct scan *scan = scan_new(syntax, &limits);
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    size_t count;
    if (scan_write(scan, bytes, &err) && scan_finish(scan, &err)) {
        const struct elision *elisions = scan_elisions(scan, &count);
        if (dataset_open(scan_header(scan), syntax, elisions, count, &dataset, &err)) {
            for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
                write_json(dataset, &options[i], writer);
        }
    }
    dataset_close(dataset);
    scan_free(scan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const syntaxes[] = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN,
                                            UID_EXPLICIT_BIG_ENDIAN, UID_JPEG_BASELINE };
    if (size < 4)
        return 0;
    const struct transfer_syntax *syntax = transfer_syntax_find(slice_text(syntaxes[data[0] % 4]));
    struct slice bytes = slice_of(data + 1, size - 1);
    struct json_writer *writer = json_writer_new();
    write_bytes(bytes, syntax, writer);
    /* One that is much alike, and the first again. */
    uint8_t *changed = mem_copy(bytes.data, bytes.size);
    changed[(size_t)(data[0] >> 2) * bytes.size / 64] ^= data[size - 1] | 1;
    write_bytes(slice_of(changed, bytes.size), syntax, writer);
    write_bytes(bytes, syntax, writer);
    free(changed);
    json_writer_free(writer);
    return 0;
}
