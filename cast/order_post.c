/* SPDX-License-Identifier: MIT */
#include "cast/order_post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "cast/view_answer.h"

enum { BODY_MAX = 1 << 20, ENTRIES_MAX = 100 };

static bool open_body(struct request *request, struct response *response)
{
    const char *type = request_header(request, "Content-Type");
    if (!type || !strstr(type, "json")) {
        view_answer_outcome(request, response, 415, "not-supported",
                            "an order is posted as application/fhir+json");
        return true;
    }
    struct buffer *body = mem_alloc(sizeof *body);
    *body = buffer_up_to(BODY_MAX);
    request_set_state(request, body);
    return true;
}

static bool take_body(struct request *request, struct slice piece)
{
    return buffer_append(request_state(request), piece);
}

static void close_body(struct request *request, bool complete)
{
    struct buffer *body = request_state(request);
    (void)complete;
    if (body)
        buffer_release(body);
    free(body);
}

/* A ServiceRequest, or a Bundle that holds one with its Patient and perhaps an Appointment. */
static bool find_parts(const cJSON *body, struct service_request_parts *parts, struct error *err)
{
    const cJSON *entry;
    int count = 0;
    *parts = (struct service_request_parts){ .request = NULL };
    if (!json_is_resource(body, "Bundle")) {
        parts->request = body;
        return true;
    }
    cJSON_ArrayForEach(entry, json_get(body, "entry"))
    {
        const cJSON *resource = json_get(entry, "resource");
        const cJSON **place = json_is_resource(resource, "ServiceRequest") ? &parts->request
                              : json_is_resource(resource, "Patient")      ? &parts->patient
                              : json_is_resource(resource, "Appointment")  ? &parts->appointment
                                                                           : NULL;
        if (count++ == ENTRIES_MAX || (place && *place))
            return error_set(err, ERROR_INVALID,
                             "a Bundle brings one ServiceRequest, one Patient and one Appointment");
        if (place)
            *place = resource;
    }
    return parts->request || error_set(err, ERROR_INVALID, "the Bundle holds no ServiceRequest");
}

static const char *said(const struct step_outcome *outcome)
{
    switch (outcome->result) {
    case STEPS_CREATED:
        return "the order is on the worklist";
    case STEPS_UPDATED:
        return "the worklist was brought up to date";
    case STEPS_UNCHANGED:
        return "the order is on the worklist already";
    case STEPS_STALE:
        return "something newer is known of the order: nothing was changed";
    }
    return "";
}

static void answer_taken(const struct request *request, struct response *response,
                         const struct step_outcome *outcome)
{
    cJSON *answer = json_object(), *issue = json_object(), *details = json_object();
    json_set_text(answer, "resourceType", "OperationOutcome");
    json_set_text(issue, "severity", "information");
    json_set_text(issue, "code", "informational");
    json_set_text(details, "text", said(outcome));
    json_set_take(issue, "details", details);
    if (outcome->study_uid[0]) {
        char text[UID_SIZE + 32];
        snprintf(text, sizeof text, "Study Instance UID %s", outcome->study_uid);
        json_set_text(issue, "diagnostics", text);
    }
    json_append_take(json_need_array(answer, "issue"), issue);
    view_answer_take(request, response, outcome->result == STEPS_CREATED ? 201 : 200, answer);
}

static void answer_error(const struct request *request, struct response *response,
                         const struct error *err)
{
    /* What an order says and cannot be is not a matter of the request's form. */
    if (err->code == ERROR_INVALID)
        view_answer_outcome(request, response, 422, "invalid", err->message);
    else
        view_answer_error(request, response, err);
}

static void post_order(struct request *request, struct response *response)
{
    struct order_post *post = request_context(request);
    struct buffer *body = request_state(request);
    struct service_request_parts parts;
    struct service_request order = { .is_order = false };
    struct step_outcome outcome;
    struct error err = { 0 };
    enum order_fate fate = ORDER_NONE;
    cJSON *json = NULL;
    if (body->overflowed) {
        view_answer_outcome(request, response, 413, "too-long", "an order has 1 MiB at most");
        return;
    }
    if (!json_parse(buffer_slice(body), &json, &err)) {
        view_answer_outcome(request, response, 400, "structure", err.message);
        return;
    }
    if (!find_parts(json, &parts, &err) ||
        !order_apply(post->worklist, &parts, &post->mapping, &order, &outcome, &fate, &err))
        answer_error(request, response, &err);
    else if (fate == ORDER_NONE)
        view_answer_outcome(request, response, 422, "business-rule", order.why);
    else
        answer_taken(request, response, &outcome);
    if (fate == ORDER_TAKEN && err.code == ERROR_NONE)
        log_info("orders: posted created=%zu updated=%zu cancelled=%zu", outcome.created,
                 outcome.updated, outcome.cancelled);
    service_request_release(&order);
    cJSON_Delete(json);
}

/* What was posted is the worklist's, and no resource that could be read, searched or changed. */
static void refuse(struct request *request, struct response *response)
{
    response_header(response, "Allow", "POST");
    view_answer_outcome(request, response, 405, "not-supported",
                        "orders are posted to /ServiceRequest, and cannot be read or changed here");
}

static const struct route routes[] = {
    { .method = "POST",
      .pattern = "/ServiceRequest",
      .respond = post_order,
      .open = open_body,
      .body = take_body,
      .close = close_body,
      .summary = "Puts an order on the worklist, changes or revokes it: a ServiceRequest with its "
                 "Patient contained, or a Bundle of both",
      .consumes = "application/fhir+json",
      .produces = "application/fhir+json" },
    { .method = "GET", .pattern = "/ServiceRequest", .respond = refuse },
    { .method = "PUT", .pattern = "/ServiceRequest", .respond = refuse },
    { .method = "PATCH", .pattern = "/ServiceRequest", .respond = refuse },
    { .method = "DELETE", .pattern = "/ServiceRequest", .respond = refuse },
    { .method = "GET", .pattern = "/ServiceRequest/{id}", .respond = refuse },
    { .method = "POST", .pattern = "/ServiceRequest/{id}", .respond = refuse },
    { .method = "PUT", .pattern = "/ServiceRequest/{id}", .respond = refuse },
    { .method = "PATCH", .pattern = "/ServiceRequest/{id}", .respond = refuse },
    { .method = "DELETE", .pattern = "/ServiceRequest/{id}", .respond = refuse },
};

struct route_table order_post_routes(struct order_post *post, const char *prefix)
{
    size_t count = post->worklist ? sizeof routes / sizeof *routes : 0;
    return (struct route_table){ prefix, routes, count, post };
}
