/* SPDX-License-Identifier: MIT */
/* The change feed: what was stored and deleted, in order, for those who follow. Paths, parameters
 * and members are those of Microsoft's Medical Imaging Server, so that its clients feel at home:
 * GET /changefeed?offset=<last sequence seen>&limit=1..1000&includeMetadata=true|false
 *     &startTime=&endTime=, and GET /changefeed/latest, which is 204 while there is none.
 * Beyond it: action=, study=, wait=<seconds>, and Accept: text/event-stream (server-sent events of
 * the HTML standard), whose Last-Event-ID is the last sequence seen. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/changes.h"
#include "archive/retrieve.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "dicomweb/feed_window.h"
#include "dicomweb/places.h"
#include "dicomweb/routes.h"

enum {
    MAX_ENTRY_JSON = 512 << 20,
    LOOK_MS = 250,          /* how often who waits looks whether its client is there */
    HEARTBEAT_MS = 15000,   /* so that what is between us does not take a quiet stream for dead */
    EVENTS_AT_A_TIME = 100, /* read from the feed */
};

static const struct offer offers[] = {
    { "application/json", NULL, NULL, false },
    { "application/dicom+json", NULL, NULL, false },
    { "text/event-stream", NULL, NULL, false },
};
enum { OFFER_EVENTS = 2 };

static const char *const state_names[] = {
    [CHANGE_CURRENT] = "current", [CHANGE_REPLACED] = "replaced", [CHANGE_DELETED] = "deleted"
};

/* An answer while it is written. */
struct feed {
    struct dicomweb *dicomweb;
    const struct request *request;
    struct feed_window window;
    struct feed_page page;
    size_t next; /* of the page */
    bool begun;
    bool ended;
    bool waits; /* it has a place of those who wait: */
    uint64_t requester;
    char *base_url;
    struct buffer text; /* the present piece */
};

/* --- entries --- */

/* The instance whose metadata goes with a change, with its header. *state turns to deleted when it
 * was deleted just now. */
static bool open_instance(struct archive *archive, const struct identity *identity,
                          enum feed_metadata metadata, enum change_state *state,
                          struct instance **instance, struct error *err)
{
    const struct dataset *header;
    bool wanted = *state == CHANGE_CURRENT ||
                  (*state == CHANGE_REPLACED && metadata == FEED_METADATA_NOW);
    *instance = NULL;
    if (!wanted || (instance_open(archive, identity->study, identity->series, identity->instance,
                                  instance, err) &&
                    instance_header(*instance, &header, err)))
        return true;
    instance_close(*instance);
    *instance = NULL;
    if (err->code != ERROR_GONE && err->code != ERROR_NOT_FOUND)
        return false;
    *state = CHANGE_DELETED;
    return true;
}

