/* SPDX-License-Identifier: MIT */
/* STOW-RS (PS3.18 10.5): each part goes into the archive while it arrives, and what fails is told
 * without stopping the others. A request that breaks off leaves the parts that were complete; one
 * of metadata and bulk data (stow_model.h), which belong together, leaves none. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "archive/ingest.h"
#include "base/log.h"
#include "base/memory.h"
#include "dicomweb/routes.h"
#include "dicomweb/stow_commit.h"
#include "dicomweb/stow_model.h"
#include "http/media_type.h"
#include "http/multipart_reader.h"
#include "http/multipart_writer.h"

enum { MAX_REPORT = 256 << 20 }; /* bounded by the part limit long before */

enum answer_type { ANSWER_JSON, ANSWER_PLAIN_JSON, ANSWER_XML, ANSWER_XML_PART };

static const struct offer answers[] = {
    [ANSWER_JSON] = { "application/dicom+json", NULL, NULL, false },
    [ANSWER_PLAIN_JSON] = { "application/json", NULL, NULL, false },
    [ANSWER_XML] = { "application/dicom+xml", NULL, NULL, false },
    [ANSWER_XML_PART] = { "multipart/related", "application/dicom+xml", NULL, false },
};

/* One request. */
struct stow {
    struct dicomweb *dicomweb;
    const char *study; /* of the path; "" for none */
    size_t answer;     /* enum answer_type */
    char *base_url;
    struct multipart_reader *reader; /* NULL: the body is one instance */
    struct stow_model *model;        /* of metadata and bulk data; NULL: the parts are instances */
    struct ingest *ingest;           /* of the present part; NULL when it has failed already */
    enum failure_reason part_reason; /* why the present part has failed */
    uint64_t part_size;
    struct stow_commit *commit; /* the parts that are complete */
    struct error fault;         /* of the request as a whole */
};

/* --- parts --- */

static void begin_instance(struct stow *stow)
{
    static const struct identity unknown;
    const struct ingest_options options = { .part10 = true,
                                            .study = stow->study[0] ? stow->study : NULL };
    struct error err = { 0 };
    stow->part_reason = FAILURE_NONE;
    stow->part_size = 0;
    if (ingest_open(stow->dicomweb->archive, &options, &stow->ingest, &err))
        return;
    stow_log_failure(&unknown, &err);
    stow->part_reason = failure_reason_of(err.code);
}

static void end_instance(struct stow *stow)
{
    static const struct identity unknown;
    struct ingest *ingest = stow->ingest;
    stow->ingest = NULL;
    if (stow->part_reason == FAILURE_NONE) {
        stow_commit_add_take(stow->commit, ingest, stow->part_size);
        return;
    }
    stow_commit_add_failure(stow->commit, stow->part_reason,
                            ingest ? ingest_identity(ingest) : &unknown);
    ingest_close(ingest);
}

/* After an error the rest of the part is read over; its identity is still told. */
static void write_instance(struct stow *stow, struct slice bytes)
{
    struct error err = { 0 };
    if (!stow->ingest || stow->part_reason != FAILURE_NONE)
        return;
    stow->part_size += bytes.size;
    if (ingest_write(stow->ingest, bytes, &err))
        return;
    stow_log_failure(ingest_identity(stow->ingest), &err);
    stow->part_reason = failure_reason_of(err.code);
}

static void begin_part(struct stow *stow)
{
    struct media_type type;
    const char *text = multipart_part_header(stow->reader, "Content-Type");
    if (text && media_type_parse(slice_text(text), &type) &&
        strcmp(type.type, "application/dicom") == 0)
        begin_instance(stow);
    else
        stow->part_reason = FAILURE_CANNOT_UNDERSTAND;
}

