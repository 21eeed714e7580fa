/* SPDX-License-Identifier: MIT */
/* C-FIND as SCP of the Patient Root and Study Root models (PS3.4 C.4.1). */
#include "archive/query.h"
#include "base/log.h"
#include "dicom/encode.h"
#include "dimse/identifier.h"
#include "dimse/service.h"

enum { RESPONSE_LIMIT = 64 << 20, KEY_LIMIT = 4 << 20 };

/* Where the walk through the identifier stands: the open sequences, and whether each has had an
 * item and a key. */
struct key_path {
    uint32_t tags[QUERY_MAX_DEPTH];
    bool has_item[QUERY_MAX_DEPTH];
    bool has_key[QUERY_MAX_DEPTH];
    size_t depth;
};

/* Attributes of the identifier that are no keys, or only ask to be returned (PS3.4 C.4.1.1.3). */
static bool is_no_key(uint32_t tag)
{
    return (tag & 0xFFFF) == 0 || tag == TAG_SPECIFIC_CHARACTER_SET ||
           tag == TAG_QUERY_RETRIEVE_LEVEL || tag == TAG_TIMEZONE_OFFSET_FROM_UTC ||
           tag == TAG_RETRIEVE_AE_TITLE;
}

static bool add_key(struct query *query, const struct dataset *dataset, struct key_path *path,
                    const struct element *element, struct error *err)
{
    uint32_t tags[QUERY_MAX_DEPTH];
    if (path->depth)
        path->has_key[path->depth - 1] = true;
    if (is_no_key(element->tag))
        return true;
    if (path->depth == 0 && (element->tag == TAG_INSTANCE_AVAILABILITY || element->vr == VR_SQ))
        return query_add_return(query, element->tag, err);
    memcpy(tags, path->tags, path->depth * sizeof(tags[0]));
    tags[path->depth] = element->tag;
    struct buffer value = buffer_up_to(KEY_LIMIT);
    dataset_element_text(dataset, element, &value);
    bool ok = buffer_check(&value, "key", err) &&
              query_add_key(query, tags, path->depth + 1, buffer_slice(&value), err);
    buffer_release(&value);
    return ok;
}

static bool open_sequence(struct key_path *path, uint32_t tag, struct error *err)
{
    /* The last place is for the attribute in the innermost item. */
    if (path->depth == QUERY_MAX_DEPTH - 1)
        return error_set_tag(err, ERROR_MISMATCH, tag, "sequence keys nested too deep");
    path->tags[path->depth] = tag;
    path->has_item[path->depth] = false;
    path->has_key[path->depth] = false;
    path->depth++;
    return true;
}

/* A sequence key without keys in it is universal: the sequence is returned (PS3.4 C.2.2.2.6). */
static bool close_sequence(struct query *query, struct key_path *path, struct error *err)
{
    path->depth--;
    if (path->has_key[path->depth]) {
        if (path->depth)
            path->has_key[path->depth - 1] = true;
        return true;
    }
    return path->depth > 0 || query_add_return(query, path->tags[0], err);
}

static bool open_item(struct key_path *path, struct error *err)
{
    if (path->depth == 0)
        return true;
    bool *has_item = &path->has_item[path->depth - 1];
    if (*has_item)
        return error_set_tag(err, ERROR_MISMATCH, path->tags[path->depth - 1],
                             "sequence key with more than one item");
    *has_item = true;
    return true;
}

static bool add_keys(struct query *query, const struct dataset *dataset, struct error *err)
{
    struct walk walk = dataset_walk(dataset);
    struct key_path path = { .depth = 0 };
    struct element element;
    for (bool ok = true; ok;) {
        switch (walk_next(&walk, &element)) {
        case WALK_END:
            return query_add_return(query, TAG_RETRIEVE_AE_TITLE, err);
        case WALK_ELEMENT:
            ok = add_key(query, dataset, &path, &element, err);
            break;
        case WALK_SEQUENCE:
            ok = open_sequence(&path, element.tag, err);
            break;
        case WALK_SEQUENCE_END:
            ok = close_sequence(query, &path, err);
            break;
        case WALK_ITEM:
            ok = open_item(&path, err);
            break;
        case WALK_ITEM_END:
            break;
        }
    }
    return false;
}

