/* SPDX-License-Identifier: MIT */
/* UPS-RS: events over a WebSocket (PS3.18 8.10.4, 11.13). Each is one text message. */
#include "base/log.h"
#include "dicom/json.h"
#include "dicomweb/hearing.h"
#include "dicomweb/workitems.h"
#include "http/channel.h"
#include "worklist/changes.h"
#include "worklist/events.h"

enum {
    LOOK_MS = 20, /* between two looks whether something has happened */
    TELL_MAX = 256,
};

/* The command set's attributes of PS3.4 table CC.2.4-1, and the event information. */
static bool write_event(const struct workitem_heard *heard, struct buffer *text, struct error *err)
{
    const struct json_options options = { .bulk_data_prefix = NULL };
    struct buffer information = buffer_up_to(8 * (size_t)OBJECT_DATASET_LIMIT);
    struct dataset *dataset = NULL;
    bool ok = dataset_open(buffer_slice(&heard->bytes),
                           transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                           &dataset, err);
    if (ok) {
        json_write_dataset(dataset, &options, &information);
        buffer_append_format(text,
                             "{\"00000002\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
                             "\"00001000\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
                             "\"00001002\":{\"vr\":\"US\",\"Value\":[%u]}",
                             UID_UPS_EVENT, heard->uid, heard->type);
        struct slice rest = slice_skip(buffer_slice(&information), 1);
        if (rest.size > 1)
            buffer_append_byte(text, ',');
        buffer_append(text, rest);
        ok = buffer_check(&information, "event", err) && buffer_check(text, "event", err);
    }
    dataset_close(dataset);
    buffer_release(&information);
    return ok;
}

/* Sends one, if there is one. */
static bool tell_one(struct event_follower *follower, struct channel *channel,
                     struct workitem_heard *heard, bool *found, struct error *err)
{
    struct buffer text = buffer_up_to(16 * (size_t)OBJECT_DATASET_LIMIT);
    bool ok = event_follower_next(follower, heard, found, err) &&
              (!*found ||
               (write_event(heard, &text, err) && channel_send(channel, buffer_slice(&text), err) &&
                event_follower_take(follower, err)));
    buffer_release(&text);
    return ok;
}

/* As many as there are, or so many that the client and the server should be looked after between.
 */
static bool tell_some(struct event_follower *follower, struct channel *channel, bool *more,
                      struct error *err)
{
    struct workitem_heard heard = { .bytes = buffer_up_to(0) };
    bool ok = true;
    *more = true;
    for (size_t i = 0; ok && *more && i < TELL_MAX; i++)
        ok = tell_one(follower, channel, &heard, more, err);
    workitem_heard_release(&heard);
    return ok;
}

/* Until the client goes, another takes its place, or the server stops. */
static bool hear(struct request *request, struct channel *channel, struct worklist *worklist,
                 const struct hearing *hearing, struct event_follower *follower, struct error *err)
{
    uint64_t seen = 0;
    bool more = true;
    for (;;) {
        bool is_wanted = request_is_wanted(request);
        uint64_t latest = object_changes_latest(worklist);
        if (hearing_is_replaced(hearing)) {
            channel_close(channel, WEBSOCKET_POLICY, "another channel of this subscriber is open");
            return true;
        }
        if (more || latest != seen || !is_wanted) {
            if (!tell_some(follower, channel, &more, err))
                return false;
            seen = latest;
        }
        if (!is_wanted) {
            channel_close(channel, WEBSOCKET_GOING_AWAY, "the server stops");
            return true;
        }
        if (!channel_poll(channel, more ? 0 : LOOK_MS, err))
            return false;
    }
}

static void serve(struct request *request, struct channel *channel)
{
    struct dicomweb *dicomweb = request_context(request);
    struct event_follower *follower = NULL;
    struct hearing *hearing = request_state(request);
    char subscriber[SUBSCRIBER_SIZE];
    struct error err = { .code = ERROR_NONE };
    subscriber_name(SUBSCRIBER_WEB, request_parameter(request, "subscriber"), subscriber);
    bool ok = hearing ? hearing_wait(hearing, &err)
                      : error_set(&err, ERROR_BUSY, "too many hear events now");
    ok = ok && event_follower_open(dicomweb->worklist, subscriber, &follower, &err);
    if (!ok)
        channel_close(channel,
                      err.code == ERROR_BUSY || err.code == ERROR_TIMEOUT
                          ? WEBSOCKET_TRY_AGAIN
                          : WEBSOCKET_INTERNAL_ERROR,
                      "events cannot be heard now");
    else if (!hear(request, channel, dicomweb->worklist, hearing, follower, &err))
        channel_close(channel, WEBSOCKET_INTERNAL_ERROR, "");
    log_info("dicomweb: events are no longer heard subscriber=\"%s\" why=\"%s\"", subscriber + 2,
             err.code == ERROR_NONE ? "" : err.message);
    event_follower_close(follower);
}

/* Its place is taken here: threads of channels may begin in another order than their requests came.
 */
void workitems_hear(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct hearing *hearing = NULL;
    char subscriber[SUBSCRIBER_SIZE];
    if (workitems_are_there(request, response) &&
        workitems_subscriber(request, response, false, subscriber) &&
        response_channel(response, request, serve) &&
        hearing_open(dicomweb->hearings, request_requester(request), subscriber, &hearing, NULL))
        request_set_state(request, hearing);
}

void workitems_hear_close(struct request *request, bool complete)
{
    (void)complete;
    hearing_close(request_state(request));
}
