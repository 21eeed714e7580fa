/* SPDX-License-Identifier: MIT */
/* The Storage Commitment Service (PS3.18 13): a request is answered at once when its check does not
 * take long, else the result is asked for later. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/json.h"
#include "dicom/model_reader.h"
#include "dicom/xml.h"
#include "dicomweb/commitment_work.h"
#include "dicomweb/memory_share.h"
#include "dicomweb/routes.h"
#include "http/media_type.h"

enum {
    BODY_SIZE = 8 << 20,
    ANSWER_SIZE = 32 << 20,
    ITEM_SIZE = 256, /* of an item of the result, at most */
    ANSWERED_AT_ONCE_MS = 2000,
    READ_TIMES = 4, /* what a body takes, in times of its size, while it is read */
};
#define RETRY_AFTER "5" /* seconds */

struct commitment_body {
    struct model_reader *reader;
    struct memory_share share;
    struct error error; /* why the rest of it is not wanted */
    struct buffer bytes;
};

bool commitment_request_open(struct request *request, struct response *response)
{
    const char *text = request_header(request, "Content-Type");
    struct media_type type;
    if (!text || !media_type_parse(slice_text(text), &type) ||
        (strcmp(type.type, "application/dicom+json") != 0 &&
         strcmp(type.type, "application/json") != 0 &&
         strcmp(type.type, "application/dicom+xml") != 0)) {
        response_error(response, request, 415, "a request is application/dicom+json or +xml");
        return false;
    }
    struct dicomweb *dicomweb = request_context(request);
    struct commitment_body *body = mem_alloc(sizeof(*body));
    body->share.budget = dicomweb->text_memory;
    const struct model_limits limits = { .dataset_size = BODY_SIZE };
    bool is_xml = strcmp(type.type, "application/dicom+xml") == 0;
    body->reader = model_reader_new(is_xml ? MODEL_XML : MODEL_JSON, &limits);
    body->bytes = buffer_up_to(BODY_SIZE);
    request_set_state(request, body);
    return true;
}

bool commitment_request_body(struct request *request, struct slice piece)
{
    struct commitment_body *body = request_state(request);
    return memory_share_cover(&body->share, body->bytes.size + piece.size, &body->error) &&
           buffer_append(&body->bytes, piece);
}

void commitment_request_close(struct request *request, bool complete)
{
    struct commitment_body *body = request_state(request);
    (void)complete;
    if (!body)
        return;
    model_reader_free(body->reader);
    buffer_release(&body->bytes);
    memory_share_release(&body->share);
    free(body);
}

static bool read_references(const struct model_dataset *model, struct buffer *references,
                            size_t *count, struct error *err)
{
    struct dataset *dataset = NULL;
    if (model->error.code != ERROR_NONE) {
        *err = model->error;
        return false;
    }
    bool ok = dataset_open(model->bytes,
                           transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                           &dataset, err) &&
              references_read(dataset, references, count, err);
    dataset_close(dataset);
    return ok;
}

/* One data set and nothing behind it. */
static bool read_request(struct commitment_body *body, struct buffer *references, size_t *count,
                         struct error *err)
{
    enum model_event event;
    struct model_dataset model;
    if (body->error.code != ERROR_NONE) {
        *err = body->error;
        return false;
    }
    if (body->bytes.overflowed)
        return error_set(err, ERROR_LIMIT, "the request is too long");
    if (!memory_share_cover(&body->share, READ_TIMES * (uint64_t)body->bytes.size, err))
        return false;
    model_reader_feed(body->reader, buffer_slice(&body->bytes));
    if (!model_reader_next_of_all(body->reader, &event, &model, err))
        return false;
    if (event != MODEL_DATASET)
        return error_set(err, ERROR_INVALID, "the request has no data set");
    if (!read_references(&model, references, count, err) ||
        !model_reader_next_of_all(body->reader, &event, &model, err))
        return false;
    return event == MODEL_END || error_set(err, ERROR_INVALID, "more than one data set");
}