/* A match in the encoding of the presentation context, with the level in its place. */
static void encode_match(const struct dataset *match, enum level level, struct encoder *encoder)
{
    struct walk walk = dataset_walk(match);
    struct element element;
    size_t depth = 0;
    bool has_level = false;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_SEQUENCE_END)
            depth--;
        if ((event == WALK_ELEMENT || event == WALK_SEQUENCE) && depth == 0) {
            if (!has_level && element.tag > TAG_QUERY_RETRIEVE_LEVEL) {
                encode_text(encoder, TAG_QUERY_RETRIEVE_LEVEL, VR_CS, identifier_level_name(level));
                has_level = true;
            }
            if (element.tag != TAG_QUERY_RETRIEVE_LEVEL)
                encode_copy(encoder, match, element.tag);
        }
        if (event == WALK_SEQUENCE)
            depth++;
    }
    if (!has_level)
        encode_text(encoder, TAG_QUERY_RETRIEVE_LEVEL, VR_CS, identifier_level_name(level));
}

static bool send_match(const struct message *request, const struct dataset *match, enum level level,
                       struct buffer *data, struct error *err)
{
    struct status pending = status_make(STATUS_PENDING, "");
    struct buffer command = buffer_up_to(COMMAND_LIMIT);
    struct encoder encoder = { data, request->context->syntax->explicit_vr };
    buffer_clear(data);
    encode_match(match, level, &encoder);
    command_encode_response(&request->command, &pending, NULL, false, true, &command);
    struct slice bytes = buffer_slice(data);
    bool ok = message_send(request->association, request->context->id, buffer_slice(&command),
                           &bytes, err);
    buffer_release(&command);
    return ok;
}

/* What the peer does while matches are looked for. */
struct watch {
    struct session *session;
    const struct message *request;
    bool cancelled;
    bool ended;
};

static bool watch_peer(void *context, struct error *err)
{
    struct watch *watch = context;
    watch->ended = !session_poll(watch->session, watch->request, &watch->cancelled, err);
    return !watch->ended && !watch->cancelled;
}

/* All matches. Leaves the final status; false when the association has ended. */
static bool send_matches(struct session *session, const struct message *request,
                         struct query *query, enum level level, struct status *status,
                         uint64_t *count, struct error *err)
{
    struct buffer data = buffer_up_to(RESPONSE_LIMIT);
    struct watch watch = { session, request, false, false };
    struct error failure = { .code = ERROR_NONE };
    bool ok = true;
    *status = status_make(STATUS_SUCCESS, "");
    query_set_watch(query, watch_peer, &watch);
    while (ok && watch_peer(&watch, &failure)) {
        const struct dataset *match = NULL;
        if (!query_next(query, &match, &failure)) {
            *status = status_from_error(SERVICE_FIND, &failure);
            break;
        }
        if (!match)
            break;
        ok = send_match(request, match, level, &data, err);
        ++*count;
    }
    if (watch.cancelled)
        *status = status_make(STATUS_CANCELLED, "");
    if (watch.ended) {
        *err = failure;
        ok = false;
    }
    buffer_release(&data);
    return ok;
}

bool c_find(struct session *session, struct message *request, struct error *err)
{
    struct identifier identifier;
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    struct query *query = NULL;
    uint64_t count = 0;
    bool ok = false;
    session->queries++;
    if (identifier_receive(request, &identifier, &refusal, err)) {
        query = query_new(session->archive, identifier.level);
        if (add_keys(query, identifier.dataset, &refusal)) {
            ok = send_matches(session, request, query, identifier.level, &status, &count, err);
            goto out;
        }
    }
    if (association_has_ended(session->association))
        goto out;
    status = status_from_error(SERVICE_FIND, &refusal);
    ok = true;
out:
    query_close(query);
    identifier_release(&identifier);
    log_debug("dimse: query calling_ae=%s matches=%llu ok=%d",
              association_calling_ae(session->association), (unsigned long long)count, ok);
    return ok && message_respond(request, &status, err);
}
