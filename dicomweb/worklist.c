/* SPDX-License-Identifier: MIT */
/* The worklist for those who plan, in DICOM JSON: entries of the Modality Worklist posted, seen
 * with what became of them, changed, taken away. Not in PS3.18. */
#include "worklist/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "dicom/json.h"
#include "dicom/match.h"
#include "dicom/model_reader.h"
#include "dicomweb/attribute_path.h"
#include "dicomweb/dataset_body.h"
#include "dicomweb/memory_share.h"
#include "dicomweb/routes.h"
#include "dicomweb/search_watch.h"
#include "http/media_type.h"
#include "worklist/steps.h"

enum {
    BODY_LIMIT = 4 << 20,
    ANSWER_LIMIT = 64 << 20,
    DEFAULT_PAGE = 100,
    MAX_PAGE = 1000,
    NUMBER_SIZE = OBJECT_LINK_LIMIT + 1,
    READ_TIMES = 4, /* what a body takes, in times of its size, while it is read */
};

/* The entries of a request. */
struct worklist_body {
    struct memory_share share;
    struct error error; /* why the rest of it is not wanted */
    struct buffer bytes;
    struct buffer datasets; /* one behind the other */
    struct dataset *steps[STEPS_MAX];
    size_t count;
};

bool worklist_body_open(struct request *request, struct response *response)
{
    const char *text = request_header(request, "Content-Type");
    struct media_type type;
    if (!text || !media_type_parse(slice_text(text), &type) ||
        (strcmp(type.type, "application/dicom+json") != 0 &&
         strcmp(type.type, "application/json") != 0)) {
        response_error(response, request, 415, "entries are application/dicom+json");
        return false;
    }
    struct dicomweb *dicomweb = request_context(request);
    struct worklist_body *body = mem_alloc(sizeof(*body));
    body->share.budget = dicomweb->text_memory;
    body->bytes = buffer_up_to(BODY_LIMIT);
    body->datasets = buffer_up_to(2 * BODY_LIMIT);
    request_set_state(request, body);
    return true;
}

bool worklist_body_take(struct request *request, struct slice piece)
{
    struct worklist_body *body = request_state(request);
    return memory_share_cover(&body->share, body->bytes.size + piece.size, &body->error) &&
           buffer_append(&body->bytes, piece);
}

void worklist_body_close(struct request *request, bool complete)
{
    struct worklist_body *body = request_state(request);
    (void)complete;
    if (!body)
        return;
    for (size_t i = 0; i < body->count; i++)
        dataset_close(body->steps[i]);
    buffer_release(&body->bytes);
    buffer_release(&body->datasets);
    memory_share_release(&body->share);
    free(body);
}

static void answer_error(struct request *request, struct response *response,
                         const struct error *err)
{
    if (err->code == ERROR_IO || err->code == ERROR_CORRUPT)
        log_error("worklist: error=%s reason=%s", error_name(err->code), err->message);
    response_error(response, request, err->code == ERROR_IO ? 503 : http_status_of(err->code),
                   err->message);
}

/* Where each data set ends in body->datasets. */
static bool read_datasets(struct model_reader *reader, struct worklist_body *body,
                          size_t ends[STEPS_MAX], struct error *err)
{
    struct model_dataset model;
    enum model_event event;
    model_reader_feed(reader, buffer_slice(&body->bytes));
    for (bool finished = false; model_reader_next(reader, &event, &model, err);) {
        if (event == MODEL_END)
            return buffer_check(&body->datasets, "entries", err);
        if (event == MODEL_MORE && finished)
            return error_set(err, ERROR_INVALID, "the document ends too soon");
        if (event == MODEL_MORE) {
            model_reader_finish(reader);
            finished = true;
            continue;
        }
        if (model.error.code) {
            *err = model.error;
            return false;
        }
        if (model.reference_count)
            return error_set(err, ERROR_INVALID, "an entry has no bulk data");
        if (body->count == STEPS_MAX)
            return error_set(err, ERROR_LIMIT, "an order has more than %d steps", STEPS_MAX);
        buffer_append(&body->datasets, model.bytes);
        ends[body->count++] = body->datasets.size;
    }
    return false;
}

