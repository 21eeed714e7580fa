/* SPDX-License-Identifier: MIT */
/* Extended query tags: attributes that somebody wants an index of. Paths, members and words are
 * those of Microsoft's Medical Imaging Server, so that its clients feel at home; beyond it, a path
 * may go into sequences ("0040A730.0040A160"), and a tag tells how far its index is. */
#include "archive/query_tags.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "dicom/json.h"
#include "dicomweb/attribute_path.h"
#include "dicomweb/flat_json.h"
#include "dicomweb/routes.h"

enum {
    BODY_LIMIT = 256 << 10,
    ANSWER_LIMIT = 8 << 20,
    DEFAULT_PAGE = 100,
    MAX_PAGE = 200,
};

static const char *const level_names[] = { "Patient", "Study", "Series", "Instance" };
static const char *const status_names[] = { "Adding", "Ready", "Deleting" };

/* --- requests --- */

/* A web page of another origin can send what is no JSON without asking first (CORS). */
bool query_tags_open(struct request *request, struct response *response)
{
    if (!dicomweb_is_json(request_header(request, "Content-Type"))) {
        response_error(response, request, 415, "query tags are sent as application/json");
        return false;
    }
    struct buffer *body = mem_alloc(sizeof(*body));
    *body = buffer_up_to(BODY_LIMIT);
    request_set_state(request, body);
    return true;
}

bool query_tags_body(struct request *request, struct slice piece)
{
    return buffer_append(request_state(request), piece);
}

void query_tags_close(struct request *request, bool complete)
{
    struct buffer *body = request_state(request);
    (void)complete;
    if (body)
        buffer_release(body);
    free(body);
}

static void answer_error(struct request *request, struct response *response,
                         const struct error *err)
{
    if (err->code == ERROR_IO || err->code == ERROR_CORRUPT)
        log_error("query tags: error=%s reason=%s", error_name(err->code), err->message);
    response_error(response, request, http_status_of(err->code), err->message);
}

static bool parse_path(const char *name, struct query_tag *tag)
{
    struct attribute_path path;
    if (!attribute_path_parse(name, &path))
        return false;
    memcpy(tag->path, path.tags, path.depth * sizeof(path.tags[0]));
    tag->depth = path.depth;
    return true;
}

/* The tag in the path of the request. */
static bool find_path(struct request *request, struct response *response, struct query_tag *tag)
{
    memset(tag, 0, sizeof(*tag));
    if (parse_path(request_parameter(request, "tag"), tag))
        return true;
    response_error(response, request, 400, "a path of tags or keywords is needed");
    return false;
}

static bool set_member(struct query_tag *tag, const struct flat_member *member, struct error *err)
{
    const char *value = member->value;
    if (!member->is_text)
        return !strcmp(value, "null") ||
               error_set(err, ERROR_INVALID, "the members of a query tag are texts");
    if (!strcasecmp(member->name, "path"))
        return parse_path(value, tag) ||
               error_set(err, ERROR_INVALID, "path is a tag, a keyword or several with dots");
    if (!strcasecmp(member->name, "vr")) {
        tag->vr = strlen(value) == 2 ? VR(value[0], value[1]) : 0;
        return tag->vr || error_set(err, ERROR_INVALID, "vr has two letters");
    }
    if (!strcasecmp(member->name, "privateCreator")) {
        if (strlen(value) > QUERY_TAG_CREATOR)
            return error_set(err, ERROR_INVALID, "privateCreator is too long");
        memcpy(tag->creator, value, strlen(value) + 1);
        return true;
    }
    if (strcasecmp(member->name, "level") != 0)
        return true; /* what others say beside it */
    for (int i = LEVEL_STUDY; i <= LEVEL_INSTANCE; i++)
        if (!strcasecmp(value, level_names[i]))
            tag->level = (enum level)i;
    return tag->level || error_set(err, ERROR_INVALID, "level is Study, Series or Instance");
}

