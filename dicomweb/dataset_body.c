/* SPDX-License-Identifier: MIT */
#include "dicomweb/dataset_body.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/model_reader.h"
#include "dicomweb/memory_share.h"
#include "dicomweb/routes.h"
#include "http/media_type.h"

enum { READ_TIMES = 4 /* what a body takes, in times of its size, while it is read */ };

struct dataset_body {
    bool is_xml;
    bool has_type;
    struct memory_share share;
    struct error error;    /* why the rest of it is not wanted */
    struct buffer bytes;   /* as they came */
    struct buffer encoded; /* what they say */
    struct dataset *dataset;
};

static bool is_one_of_ours(const struct media_type *type)
{
    return strcmp(type->type, "application/dicom+json") == 0 ||
           strcmp(type->type, "application/json") == 0 ||
           strcmp(type->type, "application/dicom+xml") == 0;
}

bool dataset_body_open(struct request *request, struct response *response)
{
    const char *text = request_header(request, "Content-Type");
    struct media_type type;
    bool is_read = text && media_type_parse(slice_text(text), &type);
    if (text && *text && (!is_read || !is_one_of_ours(&type))) {
        response_error(response, request, 415, "a data set is application/dicom+json or +xml");
        return false;
    }
    struct dicomweb *dicomweb = request_context(request);
    struct dataset_body *body = mem_alloc(sizeof(*body));
    body->share.budget = dicomweb->text_memory;
    body->has_type = is_read;
    body->is_xml = is_read && strcmp(type.type, "application/dicom+xml") == 0;
    body->bytes = buffer_up_to(DATASET_BODY_SIZE);
    body->encoded = buffer_up_to(2 * DATASET_BODY_SIZE);
    request_set_state(request, body);
    return true;
}

bool dataset_body_piece(struct request *request, struct slice piece)
{
    struct dataset_body *body = request_state(request);
    return memory_share_cover(&body->share, body->bytes.size + piece.size, &body->error) &&
           buffer_append(&body->bytes, piece);
}

void dataset_body_close(struct request *request, bool complete)
{
    struct dataset_body *body = request_state(request);
    (void)complete;
    if (!body)
        return;
    dataset_close(body->dataset);
    buffer_release(&body->bytes);
    buffer_release(&body->encoded);
    memory_share_release(&body->share);
    free(body);
}

bool dataset_body_wrap(struct buffer *bytes, size_t limit, struct error *err)
{
    struct slice rest = buffer_slice(bytes);
    while (rest.size && memchr(" \t\r\n", rest.data[0], 4))
        rest = slice_skip(rest, 1);
    if (!rest.size || rest.data[0] != '{')
        return true;
    struct buffer array = buffer_up_to(limit + 2);
    buffer_append_byte(&array, '[');
    buffer_append(&array, rest);
    buffer_append_byte(&array, ']');
    buffer_release(bytes);
    *bytes = array;
    return buffer_check(bytes, "the body", err);
}

static bool take(struct dataset_body *body, const struct model_dataset *model, struct error *err)
{
    if (model->error.code != ERROR_NONE) {
        *err = model->error;
        return false;
    }
    if (model->reference_count)
        return error_set(err, ERROR_INVALID, "values must be in the data set");
    buffer_append(&body->encoded, model->bytes);
    return buffer_check(&body->encoded, "data set", err) &&
           dataset_open(buffer_slice(&body->encoded),
                        transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                        &body->dataset, err);
}

static bool read_one(struct dataset_body *body, struct model_reader *reader, struct error *err)
{
    enum model_event event;
    struct model_dataset model;
    model_reader_feed(reader, buffer_slice(&body->bytes));
    if (!model_reader_next_of_all(reader, &event, &model, err))
        return false;
    if (event != MODEL_DATASET)
        return error_set(err, ERROR_INVALID, "the request has no data set");
    if (!take(body, &model, err) || !model_reader_next_of_all(reader, &event, &model, err))
        return false;
    return event == MODEL_END || error_set(err, ERROR_INVALID, "more than one data set");
}

bool dataset_body_read(struct request *request, const struct dataset **dataset, struct error *err)
{
    struct dataset_body *body = request_state(request);
    const struct model_limits limits = { .dataset_size = DATASET_BODY_SIZE };
    *dataset = NULL;
    if (body->error.code != ERROR_NONE) {
        *err = body->error;
        return false;
    }
    if (!buffer_check(&body->bytes, "the request", err))
        return false;
    if (!body->bytes.size)
        return true;
    if (!body->has_type)
        return error_set(err, ERROR_INVALID, "Content-Type is missing");
    if (!memory_share_cover(&body->share, READ_TIMES * (uint64_t)body->bytes.size, err))
        return false;
    if (!body->is_xml && !dataset_body_wrap(&body->bytes, DATASET_BODY_SIZE, err))
        return false;
    struct model_reader *reader = model_reader_new(body->is_xml ? MODEL_XML : MODEL_JSON, &limits);
    bool ok = read_one(body, reader, err);
    model_reader_free(reader);
    *dataset = body->dataset;
    return ok;
}