static void encode_list(const struct commitment_result *result, bool failed,
                        struct encoder *encoder)
{
    struct slice rest = buffer_slice(&result->references);
    struct reference reference = { "", "" };
    encode_sequence_begin(encoder, failed ? TAG_FAILED_SOP_SEQUENCE : TAG_REFERENCED_SOP_SEQUENCE);
    for (size_t i = 0; i < result->count && references_next(&rest, &reference); i++) {
        if (failed != (result->reasons[i] != COMMITMENT_HELD))
            continue;
        encode_item_begin(encoder);
        encode_text(encoder, TAG_REFERENCED_SOP_CLASS_UID, VR_UI, reference.sop_class);
        encode_text(encoder, TAG_REFERENCED_SOP_INSTANCE_UID, VR_UI, reference.sop_instance);
        if (failed)
            encode_u16(encoder, TAG_FAILURE_REASON, result->reasons[i]);
        encode_item_end(encoder);
    }
    encode_sequence_end(encoder);
}

/* The Storage Commitment Response Module (PS3.18 table J.2-1). */
static bool write_result(const struct dicomweb *dicomweb, const struct commitment_result *result,
                         bool as_xml, struct buffer *body, struct error *err)
{
    const struct json_options options = { .bulk_data_prefix = NULL };
    struct buffer bytes = buffer_up_to(1024 + result->count * ITEM_SIZE);
    struct encoder encoder = { &bytes, true };
    struct dataset *dataset = NULL;
    if (result->failed < result->count)
        encode_text(&encoder, TAG_RETRIEVE_AE_TITLE, VR_AE, dicomweb->ae_title);
    if (result->failed)
        encode_list(result, true, &encoder);
    if (result->failed < result->count)
        encode_list(result, false, &encoder);
    bool ok = buffer_check(&bytes, "result", err) &&
              dataset_open(buffer_slice(&bytes),
                           transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                           &dataset, err);
    if (ok && as_xml) {
        xml_write_dataset(dataset, &options, body);
    } else if (ok) {
        buffer_append_byte(body, '[');
        json_write_dataset(dataset, &options, body);
        buffer_append_byte(body, ']');
    }
    dataset_close(dataset);
    buffer_release(&bytes);
    return ok && buffer_check(body, "result", err);
}

static const struct offer offers[] = {
    { .type = "application/dicom+json" },
    { .type = "application/json" },
    { .type = "application/dicom+xml" },
};

static void answer(struct request *request, struct response *response, const char *transaction,
                   int64_t timeout_ms, const struct offer *offer)
{
    struct dicomweb *dicomweb = request_context(request);
    struct commitment_result result;
    struct buffer body = buffer_up_to(ANSWER_SIZE);
    struct error err;
    bool done = false;
    bool as_xml = strcmp(offer->type, "application/dicom+xml") == 0;
    bool ok = commitment_work_result(dicomweb->commitments, transaction, timeout_ms, &result, &done,
                                     &err) &&
              (!done || write_result(dicomweb, &result, as_xml, &body, &err));
    if (!ok) {
        response_error(response, request, http_status_of(err.code), err.message);
    } else if (!done) {
        response_header(response, "Retry-After", RETRY_AFTER);
        response_status(response, 202);
    } else {
        response_status(response, 200);
        response_content_type(response, offer->type);
        response_body_take(response, &body);
    }
    commitment_result_release(&result);
    buffer_release(&body);
}

static const char *transaction_of(struct request *request, struct response *response)
{
    const char *transaction = request_parameter(request, "transaction");
    if (uid_is_safe(slice_text(transaction)))
        return transaction;
    response_error(response, request, 400, "the Transaction UID in the path is no UID");
    return NULL;
}

void commitment_request_respond(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    const char *transaction = transaction_of(request, response);
    struct buffer references = buffer_up_to(COMMITMENT_REFERENCES_SIZE);
    struct error err;
    size_t choice, count;
    if (transaction && dicomweb_choose(request, response, offers, 3, &choice)) {
        if (read_request(request_state(request), &references, &count, &err) &&
            commitment_work_add(dicomweb->commitments, request_requester(request), transaction,
                                buffer_slice(&references), count, &err))
            answer(request, response, transaction, ANSWERED_AT_ONCE_MS, &offers[choice]);
        else
            response_error(response, request, http_status_of(err.code), err.message);
    }
    buffer_release(&references);
}

void commitment_result_respond(struct request *request, struct response *response)
{
    const char *transaction = transaction_of(request, response);
    size_t choice;
    if (transaction && dicomweb_choose(request, response, offers, 3, &choice))
        answer(request, response, transaction, 0, &offers[choice]);
}