static bool read_tag(struct flat_json *json, struct query_tag *tag, struct error *err)
{
    struct flat_member member;
    bool found;
    memset(tag, 0, sizeof(*tag));
    do {
        if (!flat_json_member(json, &member, &found, err) ||
            (found && !set_member(tag, &member, err)))
            return false;
    } while (found);
    if (!tag->depth)
        return error_set(err, ERROR_INVALID, "a query tag needs a path");
    if (!tag->level)
        return error_set(err, ERROR_INVALID, "a query tag needs a level");
    if (!tag->vr)
        tag->vr = dictionary_vr(tag->path[tag->depth - 1]);
    return true;
}

static bool read_tags(struct slice body, struct query_tag *tags, size_t *count, struct error *err)
{
    struct flat_json json;
    bool found;
    *count = 0;
    if (!flat_json_open(&json, body, err))
        return false;
    for (;;) {
        if (!flat_json_object(&json, &found, err))
            return false;
        if (!found)
            break;
        if (*count == QUERY_TAG_MAX)
            return error_set(err, ERROR_LIMIT, "more than %d query tags", QUERY_TAG_MAX);
        if (!read_tag(&json, &tags[(*count)++], err))
            return false;
    }
    return *count || error_set(err, ERROR_INVALID, "no query tag");
}

static bool page_of(struct request *request, uint64_t *offset, uint64_t *limit, struct error *err)
{
    return dicomweb_page_number(request, "offset", INT32_MAX, 0, offset, err) &&
           dicomweb_page_number(request, "limit", MAX_PAGE, DEFAULT_PAGE, limit, err);
}

/* --- answers --- */

static void add_text(struct buffer *json, const char *name, const char *value)
{
    buffer_append_format(json, "\"%s\":", name);
    json_write_string(slice_text(value), json);
}

/* The work in the background for a tag has a name that no later tag gets. */
enum { OPERATION_SIZE = 48 };

static void name_operation(const struct query_tag *tag, char name[OPERATION_SIZE])
{
    snprintf(name, OPERATION_SIZE, "reindex-%u-%" PRIx64, tag->number, (uint64_t)tag->added_ms);
}

static void operation_url(struct request *request, const struct query_tag *tag, struct buffer *url)
{
    char name[OPERATION_SIZE];
    name_operation(tag, name);
    dicomweb_base_url(request_context(request), request, url);
    buffer_append_format(url, "/operations/%s", name);
}

static void write_operation(struct request *request, const struct query_tag *tag,
                            struct buffer *json)
{
    struct buffer url = buffer_up_to(4096);
    char name[OPERATION_SIZE];
    name_operation(tag, name);
    operation_url(request, tag, &url);
    buffer_append_format(json, "{\"id\":\"%s\",", name);
    add_text(json, "href", buffer_text(&url));
    buffer_append_byte(json, '}');
    buffer_release(&url);
}

static bool write_tag(struct request *request, const struct query_tag *tag, struct buffer *json,
                      struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    struct buffer url = buffer_up_to(4096);
    char name[QUERY_TAG_NAME];
    char vr[] = { (char)(tag->vr >> 8), (char)tag->vr, '\0' };
    uint64_t errors;
    if (!query_tags_count_errors(dicomweb->archive, tag, &errors, err))
        return false;
    query_tag_name(tag, name);
    dicomweb_base_url(dicomweb, request, &url);
    buffer_append_format(&url, "/extendedquerytags/%s", name);
    buffer_append_byte(json, '{');
    add_text(json, "path", name);
    buffer_append_byte(json, ',');
    add_text(json, "vr", vr);
    buffer_append_text(json, ",\"privateCreator\":");
    if (tag->creator[0])
        json_write_string(slice_text(tag->creator), json);
    else
        buffer_append_text(json, "null");
    buffer_append_byte(json, ',');
    add_text(json, "level", level_names[tag->level]);
    buffer_append_byte(json, ',');
    add_text(json, "status", status_names[tag->status]);
    buffer_append_byte(json, ',');
    add_text(json, "queryStatus", tag->enabled ? "Enabled" : "Disabled");
    if (tag->status == QUERY_TAG_ADDING) {
        buffer_append_format(json, ",\"percentComplete\":%u,\"operation\":",
                             tag->of ? (unsigned)(tag->done * 100 / tag->of) : 0);
        write_operation(request, tag, json);
    }
    if (errors) {
        buffer_append_format(json, ",\"errors\":{\"count\":%" PRIu64 ",", errors);
        buffer_append_text(&url, "/errors");
        add_text(json, "href", buffer_text(&url));
        buffer_append_byte(json, '}');
    }
    buffer_append_byte(json, '}');
    buffer_release(&url);
    return true;
}

