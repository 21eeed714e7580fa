/* SPDX-License-Identifier: MIT */
/* UPS-RS: subscriptions (PS3.18 11.10 to 11.12). A subscriber is an AE title; whose user made the
 * first subscription of it alone may change it and hear its events. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/encode.h"
#include "dicomweb/attribute_path.h"
#include "dicomweb/workitems.h"
#include "worklist/subscriptions.h"

enum { FILTER_SIZE = 64 << 10, FILTER_KEYS = 64 };

/* Printable characters without a backslash, no spaces at the ends (PS3.5 6.2). */
static bool is_ae_title(const char *text)
{
    size_t size = strlen(text);
    if (!size || size > 16 || text[0] == ' ' || text[size - 1] == ' ')
        return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '\\')
            return false;
    return true;
}

bool workitems_subscriber(struct request *request, struct response *response, bool makes_it,
                          char subscriber[SUBSCRIBER_SIZE])
{
    struct dicomweb *dicomweb = request_context(request);
    const char *ae_title = request_parameter(request, "subscriber");
    bool is_theirs = false;
    struct error err;
    if (!is_ae_title(ae_title)) {
        response_error(response, request, 400, "the subscriber in the path is no AE title");
        return false;
    }
    subscriber_name(SUBSCRIBER_WEB, ae_title, subscriber);
    if (!subscriber_claim(dicomweb->worklist, subscriber, request_user(request), makes_it,
                          &is_theirs, &err)) {
        workitems_fail(request, response, &err);
        return false;
    }
    if (!is_theirs)
        response_error(response, request, 403, "the subscriptions of this AE title are another's");
    return is_theirs;
}

/* "00741204=Read,PatientID=P1": keys as of a search, with commas between (PS3.18 11.10.1.2), as a
 * data set. Keys in sequences are given by their paths; of one top-level attribute there is one. */
static void encode_key(struct encoder *encoder, const struct attribute_path *path,
                       const char *value)
{
    for (size_t i = 0; i + 1 < path->depth; i++) {
        encode_sequence_begin(encoder, path->tags[i]);
        encode_item_begin(encoder);
    }
    uint32_t tag = path->tags[path->depth - 1];
    encode_text(encoder, tag, dictionary_vr(tag), value);
    for (size_t i = 0; i + 1 < path->depth; i++) {
        encode_item_end(encoder);
        encode_sequence_end(encoder);
    }
}

struct filter_key {
    struct attribute_path path;
    const char *value;
};

static void insert_key(struct filter_key *keys, size_t *count, const struct filter_key *key)
{
    size_t at = *count;
    while (at && keys[at - 1].path.tags[0] > key->path.tags[0]) {
        keys[at] = keys[at - 1];
        at--;
    }
    keys[at] = *key;
    ++*count;
}

static bool parse_filter(char *text, struct buffer *bytes, struct error *err)
{
    struct encoder encoder = { bytes, true };
    struct filter_key *keys = mem_alloc_array(FILTER_KEYS, sizeof(*keys));
    size_t count = 0;
    bool ok = true;
    for (char *pair; ok && (pair = strsep(&text, ",&"));) {
        struct filter_key key;
        char *equals = strchr(pair, '=');
        if (!*pair)
            continue;
        if (equals)
            *equals = '\0';
        key.value = equals ? equals + 1 : "";
        ok = count < FILTER_KEYS && attribute_path_parse(pair, &key.path);
        if (ok)
            insert_key(keys, &count, &key);
    }
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    for (size_t i = 0; ok && i < count; i++) {
        ok = !i || keys[i].path.tags[0] != keys[i - 1].path.tags[0];
        encode_key(&encoder, &keys[i].path, keys[i].value);
    }
    free(keys);
    if (!ok || !count)
        return error_set(err, ERROR_INVALID, "the filter is no list of attributes and values");
    return buffer_check(bytes, "filter", err);
}

/* *dataset NULL: there is no filter. */
static bool read_filter(struct request *request, struct buffer *bytes, struct dataset **dataset,
                        struct error *err)
{
    const char *given = request_query_value(request, "filter");
    *dataset = NULL;
    if (!given)
        return true;
    char *copy = mem_copy_text(given);
    bool ok = parse_filter(copy, bytes, err) &&
              dataset_open(buffer_slice(bytes),
                           transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                           dataset, err);
    free(copy);
    return ok;
}