static bool read_body(struct worklist_body *body, struct error *err)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    const struct model_limits limits = { .dataset_size = BODY_LIMIT };
    size_t ends[STEPS_MAX];
    if (body->error.code != ERROR_NONE) {
        *err = body->error;
        return false;
    }
    if (!buffer_check(&body->bytes, "the body", err) ||
        !memory_share_cover(&body->share, READ_TIMES * (uint64_t)body->bytes.size, err) ||
        !dataset_body_wrap(&body->bytes, BODY_LIMIT, err))
        return false;
    struct model_reader *reader = model_reader_new(MODEL_JSON, &limits);
    bool ok = read_datasets(reader, body, ends, err);
    model_reader_free(reader);
    for (size_t i = 0; ok && i < body->count; i++) {
        size_t begin = i ? ends[i - 1] : 0;
        ok = dataset_open(slice_of(body->datasets.data + begin, ends[i] - begin), syntax, NULL, 0,
                          &body->steps[i], err);
    }
    /* What was not opened is NULL. */
    return ok && (body->count || error_set(err, ERROR_INVALID, "there is no entry"));
}

/* Writing. */

static void write_time(struct buffer *json, const char *name, int64_t at_ms)
{
    char text[CLOCK_TEXT_SIZE];
    if (!at_ms)
        return;
    clock_format_utc(at_ms, text);
    buffer_append_format(json, ",\"%s\":\"%s\"", name, text);
}

static void write_links(struct buffer *json, const char *name, const struct object *step, char link)
{
    struct slice value;
    for (size_t i = 0; object_linked(step, link, i, &value); i++) {
        if (i == 0)
            buffer_append_format(json, ",\"%s\":[", name);
        else
            buffer_append_byte(json, ',');
        json_write_string(value, json);
    }
    if (object_linked(step, link, 0, &value))
        buffer_append_byte(json, ']');
}

/* The way of a step: ordered, started, n instances stored, completed. */
static bool write_step(struct buffer *json, const struct object *step,
                       const struct dataset *dataset, struct error *err)
{
    static const struct json_options options = { .bulk_data_prefix = NULL };
    struct step_facts facts;
    if (!step_facts(step, &facts, err))
        return false;
    buffer_append_text(json, "{\"key\":");
    json_write_string(slice_text(step->key), json);
    buffer_append_format(json, ",\"state\":\"%s\"", step_state_text((enum step_state)step->state));
    write_time(json, "ordered", facts.ordered_ms);
    write_time(json, "started", facts.started_ms);
    write_time(json, "stored", facts.stored_ms);
    write_time(json, "ended", facts.ended_ms);
    buffer_append_format(json,
                         ",\"instances\":%llu,\"source\":", (unsigned long long)facts.instances);
    json_write_string(slice_text(facts.source), json);
    write_links(json, "placerOrderNumbers", step, STEP_BY_PLACER);
    write_links(json, "fillerOrderNumbers", step, STEP_BY_FILLER);
    write_links(json, "performedSteps", step, STEP_BY_PERFORMED);
    buffer_append_text(json, ",\"entry\":");
    json_write_dataset(dataset, &options, json);
    buffer_append_byte(json, '}');
    return true;
}

static const struct offer offers[] = { { .type = "application/json" },
                                       { .type = "application/dicom+json" } };
enum { OFFER_COUNT = sizeof(offers) / sizeof(offers[0]) };

static bool load_step(struct dicomweb *dicomweb, const char *key, struct object *step,
                      struct error *err)
{
    bool found = false;
    return object_get(dicomweb->worklist, OBJECT_STEP, key, step, &found, err) &&
           (found || error_set(err, ERROR_NOT_FOUND, "no such entry of the worklist"));
}

