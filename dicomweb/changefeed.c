/* SPDX-License-Identifier: MIT */
/* The change feed: what was stored and deleted, in order, for those who follow. Paths, parameters
 * and members are those of Microsoft's Medical Imaging Server, so that its clients feel at home:
 * GET /changefeed?offset=<last sequence seen>&limit=1..1000&includeMetadata=true|false, and
 * GET /changefeed/latest, which is 204 while there is none. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "archive/changes.h"
#include "archive/retrieve.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "dicomweb/routes.h"

enum { DEFAULT_LIMIT = 10, MAX_LIMIT = 1000, MAX_ENTRY_JSON = 512 << 20 };

static const struct offer offers[] = {
    { "application/json", NULL, NULL, false },
    { "application/dicom+json", NULL, NULL, false },
};

/* A page of the feed while it is written. */
struct feed {
    struct archive *archive;
    struct changes *changes;
    uint64_t left; /* of the limit */
    bool with_metadata;
    bool begun;
    bool ended;
    char *base_url;
    struct buffer json; /* the present piece */
};

static const char *const action_names[] = {
    [CHANGE_CREATE] = "create", [CHANGE_UPDATE] = "update", [CHANGE_DELETE] = "delete"
};
static const char *const state_names[] = {
    [CHANGE_CURRENT] = "current", [CHANGE_REPLACED] = "replaced", [CHANGE_DELETED] = "deleted"
};

/* --- parameters --- */

struct page {
    uint64_t offset;
    uint64_t limit;
    bool with_metadata;
};

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 18 || text[digits])
        return false;
    *number = strtoull(text, NULL, 10);
    return *number >= least && *number <= most;
}

static bool parse_truth(const char *text, bool *truth)
{
    *truth = strcasecmp(text, "true") == 0;
    return *truth || strcasecmp(text, "false") == 0;
}

/* Unknown parameters are ignored (PS3.18 8.3.2). */
static bool parse_page(const struct request *request, struct page *page, struct error *err)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    *page = (struct page){ 0, DEFAULT_LIMIT, true };
    for (size_t i = 0; i < count; i++) {
        const char *name = pairs[i].name;
        const char *value = pairs[i].value;
        if (strcasecmp(name, "offset") == 0 && !parse_number(value, 0, INT64_MAX, &page->offset))
            return error_set(err, ERROR_INVALID, "offset is a number from 0");
        if (strcasecmp(name, "limit") == 0 && !parse_number(value, 1, MAX_LIMIT, &page->limit))
            return error_set(err, ERROR_INVALID, "limit is a number from 1 to %d", MAX_LIMIT);
        if (strcasecmp(name, "includeMetadata") == 0 && !parse_truth(value, &page->with_metadata))
            return error_set(err, ERROR_INVALID, "includeMetadata is true or false");
    }
    return true;
}

/* --- entries --- */

/* The instance of a current change, with its header. *state turns to deleted when it was deleted
 * just now. */
static bool open_current(struct archive *archive, const struct identity *identity,
                         enum change_state *state, struct instance **instance, struct error *err)
{
    const struct dataset *header;
    *instance = NULL;
    if (*state != CHANGE_CURRENT || (instance_open(archive, identity->study, identity->series,
                                                   identity->instance, instance, err) &&
                                     instance_header(*instance, &header, err)))
        return true;
    instance_close(*instance);
    *instance = NULL;
    if (err->code != ERROR_GONE && err->code != ERROR_NOT_FOUND)
        return false;
    *state = CHANGE_DELETED;
    return true;
}

static bool write_entry(struct archive *archive, const struct change *change, bool with_metadata,
                        const char *base_url, struct buffer *json, struct error *err)
{
    const struct identity *identity = &change->identity;
    struct instance *instance = NULL;
    enum change_state state;
    char timestamp[CLOCK_TEXT_SIZE];
    if (!changes_state(archive, change, &state, err))
        return false;
    if (with_metadata && !open_current(archive, identity, &state, &instance, err))
        return false;
    clock_format_utc(change->at_ms, timestamp);
    buffer_append_format(json,
                         "{\"sequence\":%llu,\"studyInstanceUid\":\"%s\","
                         "\"seriesInstanceUid\":\"%s\",\"sopInstanceUid\":\"%s\","
                         "\"action\":\"%s\",\"timestamp\":\"%s\",\"state\":\"%s\"",
                         (unsigned long long)change->sequence, identity->study, identity->series,
                         identity->instance, action_names[change->action], timestamp,
                         state_names[state]);
    bool ok = true;
    if (instance) {
        buffer_append_text(json, ",\"metadata\":");
        ok = dicomweb_write_metadata(base_url, instance, json, err);
    }
    instance_close(instance);
    buffer_append_byte(json, '}');
    return ok && buffer_check(json, "the metadata of an instance", err);
}