/* Takes the text. */
static void answer_json(struct response *response, int status, struct buffer *json)
{
    response_status(response, status);
    response_content_type(response, "application/json");
    response_body_take(response, json);
}

static void answer_tag(struct request *request, struct response *response,
                       const struct query_tag *tag)
{
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    struct error err = { 0 };
    if (write_tag(request, tag, &json, &err))
        answer_json(response, 200, &json);
    else
        answer_error(request, response, &err);
    buffer_release(&json);
}

void query_tags_post(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct buffer *body = request_state(request);
    struct query_tag *tags = mem_alloc_array(QUERY_TAG_MAX, sizeof(*tags));
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    struct buffer url = buffer_up_to(4096);
    struct error err = { 0 };
    char name[QUERY_TAG_NAME];
    size_t count;
    if (!buffer_check(body, "the body", &err) ||
        !read_tags(buffer_slice(body), tags, &count, &err) ||
        !query_tags_add(dicomweb->archive, tags, count, &err) ||
        !query_tags_find(dicomweb->archive, tags[0].path, tags[0].depth, &tags[0], &err)) {
        answer_error(request, response, &err);
        goto out;
    }
    query_tag_name(&tags[0], name);
    log_info("query tags: added first=%s count=%zu", name, count);
    /* All that were added together are indexed together: the first one's tells. */
    operation_url(request, &tags[0], &url);
    write_operation(request, &tags[0], &json);
    response_header(response, "Location", buffer_text(&url));
    answer_json(response, 202, &json);
out:
    buffer_release(&url);
    buffer_release(&json);
    free(tags);
}

void query_tags_get_all(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct query_tag *tags = mem_alloc_array(QUERY_TAG_MAX, sizeof(*tags));
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    struct error err = { 0 };
    uint64_t offset, limit;
    size_t count;
    bool ok = page_of(request, &offset, &limit, &err) &&
              query_tags_list(dicomweb->archive, tags, &count, &err);
    buffer_append_byte(&json, '[');
    for (uint64_t i = offset; ok && i < count && i - offset < limit; i++) {
        if (i > offset)
            buffer_append_byte(&json, ',');
        ok = write_tag(request, &tags[i], &json, &err);
    }
    buffer_append_byte(&json, ']');
    if (ok)
        answer_json(response, 200, &json);
    else
        answer_error(request, response, &err);
    buffer_release(&json);
    free(tags);
}

void query_tags_get(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct query_tag tag;
    struct error err = { 0 };
    if (!find_path(request, response, &tag))
        return;
    if (query_tags_find(dicomweb->archive, tag.path, tag.depth, &tag, &err))
        answer_tag(request, response, &tag);
    else
        answer_error(request, response, &err);
}

/* {"queryStatus": "Enabled"} */
static bool read_query_status(struct slice body, bool *enabled, struct error *err)
{
    struct flat_json json;
    struct flat_member member;
    bool found, is_told = false;
    if (!flat_json_open(&json, body, err) || !flat_json_object(&json, &found, err))
        return false;
    while (found) {
        if (!flat_json_member(&json, &member, &found, err))
            return false;
        if (!found || strcasecmp(member.name, "queryStatus") != 0)
            continue;
        *enabled = !strcasecmp(member.value, "Enabled");
        is_told = *enabled || !strcasecmp(member.value, "Disabled");
    }
    return is_told || error_set(err, ERROR_INVALID, "queryStatus is Enabled or Disabled");
}

void query_tags_patch(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct buffer *body = request_state(request);
    struct query_tag tag;
    struct error err = { 0 };
    bool enabled = false;
    if (!find_path(request, response, &tag))
        return;
    if (buffer_check(body, "the body", &err) &&
        read_query_status(buffer_slice(body), &enabled, &err) &&
        query_tags_enable(dicomweb->archive, tag.path, tag.depth, enabled, &tag, &err))
        answer_tag(request, response, &tag);
    else
        answer_error(request, response, &err);
}