static bool write_entry(struct archive *archive, const struct change *change,
                        enum feed_metadata metadata, const char *base_url, struct buffer *json,
                        struct error *err)
{
    const struct identity *identity = &change->identity;
    struct instance *instance = NULL;
    enum change_state state;
    char timestamp[CLOCK_TEXT_SIZE];
    if (!changes_state(archive, change, &state, err))
        return false;
    if (metadata != FEED_METADATA_NONE &&
        !open_instance(archive, identity, metadata, &state, &instance, err))
        return false;
    clock_format_utc(change->at_ms, timestamp);
    buffer_append_format(json,
                         "{\"sequence\":%llu,\"studyInstanceUid\":\"%s\","
                         "\"seriesInstanceUid\":\"%s\",\"sopInstanceUid\":\"%s\","
                         "\"action\":\"%s\",\"timestamp\":\"%s\",\"state\":\"%s\"",
                         (unsigned long long)change->sequence, identity->study, identity->series,
                         identity->instance, feed_action_name(change->action), timestamp,
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

/* --- who waits --- */

/* Each holds a connection and its thread. */
static bool begin_to_wait(struct feed *feed)
{
    feed->requester = request_requester(feed->request);
    feed->waits = places_take(feed->dicomweb->feed_places, feed->requester);
    return feed->waits;
}

/* Reads on from where the last page ended, and waits at its end: until there is a change that fits,
 * the time is over, the client has gone or the server stops. */
static bool read_or_wait(struct feed *feed, int64_t wait_ms, struct error *err)
{
    struct archive *archive = feed->dicomweb->archive;
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    for (;;) {
        feed_page_release(&feed->page);
        feed->next = 0;
        if (!feed_window_read(archive, &feed->window, &feed->page, err))
            return false;
        feed->window.offset = feed->page.seen;
        int64_t left_ms = deadline - clock_monotonic_ms();
        if (feed->page.count || feed->page.over || left_ms <= 0 ||
            !request_is_wanted(feed->request))
            return true;
        if (feed->page.seen < changes_latest(archive))
            continue; /* a part of the feed without one that fits, or what came just now */
        while ((left_ms = deadline - clock_monotonic_ms()) > 0 &&
               request_is_wanted(feed->request) &&
               !changes_wait(archive, feed->page.seen, left_ms < LOOK_MS ? left_ms : LOOK_MS))
            continue;
    }
}

static bool write_next(struct feed *feed, struct error *err)
{
    return write_entry(feed->dicomweb->archive, &feed->page.changes[feed->next++],
                       feed->window.metadata, feed->base_url, &feed->text, err);
}

static void close_feed(void *state)
{
    struct feed *feed = state;
    if (feed->waits)
        places_give_back(feed->dicomweb->feed_places, feed->requester);
    feed_page_release(&feed->page);
    buffer_release(&feed->text);
    free(feed->base_url);
    free(feed);
}

/* --- the list, entry by entry --- */

static bool next_of_list(void *state, struct piece *piece, struct error *err)
{
    struct feed *feed = state;
    buffer_clear(&feed->text);
    piece->kind = feed->ended ? PIECE_END : PIECE_BYTES;
    if (feed->ended)
        return true;
    if (!feed->begun)
        buffer_append_byte(&feed->text, '[');
    feed->ended = feed->next == feed->page.count;
    if (feed->ended) {
        buffer_append_byte(&feed->text, ']');
    } else {
        if (feed->begun)
            buffer_append_byte(&feed->text, ',');
        if (!write_next(feed, err))
            return false;
    }
    feed->begun = true;
    piece->bytes = buffer_slice(&feed->text);
    return true;
}

static void answer_list(struct feed *feed, struct response *response, const char *type)
{
    const struct body_source source = { next_of_list, close_feed, feed };
    char seen[32];
    snprintf(seen, sizeof(seen), "%llu", (unsigned long long)feed->page.seen);
    response_status(response, 200);
    response_content_type(response, type);
    response_header(response, "X-Change-Feed-Offset", seen);
    response_stream_take(response, &source, UINT64_MAX);
}

/* --- server-sent events --- */

static bool next_event(void *state, struct piece *piece, struct error *err)
{
    struct feed *feed = state;
    buffer_clear(&feed->text);
    piece->kind = PIECE_BYTES;
    piece->flush = true;
    if (!feed->begun) {
        buffer_append_text(&feed->text, "retry: 3000\n\n");
        feed->begun = true;
    } else {
        if (feed->next == feed->page.count && !read_or_wait(feed, HEARTBEAT_MS, err))
            return false;
        if (!request_is_wanted(feed->request) || (!feed->page.count && feed->page.over)) {
            piece->kind = PIECE_END; /* the client comes again, with its Last-Event-ID */
            return true;
        }
        bool found = feed->next < feed->page.count;
        unsigned long long id = found ? feed->page.changes[feed->next].sequence
                                      : feed->window.offset;
        buffer_append_format(&feed->text, "id: %llu\n", id);
        if (found) {
            buffer_append_text(&feed->text, "data: ");
            if (!write_next(feed, err))
                return false;
            buffer_append_byte(&feed->text, '\n');
        }
        buffer_append_byte(&feed->text, '\n');
    }
    piece->bytes = buffer_slice(&feed->text);
    return true;
}

static void answer_events(struct feed *feed, struct response *response)
{
    const struct body_source source = { next_event, close_feed, feed };
    feed->window.limit = EVENTS_AT_A_TIME;
    response_status(response, 200);
    response_content_type(response, offers[OFFER_EVENTS].type);
    response_header(response, "Cache-Control", "no-store");
    response_header(response, "X-Accel-Buffering", "no"); /* nginx gathers otherwise */
    response_stream_take(response, &source, UINT64_MAX);
}

/* Where a stream begins: behind what its client saw last, or now. */
static bool find_beginning(struct feed *feed, struct error *err)
{
    const char *last = request_header(feed->request, "Last-Event-ID");
    if (!last) {
        if (!feed->window.has_offset && feed->window.start_ms == INT64_MIN)
            feed->window.offset = changes_latest(feed->dicomweb->archive);
        return true;
    }
    size_t digits = strspn(last, "0123456789");
    if (!digits || digits > 18 || last[digits])
        return error_set(err, ERROR_INVALID, "Last-Event-ID is no sequence number");
    feed->window.offset = strtoull(last, NULL, 10);
    return true;
}

/* --- requests --- */

static char *copy_base_url(const struct dicomweb *dicomweb, const struct request *request)
{
    struct buffer url = buffer_up_to(4096);
    dicomweb_base_url(dicomweb, request, &url);
    char *text = mem_copy_text(buffer_text(&url));
    buffer_release(&url);
    return text;
}

static void refuse(struct request *request, struct response *response, const struct error *err)
{
    if (http_status_of(err->code) >= 500 && err->code != ERROR_BUSY)
        log_error("changefeed: error=%s reason=\"%s\"", error_name(err->code), err->message);
    response_error(response, request, http_status_of(err->code), err->message);
}

void changefeed_list(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct feed_window window;
    struct error err = { 0 };
    size_t offer;
    if (!dicomweb_choose(request, response, offers, sizeof(offers) / sizeof(offers[0]), &offer))
        return;
    if (!feed_window_parse(request, &window, &err)) {
        refuse(request, response, &err);
        return;
    }
    bool events = offer == OFFER_EVENTS;
    struct feed *feed = mem_alloc(sizeof(*feed));
    feed->dicomweb = dicomweb;
    feed->request = request;
    feed->window = window;
    feed->base_url = copy_base_url(dicomweb, request);
    feed->text = buffer_up_to(MAX_ENTRY_JSON);
    if ((events || window.wait_ms) && !begin_to_wait(feed))
        error_set(&err, ERROR_BUSY, "too many clients wait for changes");
    else if (events ? !find_beginning(feed, &err) : !read_or_wait(feed, window.wait_ms, &err))
        error_add_context(&err, "the change feed");
    if (err.code != ERROR_NONE) {
        refuse(request, response, &err);
        close_feed(feed);
    } else if (events) {
        answer_events(feed, response);
    } else {
        answer_list(feed, response, offers[offer].type);
    }
}

void changefeed_latest(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct feed_window window;
    struct change change;
    struct error err = { 0 };
    bool found = false;
    size_t offer;
    if (!dicomweb_choose(request, response, offers, OFFER_EVENTS, &offer))
        return;
    if (!feed_window_parse(request, &window, &err)) {
        refuse(request, response, &err);
        return;
    }
    struct buffer json = buffer_up_to(MAX_ENTRY_JSON);
    char *base_url = copy_base_url(dicomweb, request);
    bool ok = changes_last(dicomweb->archive, &change, &found, &err);
    if (ok && found)
        ok = write_entry(dicomweb->archive, &change, window.metadata, base_url, &json, &err);
    if (!ok) {
        refuse(request, response, &err);
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