/* A part of metadata or bulk data: what is wrong with it is wrong with the request. */
static bool take_model_event(struct stow *stow, const struct multipart_event *event)
{
    switch (event->kind) {
    case MULTIPART_PART:
        return stow_model_begin_part(
            stow->model, multipart_part_header(stow->reader, "Content-Type"),
            multipart_part_header(stow->reader, "Content-Location"), &stow->fault);
    case MULTIPART_CONTENT:
        return stow_model_write(stow->model, event->content, &stow->fault);
    case MULTIPART_PART_END:
        return stow_model_end_part(stow->model, &stow->fault);
    case MULTIPART_MORE:
    case MULTIPART_END:
        break;
    }
    return true;
}

static void take_event(struct stow *stow, const struct multipart_event *event)
{
    switch (event->kind) {
    case MULTIPART_PART:
        begin_part(stow);
        break;
    case MULTIPART_CONTENT:
        write_instance(stow, event->content);
        break;
    case MULTIPART_PART_END:
        end_instance(stow);
        break;
    case MULTIPART_MORE:
    case MULTIPART_END:
        break;
    }
}

static bool read_events(struct stow *stow)
{
    struct multipart_event event;
    do {
        if (!multipart_next(stow->reader, &event, &stow->fault))
            return false;
        if (!stow->model)
            take_event(stow, &event);
        else if (!take_model_event(stow, &event))
            return false;
    } while (event.kind != MULTIPART_MORE);
    return true;
}

/* --- the request --- */

static bool refuse(struct request *request, struct response *response, int status, const char *why)
{
    response_error(response, request, status, why);
    return false;
}

/* What the parts of a multipart/related are. */
enum payload { PAYLOAD_INSTANCES, PAYLOAD_JSON, PAYLOAD_XML, PAYLOAD_NONE };

static enum payload payload_of(const struct media_type *type)
{
    static const char *const types[] = { [PAYLOAD_INSTANCES] = "application/dicom",
                                         [PAYLOAD_JSON] = "application/dicom+json",
                                         [PAYLOAD_XML] = "application/dicom+xml" };
    const char *inner = media_type_parameter(type, "type");
    unsigned payload = PAYLOAD_INSTANCES;
    if (strcmp(type->type, "multipart/related") != 0 || !inner)
        return PAYLOAD_NONE;
    while (payload < PAYLOAD_NONE && strcasecmp(inner, types[payload]) != 0)
        payload++;
    return (enum payload)payload;
}

/* The payload: multipart/related of application/dicom or of metadata and bulk data, or one instance
 * by itself (10.5.1.3). */
static bool check_payload(struct request *request, struct response *response, const char **boundary,
                          struct media_type *type)
{
    const char *content_type = request_header(request, "Content-Type");
    const char *coding = request_header(request, "Content-Encoding");
    *boundary = NULL;
    if (coding && strcasecmp(coding, "identity") != 0)
        return refuse(request, response, 415, "bodies are taken without Content-Encoding");
    if (!content_type || !media_type_parse(slice_text(content_type), type))
        return refuse(request, response, 415, "the request has no Content-Type");
    if (strcmp(type->type, "application/dicom") == 0)
        return true;
    if (payload_of(type) == PAYLOAD_NONE)
        return refuse(request, response, 415,
                      "instances are taken as application/dicom, or as multipart/related with "
                      "type=\"application/dicom\", \"application/dicom+json\" or "
                      "\"application/dicom+xml\"");
    *boundary = media_type_parameter(type, "boundary");
    if (!*boundary || !multipart_boundary_is_valid(*boundary))
        return refuse(request, response, 400,
                      "multipart/related needs a boundary of 1 to 70 legal characters");
    return true;
}