/* Where events are to be heard: ws: or wss: as the client sees us (PS3.18 8.10.4). */
static void add_location(struct request *request, struct response *response)
{
    struct buffer url = buffer_up_to(4096);
    struct buffer web = buffer_up_to(4096);
    dicomweb_base_url(request_context(request), request, &url);
    const char *text = buffer_text(&url);
    bool is_secure = strncmp(text, "https:", 6) == 0;
    buffer_append_format(&web, "%s%s/subscribers/", is_secure ? "wss" : "ws",
                         strchr(text, ':') ? strchr(text, ':') : "");
    for (const char *c = request_parameter(request, "subscriber"); *c; c++)
        if (strchr("!\"#%&/<>?[]^`{|} ", *c))
            buffer_append_format(&web, "%%%02X", (unsigned char)*c);
        else
            buffer_append_byte(&web, (uint8_t)*c);
    response_header(response, "Content-Location", buffer_text(&web));
    buffer_release(&url);
    buffer_release(&web);
}

static bool wants_lock(struct request *request)
{
    const char *lock = request_query_value(request, "deletionlock");
    return lock && strcmp(lock, "true") == 0;
}

void workitems_subscribe(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct workitem_outcome outcome = { .code = WORKITEM_OK };
    struct buffer bytes = buffer_up_to(FILTER_SIZE);
    struct dataset *filter = NULL;
    char subscriber[SUBSCRIBER_SIZE];
    struct error err;
    if (!workitems_are_there(request, response))
        return;
    const char *uid = workitems_uid(request, response);
    if (!uid || !workitems_subscriber(request, response, true, subscriber))
        return;
    if (!read_filter(request, &bytes, &filter, &err) ||
        !subscription_add(dicomweb->worklist, subscriber, uid, wants_lock(request), filter,
                          &outcome, &err)) {
        workitems_fail(request, response, &err);
    } else if (outcome.code == WORKITEM_UNKNOWN) {
        workitems_absent(request, response, uid);
    } else if (workitem_code_is_failure(outcome.code)) {
        response_error(response, request, 400, "the filter has no keys that can be matched");
    } else {
        response_status(response, 201);
        add_location(request, response);
        if (outcome.code != WORKITEM_OK)
            workitems_warn(request, response, workitem_code_text(outcome.code));
    }
    dataset_close(filter);
    buffer_release(&bytes);
}

static void answer_end(struct request *request, struct response *response, const char *uid,
                       const struct workitem_outcome *outcome, bool found)
{
    if (outcome->code == WORKITEM_UNKNOWN)
        workitems_absent(request, response, uid);
    else if (workitem_code_is_failure(outcome->code))
        response_error(response, request, 400, workitem_code_text(outcome->code));
    else if (!found)
        response_error(response, request, 404, "there is no such subscription");
    else
        response_status(response, 200);
}

typedef bool subscription_end(struct worklist *worklist, const char *subscriber, const char *uid,
                              bool *found, struct workitem_outcome *outcome, struct error *err);

static void end_subscription(struct request *request, struct response *response,
                             subscription_end *end)
{
    struct dicomweb *dicomweb = request_context(request);
    struct workitem_outcome outcome;
    char subscriber[SUBSCRIBER_SIZE];
    bool found = false;
    struct error err;
    if (!workitems_are_there(request, response))
        return;
    const char *uid = workitems_uid(request, response);
    if (!uid || !workitems_subscriber(request, response, false, subscriber))
        return;
    if (end(dicomweb->worklist, subscriber, uid, &found, &outcome, &err))
        answer_end(request, response, uid, &outcome, found);
    else
        workitems_fail(request, response, &err);
}

void workitems_unsubscribe(struct request *request, struct response *response)
{
    end_subscription(request, response, subscription_remove);
}

void workitems_suspend(struct request *request, struct response *response)
{
    end_subscription(request, response, subscription_suspend);
}
