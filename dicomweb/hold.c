/* SPDX-License-Identifier: MIT */
/* Legal holds of studies: set, seen, lifted. Not in PS3.18. */
#include "archive/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/audit.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "dicom/json.h"
#include "dicom/utf8.h"
#include "dicomweb/flat_json.h"
#include "dicomweb/routes.h"

enum { BODY_LIMIT = 8 << 10, ANSWER_LIMIT = 16 << 20, DEFAULT_PAGE = 100, MAX_PAGE = 1000 };

/* A web page of another origin can send what is no JSON without asking first (CORS). */
bool hold_open(struct request *request, struct response *response)
{
    if (!dicomweb_is_json(request_header(request, "Content-Type"))) {
        response_error(response, request, 415, "a legal hold is sent as application/json");
        return false;
    }
    struct buffer *body = mem_alloc(sizeof(*body));
    *body = buffer_up_to(BODY_LIMIT);
    request_set_state(request, body);
    return true;
}

bool hold_body(struct request *request, struct slice piece)
{
    return buffer_append(request_state(request), piece);
}

void hold_close(struct request *request, bool complete)
{
    struct buffer *body = request_state(request);
    (void)complete;
    if (body)
        buffer_release(body);
    free(body);
}

static bool is_plain(const char *line)
{
    for (const char *text = line; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return false;
    return utf8_is_valid(slice_text(line));
}

/* {"reason": "litigation 4711", "until": "2031-01-01T00:00:00Z"}: a member that is not known is an
 * error, as it could be a misspelt one. */
static bool set_member(struct hold *hold, const struct flat_member *member, struct error *err)
{
    if (!strcmp(member->name, "until")) {
        if (!member->is_text && !strcmp(member->value, "null"))
            return true;
        if (!member->is_text || !clock_parse(member->value, &hold->until_ms))
            return error_set(err, ERROR_INVALID, "until is a time with its zone (RFC 3339)");
        return hold->until_ms > hold->since_ms ||
               error_set(err, ERROR_INVALID, "until is over already");
    }
    if (strcmp(member->name, "reason") != 0)
        return error_set(err, ERROR_INVALID, "a legal hold has reason and until");
    if (!member->is_text || !member->value[0] || !is_plain(member->value))
        return error_set(err, ERROR_INVALID, "reason is a line of text");
    if (strlen(member->value) >= sizeof(hold->reason))
        return error_set(err, ERROR_INVALID, "reason has more than %d bytes", HOLD_REASON_SIZE - 1);
    memcpy(hold->reason, member->value, strlen(member->value) + 1);
    return true;
}

static bool read_hold(struct slice body, struct hold *hold, struct error *err)
{
    struct flat_json json;
    struct flat_member member;
    bool found, more;
    if (!flat_json_open(&json, body, err) || !flat_json_object(&json, &found, err))
        return false;
    while (found)
        if (!flat_json_member(&json, &member, &found, err) ||
            (found && !set_member(hold, &member, err)))
            return false;
    if (!flat_json_object(&json, &more, err))
        return false;
    if (more || !hold->reason[0])
        return error_set(err, ERROR_INVALID, "a legal hold needs a reason");
    return true;
}

static void write_hold(const struct hold *hold, struct buffer *json)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format_utc(hold->since_ms, time);
    buffer_append_format(json, "{\"study\":\"%s\",\"since\":\"%s\",\"until\":", hold->study, time);
    clock_format_utc(hold->until_ms, time);
    buffer_append_format(json, hold->until_ms ? "\"%s\"" : "null", time);
    buffer_append_text(json, ",\"user\":");
    if (hold->user[0])
        json_write_string(slice_text(hold->user), json);
    else
        buffer_append_text(json, "null");
    buffer_append_text(json, ",\"reason\":");
    json_write_string(slice_text(hold->reason), json);
    buffer_append_byte(json, '}');
}

/* Takes the text. */
static void answer_json(struct response *response, struct buffer *json)
{
    response_status(response, 200);
    response_content_type(response, "application/json");
    response_body_take(response, json);
}