/* One entry: with what became of it, or as DICOM JSON alone. */
static void answer_step(struct request *request, struct response *response, const char *key,
                        int status)
{
    struct dicomweb *dicomweb = request_context(request);
    struct object step = object_init();
    struct dataset *dataset = NULL;
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    struct error err = { 0 };
    static const struct json_options options = { .bulk_data_prefix = NULL };
    size_t choice;
    if (!dicomweb_choose(request, response, offers, OFFER_COUNT, &choice))
        goto out;
    bool ok = load_step(dicomweb, key, &step, &err) && object_dataset(&step, &dataset, &err);
    if (ok && choice == 0)
        ok = write_step(&json, &step, dataset, &err);
    else if (ok)
        json_write_dataset(dataset, &options, &json);
    if (!ok || !buffer_check(&json, "answer", &err)) {
        answer_error(request, response, &err);
        goto out;
    }
    response_status(response, status);
    response_content_type(response, offers[choice].type);
    response_body_take(response, &json);
out:
    dataset_close(dataset);
    object_release(&step);
    buffer_release(&json);
}

static const char *result_text(enum step_result result)
{
    static const char *const texts[] = { "created", "updated", "unchanged", "stale" };
    return texts[result];
}

/* What a message did, as the order's first step has it. */
static void answer_applied(struct request *request, struct response *response,
                           const struct step_outcome *outcome)
{
    struct dicomweb *dicomweb = request_context(request);
    struct buffer url = buffer_up_to(4096);
    log_info("worklist: order result=%s step=%s created=%zu updated=%zu cancelled=%zu kept=%zu",
             result_text(outcome->result), outcome->key, outcome->created, outcome->updated,
             outcome->cancelled, outcome->kept);
    dicomweb_base_url(dicomweb, request, &url);
    buffer_append_format(&url, "/worklist/%s", outcome->key);
    response_header(response, "Location", buffer_text(&url));
    response_header(response, "X-Worklist-Result", result_text(outcome->result));
    buffer_release(&url);
    answer_step(request, response, outcome->key, outcome->result == STEPS_CREATED ? 201 : 200);
}

/* POST: an order, whose steps are the entries; told again it is changed. */
void worklist_post(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct worklist_body *body = request_state(request);
    struct step_outcome outcome;
    struct error err = { 0 };
    char placer[NUMBER_SIZE] = "", filler[NUMBER_SIZE] = "";
    bool ok = read_body(body, &err);
    if (ok) {
        dataset_string(body->steps[0], TAG_PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, placer,
                       sizeof(placer));
        dataset_string(body->steps[0], TAG_FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, filler,
                       sizeof(filler));
        const struct step_order order = {
            .control = STEP_NEW,
            .placer = placer,
            .filler = filler,
            .source = "rest",
            .steps = (const struct dataset *const *)body->steps,
            .step_count = body->count,
        };
        ok = steps_apply(dicomweb->worklist, &order, &outcome, &err);
    }
    if (ok)
        answer_applied(request, response, &outcome);
    else
        answer_error(request, response, &err);
}

/* PUT: attributes of one entry; what is not named stays. */
void worklist_put(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct worklist_body *body = request_state(request);
    struct step_outcome outcome;
    struct error err = { 0 };
    const char *key = request_parameter(request, "entry");
    bool ok = read_body(body, &err) &&
              (body->count == 1 || error_set(&err, ERROR_INVALID, "one entry at a time")) &&
              steps_edit(dicomweb->worklist, key, body->steps[0], "rest", &outcome, &err);
    if (ok)
        answer_applied(request, response, &outcome);
    else
        answer_error(request, response, &err);
}

void worklist_get(struct request *request, struct response *response)
{
    answer_step(request, response, request_parameter(request, "entry"), 200);
}

void worklist_delete(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct error err = { 0 };
    bool found = false;
    bool ok = steps_delete(dicomweb->worklist, request_parameter(request, "entry"), &found, &err);
    if (ok && found)
        response_status(response, 204);
    else if (ok)
        response_error(response, request, 404, "no such entry of the worklist");
    else
        answer_error(request, response, &err);
}

/* The list: keys as in QIDO-RS. */

struct list {
    struct search *search;
    bool all; /* also what was started, or is over */
    uint64_t limit;
    uint64_t offset;
    struct memory_share share;
};

