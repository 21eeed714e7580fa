/* SPDX-License-Identifier: MIT */
#include "dicom/json.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/model_alike.h"

static void put_separator(struct buffer *json)
{
    JSON_PUT(json, ",");
}

static void put_begin(struct buffer *json)
{
    JSON_PUT(json, "{");
}

static void put_end(struct buffer *json)
{
    JSON_PUT(json, "}");
}

/* `"ggggeeee":{"vr":"XX"` */
static void put_member(struct model_writer *writer, uint32_t tag, uint16_t vr)
{
    char start[] = "\"ggggeeee\":{\"vr\":\"XX\"";
    json_tag_digits(tag, start + 1);
    start[sizeof(start) - 4] = (char)(vr >> 8);
    start[sizeof(start) - 3] = (char)(vr & 0xFF);
    json_put(writer->out, start, sizeof(start) - 1);
}

static void put_item(struct buffer *json, size_t number)
{
    if (number > 1)
        JSON_PUT(json, ",{");
    else
        JSON_PUT(json, ",\"Value\":[{");
}

static void put_sequence_end(struct buffer *json, size_t item_count)
{
    if (item_count)
        JSON_PUT(json, "]");
}

static void put_values(struct model_writer *writer, const struct element *element,
                       enum model_kind kind)
{
    writer->beyond_ascii |= json_put_values(element, kind, &writer->text, writer->out);
}

static void put_utf8(struct buffer *json)
{
    JSON_PUT(json, ",\"Value\":[\"ISO_IR 192\"]");
}

static void put_binary(struct buffer *json, const struct element *element)
{
    JSON_PUT(json, ",\"InlineBinary\":\"");
    model_put_base64(element, json);
    JSON_PUT(json, "\"");
}

static void put_bulk_data(struct model_writer *writer, const char *path)
{
    JSON_PUT(writer->out, ",\"BulkDataURI\":\"");
    json_put_escaped(slice_text(path), writer->out);
    JSON_PUT(writer->out, "\"");
}

static const struct model_format json_format = {
    .separator_size = 1,
    .separator = put_separator,
    .begin = put_begin,
    .end = put_end,
    .member_begin = put_member,
    .member_end = put_end,
    .item_begin = put_item,
    .item_end = put_end,
    .sequence_end = put_sequence_end,
    .values = put_values,
    .utf8 = put_utf8,
    .binary = put_binary,
    .bulk_data = put_bulk_data,
};

void json_write_dataset(const struct dataset *dataset, const struct json_options *options,
                        struct buffer *json)
{
    model_write(&json_format, dataset, options, NULL, json);
}

struct json_writer {
    struct model_alike *alike;
};

struct json_writer *json_writer_new(void)
{
    struct json_writer *writer = mem_alloc(sizeof(*writer));
    writer->alike = model_alike_new();
    return writer;
}

void json_writer_free(struct json_writer *writer)
{
    if (!writer)
        return;
    model_alike_free(writer->alike);
    free(writer);
}

void json_writer_put(struct json_writer *writer, const struct dataset *dataset,
                     const struct json_options *options, struct buffer *json)
{
    model_write(&json_format, dataset, options, options->tags ? NULL : writer->alike, json);
}