static void answer_hold(struct response *response, const struct hold *hold)
{
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    write_hold(hold, &json);
    answer_json(response, &json);
    buffer_release(&json);
}

static void answer_error(struct request *request, struct response *response,
                         const struct error *err)
{
    if (err->code == ERROR_IO || err->code == ERROR_CORRUPT)
        log_error("hold: error=%s reason=%s", error_name(err->code), err->message);
    response_error(response, request, err->code == ERROR_IO ? 503 : http_status_of(err->code),
                   err->message);
}

/* Without the reason, which may name somebody. */
static void note(const struct request *request, const char *study, const char *what,
                 enum audit_outcome outcome, const char *why)
{
    char client[HTTP_CLIENT_SIZE];
    char cause[320];
    request_client(request, client);
    snprintf(cause, sizeof(cause), "study=%s %s %s", study, what, why);
    audit_note(AUDIT_INSTANCES_ACCESSED, AUDIT_NO_TYPE, outcome,
               &(struct audit_peer){ .user = request_user(request), .address = client }, cause);
}

void hold_put(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct buffer *body = request_state(request);
    struct hold hold = { .since_ms = clock_unix_ms() };
    struct path_uids uids;
    struct error err = { 0 };
    bool is_new = false;
    if (!dicomweb_path_uids(request, response, &uids))
        return;
    snprintf(hold.study, sizeof(hold.study), "%s", uids.study);
    snprintf(hold.user, sizeof(hold.user), "%s", request_user(request));
    if (!buffer_check(body, "the body", &err) || !read_hold(buffer_slice(body), &hold, &err)) {
        answer_error(request, response, &err);
        return;
    }
    if (!hold_set(dicomweb->archive, &hold, &is_new, &err)) {
        note(request, uids.study, "hold not set:", AUDIT_MINOR_FAILURE, error_name(err.code));
        answer_error(request, response, &err);
        return;
    }
    char until[CLOCK_TEXT_SIZE] = "it is lifted";
    if (hold.until_ms)
        clock_format_utc(hold.until_ms, until);
    note(request, uids.study, is_new ? "hold set until" : "hold changed until", AUDIT_SUCCESS,
         until);
    answer_hold(response, &hold);
}

void hold_get(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct path_uids uids;
    struct hold hold;
    struct error err = { 0 };
    bool found;
    if (!dicomweb_path_uids(request, response, &uids))
        return;
    if (!hold_find(dicomweb->archive, uids.study, &hold, &found, &err))
        answer_error(request, response, &err);
    else if (found)
        answer_hold(response, &hold);
    else
        response_error(response, request, 404, "the study is under no legal hold");
}

void hold_delete(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct path_uids uids;
    struct error err = { 0 };
    if (!dicomweb_path_uids(request, response, &uids))
        return;
    if (hold_lift(dicomweb->archive, uids.study, &err)) {
        note(request, uids.study, "hold", AUDIT_SUCCESS, "lifted");
        response_status(response, 204);
        return;
    }
    note(request, uids.study, "hold not lifted:", AUDIT_MINOR_FAILURE, error_name(err.code));
    answer_error(request, response, &err);
}

/* Page after page: those behind the study `after`. */
void hold_get_all(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct hold *holds = mem_alloc_array(MAX_PAGE, sizeof(*holds));
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    const char *after = request_query_value(request, "after");
    struct error err = { 0 };
    uint64_t limit;
    size_t count = 0;
    bool ok = dicomweb_page_number(request, "limit", MAX_PAGE, DEFAULT_PAGE, &limit, &err) &&
              (!after || uid_is_safe(slice_text(after)) ||
               error_set(&err, ERROR_INVALID, "after is no UID")) &&
              hold_list(dicomweb->archive, after ? after : "", (size_t)limit, holds, &count, &err);
    buffer_append_byte(&json, '[');
    for (size_t i = 0; ok && i < count; i++) {
        if (i)
            buffer_append_byte(&json, ',');
        write_hold(&holds[i], &json);
    }
    buffer_append_byte(&json, ']');
    if (ok)
        answer_json(response, &json);
    else
        answer_error(request, response, &err);
    buffer_release(&json);
    free(holds);
}