void query_tags_delete(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct query_tag tag;
    struct error err = { 0 };
    if (!find_path(request, response, &tag))
        return;
    if (query_tags_remove(dicomweb->archive, tag.path, tag.depth, &err))
        response_status(response, 204);
    else
        answer_error(request, response, &err);
}

static void write_error(const struct query_tag_error *error, struct buffer *json)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format_utc(error->at_ms, time);
    buffer_append_byte(json, '{');
    add_text(json, "studyInstanceUid", error->place.study);
    buffer_append_byte(json, ',');
    add_text(json, "seriesInstanceUid", error->place.series);
    buffer_append_byte(json, ',');
    add_text(json, "sopInstanceUid", error->place.instance);
    buffer_append_byte(json, ',');
    add_text(json, "createdTime", time);
    buffer_append_byte(json, ',');
    add_text(json, "errorMessage", error->message);
    buffer_append_byte(json, '}');
}

void query_tags_get_errors(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct query_tag_error *errors = mem_alloc_array(MAX_PAGE, sizeof(*errors));
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    struct query_tag tag;
    struct error err = { 0 };
    uint64_t offset, limit;
    size_t count;
    if (!find_path(request, response, &tag))
        goto out;
    if (!page_of(request, &offset, &limit, &err) ||
        !query_tags_find(dicomweb->archive, tag.path, tag.depth, &tag, &err) ||
        !query_tags_errors(dicomweb->archive, &tag, offset, limit, errors, &count, &err)) {
        answer_error(request, response, &err);
        goto out;
    }
    buffer_append_byte(&json, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buffer_append_byte(&json, ',');
        write_error(&errors[i], &json);
    }
    buffer_append_byte(&json, ']');
    answer_json(response, 200, &json);
out:
    buffer_release(&json);
    free(errors);
}

/* --- the work in the background, as an operation --- */

static void write_progress(struct request *request, const struct query_tag *tag, const char *id,
                           struct buffer *json)
{
    struct buffer url = buffer_up_to(4096);
    char name[QUERY_TAG_NAME];
    char time[CLOCK_TEXT_SIZE];
    bool runs = tag->status == QUERY_TAG_ADDING;
    query_tag_name(tag, name);
    dicomweb_base_url(request_context(request), request, &url);
    buffer_append_format(&url, "/extendedquerytags/%s", name);
    clock_format_utc(tag->added_ms, time);
    buffer_append_format(json, "{\"operationId\":\"%s\",\"type\":\"reindex\",", id);
    add_text(json, "createdTime", time);
    clock_format_utc(clock_unix_ms(), time);
    buffer_append_byte(json, ',');
    add_text(json, "lastUpdatedTime", time);
    buffer_append_format(json, ",\"status\":\"%s\",\"percentComplete\":%u,\"resources\":[",
                         tag->status == QUERY_TAG_DELETING ? "canceled"
                         : runs                            ? "running"
                                                           : "succeeded",
                         !runs     ? 100
                         : tag->of ? (unsigned)(tag->done * 100 / tag->of)
                                   : 0);
    json_write_string(buffer_slice(&url), json);
    buffer_append_text(json, "]}");
    buffer_release(&url);
}

void query_tags_get_operation(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct query_tag *tags = mem_alloc_array(QUERY_TAG_MAX, sizeof(*tags));
    struct buffer json = buffer_up_to(ANSWER_LIMIT);
    struct error err = { 0 };
    char id[OPERATION_SIZE];
    size_t count, i = 0;
    if (!query_tags_list(dicomweb->archive, tags, &count, &err)) {
        answer_error(request, response, &err);
        goto out;
    }
    for (; i < count; i++) {
        name_operation(&tags[i], id);
        if (!strcmp(id, request_parameter(request, "operation")))
            break;
    }
    if (i == count) {
        response_error(response, request, 404, "there is no such operation, or not any more");
        goto out;
    }
    write_progress(request, &tags[i], id, &json);
    answer_json(response, tags[i].status == QUERY_TAG_ADDING ? 202 : 200, &json);
out:
    buffer_release(&json);
    free(tags);
}