bool stow_open(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct path_uids uids;
    struct media_type type;
    const char *boundary;
    size_t answer;
    if (!dicomweb_path_uids(request, response, &uids) ||
        !dicomweb_choose(request, response, answers, sizeof(answers) / sizeof(answers[0]),
                         &answer) ||
        !check_payload(request, response, &boundary, &type))
        return false;
    struct stow *stow = mem_alloc(sizeof(*stow));
    struct buffer url = buffer_up_to(4096);
    stow->dicomweb = dicomweb;
    stow->commit = stow_commit_new(&dicomweb->stow_workers);
    stow->study = uids.study;
    stow->answer = answer;
    dicomweb_base_url(dicomweb, request, &url);
    stow->base_url = mem_copy_text(buffer_text(&url));
    buffer_release(&url);
    const struct multipart_limits limits = { .parts = dicomweb->part_limit };
    if (boundary && payload_of(&type) != PAYLOAD_INSTANCES)
        stow->model = stow_model_new(
            dicomweb, payload_of(&type) == PAYLOAD_XML ? MODEL_XML : MODEL_JSON, stow->study);
    if (boundary)
        stow->reader = multipart_reader_new(boundary, &limits);
    else
        begin_instance(stow);
    request_set_state(request, stow);
    return true;
}

bool stow_body(struct request *request, struct slice piece)
{
    struct stow *stow = request_state(request);
    if (!stow->reader) {
        write_instance(stow, piece);
        return true;
    }
    multipart_feed(stow->reader, piece);
    return read_events(stow);
}

static void finish_body(struct stow *stow)
{
    if (!stow->reader) {
        end_instance(stow);
    } else if (stow->fault.code == ERROR_NONE) {
        multipart_finish(stow->reader);
        read_events(stow);
    }
    /* A part that the body broke off in is not told of: it was never there. */
    ingest_close(stow->ingest);
    stow->ingest = NULL;
    if (stow->model && stow->fault.code == ERROR_NONE)
        stow_model_commit(stow->model, stow->commit);
    if (stow->fault.code == ERROR_NONE && !stow_commit_count(stow->commit))
        error_set(&stow->fault, ERROR_INVALID, "the request has no parts");
}

/* In what was negotiated (PS3.18 10.5.3.3). */
static void write_report(const struct stow *stow, const struct stow_report *report,
                         struct response *response, struct buffer *body)
{
    struct multipart_writer writer = { .inner_type = answers[stow->answer].inner };
    struct buffer type = buffer_up_to(256);
    if (writer.inner_type) {
        writer = multipart_writer_for(writer.inner_type);
        multipart_begin_part(&writer, writer.inner_type, NULL, body);
        multipart_content_type(&writer, &type);
    } else {
        buffer_append_text(&type, answers[stow->answer].type);
    }
    if (stow->answer == ANSWER_XML || stow->answer == ANSWER_XML_PART)
        stow_report_write_xml(report, stow->base_url, stow->study, body);
    else
        stow_report_write_json(report, stow->base_url, stow->study, body);
    if (writer.inner_type)
        multipart_end(&writer, body);
    response_content_type(response, buffer_text(&type));
    buffer_release(&type);
}

void stow_respond(struct request *request, struct response *response)
{
    struct stow *stow = request_state(request);
    struct buffer body = buffer_up_to(MAX_REPORT);
    finish_body(stow);
    const struct stow_report *report = stow_commit_finish(stow->commit);
    bool fault = stow->fault.code != ERROR_NONE;
    if (fault)
        log_warn("stow: bad request reason=%s stored_parts=%zu", stow->fault.message,
                 report->count);
    if (fault && !report->count) {
        response_error(response, request, http_status_of(stow->fault.code), stow->fault.message);
        return;
    }
    write_report(stow, report, response, &body);
    response_status(response,
                    fault ? http_status_of(stow->fault.code) : stow_report_status(report));
    if (fault)
        response_header(response, "Warning", "299 - \"the body broke off behind these instances\"");
    else if (stow_report_has_warning(report)) /* PS3.18 10.5.3.2 */
        response_header(response, "Warning", "299 - \"attributes of instances were coerced\"");
    response_body_take(response, &body);
}

void stow_close(struct request *request, bool complete)
{
    struct stow *stow = request_state(request);
    (void)complete;
    if (!stow)
        return;
    ingest_close(stow->ingest);
    multipart_reader_free(stow->reader);
    stow_model_free(stow->model);
    stow_commit_free(stow->commit);
    free(stow->base_url);
    free(stow);
}