/* --- the list, entry by entry --- */

static bool next_entry(struct feed *feed, bool *found, struct error *err)
{
    struct change change;
    *found = false;
    if (feed->left && !changes_next(feed->changes, &change, found, err))
        return false;
    if (!*found)
        return true;
    feed->left--;
    buffer_append_byte(&feed->json, feed->begun ? ',' : '[');
    feed->begun = true;
    return write_entry(feed->archive, &change, feed->with_metadata, feed->base_url, &feed->json,
                       err);
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct feed *feed = state;
    bool found;
    buffer_clear(&feed->json);
    if (feed->ended) {
        piece->kind = PIECE_END;
        return true;
    }
    if (!next_entry(feed, &found, err))
        return false;
    if (!found) {
        buffer_append_text(&feed->json, feed->begun ? "]" : "[]");
        feed->ended = true;
    }
    piece->kind = PIECE_BYTES;
    piece->bytes = buffer_slice(&feed->json);
    return true;
}

static void close_feed(void *state)
{
    struct feed *feed = state;
    changes_close(feed->changes);
    buffer_release(&feed->json);
    free(feed->base_url);
    free(feed);
}

static char *copy_base_url(const struct dicomweb *dicomweb, const struct request *request)
{
    struct buffer url = buffer_up_to(4096);
    dicomweb_base_url(dicomweb, request, &url);
    char *text = mem_copy_text(buffer_text(&url));
    buffer_release(&url);
    return text;
}

void changefeed_list(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct page page;
    struct error err = { 0 };
    size_t offer;
    if (!dicomweb_choose(request, response, offers, 2, &offer))
        return;
    if (!parse_page(request, &page, &err)) {
        response_error(response, request, 400, err.message);
        return;
    }
    struct feed *feed = mem_alloc(sizeof(*feed));
    feed->archive = dicomweb->archive;
    feed->left = page.limit;
    feed->with_metadata = page.with_metadata;
    feed->base_url = copy_base_url(dicomweb, request);
    feed->json = buffer_up_to(MAX_ENTRY_JSON);
    if (!changes_open(dicomweb->archive, page.offset, &feed->changes, &err)) {
        log_error("changefeed: error=%s reason=%s", error_name(err.code), err.message);
        response_error(response, request, http_status_of(err.code), err.message);
        close_feed(feed);
        return;
    }
    const struct body_source source = { next_piece, close_feed, feed };
    response_status(response, 200);
    response_content_type(response, offers[offer].type);
    response_stream_take(response, &source, UINT64_MAX);
}

void changefeed_latest(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct page page;
    struct change change;
    struct error err = { 0 };
    bool found = false;
    size_t offer;
    if (!dicomweb_choose(request, response, offers, 2, &offer))
        return;
    if (!parse_page(request, &page, &err)) {
        response_error(response, request, 400, err.message);
        return;
    }
    struct buffer json = buffer_up_to(MAX_ENTRY_JSON);
    char *base_url = copy_base_url(dicomweb, request);
    bool ok = changes_last(dicomweb->archive, &change, &found, &err);
    if (ok && found)
        ok = write_entry(dicomweb->archive, &change, page.with_metadata, base_url, &json, &err);
    if (!ok) {
        log_error("changefeed: error=%s reason=%s", error_name(err.code), err.message);
        response_error(response, request, http_status_of(err.code), err.message);
    } else if (!found) {
        response_status(response, 204);
    } else {
        response_status(response, 200);
        response_content_type(response, offers[offer].type);
        response_body_take(response, &json);
    }
    buffer_release(&json);
    free(base_url);
}
