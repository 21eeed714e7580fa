/* SPDX-License-Identifier: MIT */
/* The first byte says which document the rest is and how it is cut. What comes out must not depend
 * on the cuts, and a readable data set, its bulk data put in, must pass the scan; read again from
 * what the JSON writer makes of it, it must be readable still. */
#include <stdlib.h>

#include "base/bytes.h"
#include "dicom/json.h"
#include "dicom/model_reader.h"
#include "dicom/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void splice(const struct model_dataset *dataset, struct buffer *bytes)
{
    size_t at = 0;
    for (size_t i = 0; i < dataset->reference_count; i++) {
        const struct model_reference *reference = &dataset->references[i];
        if (reference->offset < at + 4 || reference->offset > dataset->bytes.size)
            abort();
        buffer_append(bytes, slice_of(dataset->bytes.data + at, reference->offset - at));
        buffer_append_byte(bytes, (uint8_t)(reference->vr >> 8));
        buffer_append_byte(bytes, (uint8_t)reference->vr);
        if (vr_has_long_form(reference->vr)) {
            buffer_append_u16le(bytes, 0);
            buffer_append_u32le(bytes, 0);
        } else {
            buffer_append_u16le(bytes, 0);
        }
        at = reference->offset;
    }
    buffer_append(bytes, slice_skip(dataset->bytes, at));
}

static void write_again(struct slice bytes, struct buffer *json)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    const struct json_options options = { .bulk_data_prefix = "/b/" };
    struct scan *scan = scan_new(syntax, &scan_default_limits);
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    size_t count;
    if (!scan_write(scan, bytes, &err) || !scan_finish(scan, &err))
        abort();
    const struct elision *elisions = scan_elisions(scan, &count);
    if (!dataset_open(scan_header(scan), syntax, elisions, count, &dataset, &err))
        abort();
    buffer_append_byte(json, '[');
    json_write_dataset(dataset, &options, json);
    buffer_append_byte(json, ']');
    dataset_close(dataset);
    scan_free(scan);
}

/* All that is told of a document, and the last readable data set again as JSON. */
static void read_all(enum model_document document, struct slice text, size_t step,
                     struct buffer *told, struct buffer *json)
{
    const struct model_limits limits = { .dataset_size = 1 << 20, .references = 100 };
    struct model_reader *reader = model_reader_new(document, &limits);
    struct model_dataset dataset;
    enum model_event event;
    struct error err;
    while (model_reader_next(reader, &event, &dataset, &err) && event != MODEL_END) {
        if (event == MODEL_DATASET) {
            struct buffer bytes = buffer_up_to(1 << 24);
            buffer_append_format(told, "[%d %s %s]", dataset.error.code, dataset.instance,
                                 dataset.error.message);
            splice(&dataset, &bytes);
            if (dataset.error.code == ERROR_NONE) {
                buffer_append(told, buffer_slice(&bytes));
                buffer_clear(json);
                write_again(buffer_slice(&bytes), json);
            }
            buffer_release(&bytes);
        } else if (text.size) {
            model_reader_feed(reader, slice_take(text, step));
            text = slice_skip(text, step);
        } else {
            model_reader_finish(reader);
        }
    }
    buffer_append_byte(told, event == MODEL_END ? '.' : '!');
    model_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 18)
        return 0;
    enum model_document document = data[0] & 1 ? MODEL_XML : MODEL_JSON;
    struct slice text = slice_of(data + 1, size - 1);
    struct buffer whole = buffer_up_to(1 << 26), cut = buffer_up_to(1 << 26),
                  json = buffer_up_to(1 << 26), again = buffer_up_to(1 << 26);
    read_all(document, text, SIZE_MAX, &whole, &json);
    read_all(document, text, 1 + (data[0] >> 1), &cut, &json);
    if (document == MODEL_JSON && !slice_equal(buffer_slice(&whole), buffer_slice(&cut)))
        abort();
    if (json.size && !json.overflowed) {
        buffer_clear(&cut);
        read_all(MODEL_JSON, buffer_slice(&json), SIZE_MAX, &cut, &again);
        if (!again.size || !slice_starts_with(buffer_slice(&cut), slice_text("[0 ")))
            abort();
    }
    buffer_release(&whole);
    buffer_release(&cut);
    buffer_release(&json);
    buffer_release(&again);
    return 0;
}