static bool add_parameter(struct list *list, const struct query_pair *pair, struct error *err)
{
    static const char *const known[] = { "limit",   "offset",        "accept",
                                         "charset", "fuzzymatching", "all" };
    struct attribute_path path;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(pair->name, known[i]) == 0)
            return true;
    }
    if (!attribute_path_parse(pair->name, &path))
        return true; /* ignored, as in QIDO-RS */
    bool is_status = path.tags[path.depth - 1] == TAG_SCHEDULED_PROCEDURE_STEP_STATUS;
    /* An attribute of the step may be named without its sequence. */
    static const uint32_t of_step[] = {
        TAG_MODALITY,
        TAG_SCHEDULED_STATION_AE_TITLE,
        TAG_SCHEDULED_PROCEDURE_STEP_START_DATE,
        TAG_SCHEDULED_PROCEDURE_STEP_START_TIME,
        TAG_SCHEDULED_PERFORMING_PHYSICIAN_NAME,
        TAG_SCHEDULED_PROCEDURE_STEP_ID,
        TAG_SCHEDULED_STATION_NAME,
        TAG_SCHEDULED_PROCEDURE_STEP_LOCATION,
        TAG_SCHEDULED_PROCEDURE_STEP_STATUS,
    };
    for (size_t i = 0; path.depth == 1 && i < sizeof(of_step) / sizeof(of_step[0]); i++) {
        if (path.tags[0] == of_step[i]) {
            path.tags[1] = path.tags[0];
            path.tags[0] = TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE;
            path.depth = 2;
        }
    }
    list->all |= is_status && pair->value[0];
    return search_add_key(list->search, path.tags, path.depth, slice_text(pair->value), err);
}

static bool read_parameters(struct request *request, struct list *list, struct error *err)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    const char *fuzzy = request_query_value(request, "fuzzymatching");
    const char *all = request_query_value(request, "all");
    if (fuzzy && strcmp(fuzzy, "true") == 0)
        search_set_options(list->search, MATCH_FUZZY_NAMES);
    list->all = all && strcmp(all, "true") == 0;
    search_combine_date_time(list->search);
    search_return_all(list->search);
    for (size_t i = 0; i < count; i++) {
        if (!add_parameter(list, &pairs[i], err))
            return false;
    }
    if (!list->all)
        search_set_shelf(list->search, OBJECT_LIVE);
    return dicomweb_page_number(request, "limit", MAX_PAGE, DEFAULT_PAGE, &list->limit, err) &&
           dicomweb_page_number(request, "offset", INT32_MAX, 0, &list->offset, err);
}

static bool write_list(const struct request *request, struct list *list, bool as_dicom,
                       struct buffer *json, struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    static const struct json_options options = { .bulk_data_prefix = NULL };
    struct object step = object_init();
    const struct dataset *match;
    uint64_t seen = 0, written = 0;
    struct search_watch watch = search_watch_begin(request, dicomweb->query_timeout_ms);
    bool ok = true;
    search_set_watch(list->search, search_watch_look, &watch);
    buffer_append_byte(json, '[');
    while (ok && written < list->limit) {
        ok = search_next(list->search, dicomweb->worklist, &step, &match, err);
        if (!ok || !match)
            break;
        search_watch_matched(&watch);
        if (seen++ < list->offset)
            continue;
        if (written++)
            buffer_append_byte(json, ',');
        if (as_dicom)
            json_write_dataset(match, &options, json);
        else
            ok = write_step(json, &step, match, err);
        ok = ok && memory_share_cover(&list->share, json->size, err);
    }
    buffer_append_byte(json, ']');
    object_release(&step);
    return ok && buffer_check(json, "answer", err);
}

void worklist_list(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct list list = { .search = search_new(OBJECT_STEP),
                         .share = { .budget = dicomweb->text_memory } };
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    struct error err = { 0 };
    size_t choice;
    if (!dicomweb_choose(request, response, offers, OFFER_COUNT, &choice))
        goto out;
    if (!read_parameters(request, &list, &err) ||
        !write_list(request, &list, choice == 1, &json, &err)) {
        answer_error(request, response, &err);
        goto out;
    }
    response_status(response, 200);
    response_content_type(response, offers[choice].type);
    memory_share_answer_take(&list.share, &json, response);
out:
    search_free(list.search);
    buffer_release(&json);
    memory_share_release(&list.share);
}
