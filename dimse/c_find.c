/* SPDX-License-Identifier: MIT */
/* C-FIND as SCP of the Query/Retrieve models (PS3.4 C.4.1). */
#include "archive/query.h"
#include "base/clock.h"
#include "base/log.h"
#include "dicom/encode.h"
#include "dimse/identifier.h"
#include "dimse/service.h"

enum {
    RESPONSE_LIMIT = 64 << 20,
    KEY_LIMIT = 4 << 20,
    CHARSET_LIMIT = 1 << 10, /* text of (0008,0005) or (0008,0201) */
    TAG_QUERY_RETRIEVE_VIEW = 0x00080053,
};

struct find {
    struct session *session;
    const struct message *request;
    struct identifier identifier;
    struct query *query;
    bool has_unsupported;       /* keys that are neither matched nor returned (PS3.4 C.4.1.1.3.2) */
    struct buffer charset_name; /* (0008,0005) of the identifier */
    struct charset_writer *charset; /* of the responses, where they can be said in it */
    uint64_t count;
};

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
           tag == TAG_RETRIEVE_AE_TITLE || tag == TAG_QUERY_RETRIEVE_VIEW;
}

static bool add_return(struct find *find, uint32_t tag, struct error *err)
{
    if (query_supports(find->identifier.level, &tag, 1))
        return query_add_return(find->query, tag, err);
    find->has_unsupported = true;
    return true;
}

static bool add_key(struct find *find, struct key_path *path, const struct element *element,
                    struct error *err)
{
    uint32_t tags[QUERY_MAX_DEPTH];
    if (path->depth)
        path->has_key[path->depth - 1] = true;
    if (is_no_key(element->tag))
        return true;
    if (path->depth == 0 && (element->tag == TAG_INSTANCE_AVAILABILITY || element->vr == VR_SQ))
        return add_return(find, element->tag, err);
    memcpy(tags, path->tags, path->depth * sizeof(tags[0]));
    tags[path->depth] = element->tag;
    if (!query_supports(find->identifier.level, tags, path->depth + 1)) {
        find->has_unsupported = true;
        return true;
    }
    struct buffer value = buffer_up_to(KEY_LIMIT);
    dataset_element_text(find->identifier.dataset, element, &value);
    bool ok = buffer_check(&value, "key", err) &&
              query_add_key(find->query, tags, path->depth + 1, buffer_slice(&value), err);
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
static bool close_sequence(struct find *find, struct key_path *path, struct error *err)
{
    path->depth--;
    if (path->has_key[path->depth]) {
        if (path->depth)
            path->has_key[path->depth - 1] = true;
        return true;
    }
    return path->depth > 0 || add_return(find, path->tags[0], err);
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

static bool add_keys(struct find *find, struct error *err)
{
    struct walk walk = dataset_walk(find->identifier.dataset);
    struct key_path path = { .depth = 0 };
    struct element element;
    for (bool ok = true; ok;) {
        switch (walk_next(&walk, &element)) {
        case WALK_END:
            return query_add_return(find->query, TAG_RETRIEVE_AE_TITLE, err);
        case WALK_ELEMENT:
            ok = add_key(find, &path, &element, err);
            break;
        case WALK_SEQUENCE:
            ok = open_sequence(&path, element.tag, err);
            break;
        case WALK_SEQUENCE_END:
            ok = close_sequence(find, &path, err);
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

/* What was agreed for this context (PS3.4 C.5.1.1). */
static void set_options(struct find *find)
{
    const uint8_t *agreed = find->request->context->extended;
    unsigned options = (agreed[EXTENDED_FUZZY] ? MATCH_FUZZY_NAMES : 0) |
                       (agreed[EXTENDED_EMPTY_VALUE] ? MATCH_EMPTY_VALUE : 0) |
                       (agreed[EXTENDED_MULTIPLE_VALUES] ? MATCH_MULTIPLE_VALUES : 0);
    query_set_options(find->query, options);
    if (agreed[EXTENDED_DATE_TIME])
        query_combine_date_time(find->query);
}

/* Where it is agreed, dates and times of the identifier are those of the zone that it names (PS3.4
 * C.4.1.1.3.1). */
static bool set_zone(struct find *find, struct error *err)
{
    struct buffer offset = buffer_up_to(CHARSET_LIMIT);
    bool ok = true;
    if (find->request->context->extended[EXTENDED_TIMEZONE] &&
        dataset_text(find->identifier.dataset, TAG_TIMEZONE_OFFSET_FROM_UTC, &offset))
        ok = query_set_zone(find->query, buffer_slice(&offset), err) &&
             query_add_return(find->query, TAG_TIMEZONE_OFFSET_FROM_UTC, err);
    buffer_release(&offset);
    return ok;
}

/* Responses in the character set of the request, else that of the peer table; NULL leaves them in
 * UTF-8, with which nothing is lost (PS3.4 C.4.1.1.3). */
static void choose_charset(struct find *find)
{
    find->charset_name = buffer_up_to(CHARSET_LIMIT);
    const struct peer *peer = find->session->peer;
    if (!dataset_text(find->identifier.dataset, TAG_SPECIFIC_CHARACTER_SET, &find->charset_name) &&
        peer && peer->character_set)
        buffer_append_text(&find->charset_name, peer->character_set);
    if (find->charset_name.size)
        find->charset = charset_writer_open(buffer_slice(&find->charset_name));
}

static void encode_attribute(const struct find *find, struct encoder *encoder,
                             const struct dataset *match, uint32_t tag, bool *lost)
{
    if (tag == TAG_QUERY_RETRIEVE_LEVEL)
        return;
    if (tag == TAG_SPECIFIC_CHARACTER_SET && find->charset && !*lost)
        encode_bytes(encoder, tag, VR_CS, buffer_slice(&find->charset_name));
    else if (find->charset && !*lost)
        encode_copy_in(encoder, match, tag, find->charset, lost);
    else
        encode_copy(encoder, match, tag);
}

/* A match in the encoding of the presentation context, with the level in its place; in UTF-8 when
 * *lost, which is set when the requester's character set does not do. */
static void encode_match(const struct find *find, const struct dataset *match,
                         struct encoder *encoder, bool *lost)
{
    const char *level = identifier_level_name(find->identifier.level);
    struct walk walk = dataset_walk(match);
    struct element element;
    size_t depth = 0;
    bool has_level = false;
    bool was_lost = *lost;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_SEQUENCE_END)
            depth--;
        if ((event == WALK_ELEMENT || event == WALK_SEQUENCE) && depth == 0) {
            if (!has_level && element.tag > TAG_QUERY_RETRIEVE_LEVEL) {
                encode_text(encoder, TAG_QUERY_RETRIEVE_LEVEL, VR_CS, level);
                has_level = true;
            }
            encode_attribute(find, encoder, match, element.tag, lost);
            if (*lost != was_lost)
                return;
        }
        if (event == WALK_SEQUENCE)
            depth++;
    }
    if (!has_level)
        encode_text(encoder, TAG_QUERY_RETRIEVE_LEVEL, VR_CS, level);
}

static bool send_match(const struct find *find, const struct dataset *match, struct buffer *data,
                       struct error *err)
{
    const struct message *request = find->request;
    struct status pending = status_make(
        find->has_unsupported ? STATUS_PENDING_WITHOUT_KEYS : STATUS_PENDING, "");
    struct buffer command = buffer_up_to(COMMAND_LIMIT);
    struct encoder encoder = { data, request->context->syntax->explicit_vr };
    bool lost = false;
    buffer_clear(data);
    encode_match(find, match, &encoder, &lost);
    if (lost) {
        buffer_clear(data);
        encode_match(find, match, &encoder, &lost);
    }
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
    int64_t deadline_ms; /* for the next match */
    bool cancelled;
    bool ended;
};

static bool watch_peer(void *context, struct error *err)
{
    struct watch *watch = context;
    watch->ended = !session_poll(watch->session, watch->request, &watch->cancelled, err);
    if (watch->ended || watch->cancelled)
        return false;
    return clock_monotonic_ms() < watch->deadline_ms ||
           error_set(err, ERROR_TIMEOUT, "no match within the time limit of a query");
}

/* All matches. Leaves the final status; false when the association has ended. */
static bool send_matches(struct find *find, struct status *status, struct error *err)
{
    struct buffer data = buffer_up_to(RESPONSE_LIMIT);
    struct watch watch = { .session = find->session, .request = find->request };
    struct error failure = { .code = ERROR_NONE };
    bool ok = true;
    *status = status_make(STATUS_SUCCESS, "");
    query_set_watch(find->query, watch_peer, &watch);
    while (ok) {
        const struct dataset *match = NULL;
        watch.deadline_ms = clock_monotonic_ms() + find->session->options->query_timeout_ms;
        if (!watch_peer(&watch, &failure))
            break;
        if (!query_next(find->query, &match, &failure)) {
            *status = status_from_error(SERVICE_FIND, &failure);
            break;
        }
        if (!match)
            break;
        ok = send_match(find, match, &data, err);
        find->count++;
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

static bool run(struct find *find, struct status *status, struct error *err)
{
    struct error refusal = { .code = ERROR_NONE };
    find->query = query_new(find->session->archive, find->identifier.level);
    set_options(find);
    choose_charset(find);
    if (set_zone(find, &refusal) && add_keys(find, &refusal))
        return send_matches(find, status, err);
    *status = status_from_error(SERVICE_FIND, &refusal);
    return true;
}

bool c_find(struct session *session, struct message *request, struct error *err)
{
    struct find find = { .session = session, .request = request };
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    bool ok = false;
    session->queries++;
    if (identifier_receive(request, &find.identifier, &refusal, err)) {
        ok = run(&find, &status, err);
    } else if (!association_has_ended(session->association)) {
        status = status_from_error(SERVICE_FIND, &refusal);
        ok = true;
    }
    log_debug("dimse: query calling_ae=%s matches=%llu ok=%d",
              association_calling_ae(session->association), (unsigned long long)find.count, ok);
    if (ok && status.code != STATUS_SUCCESS && status.code != STATUS_CANCELLED)
        session_note_refusal(session, request, &status);
    query_close(find.query);
    charset_writer_close(find.charset);
    buffer_release(&find.charset_name);
    identifier_release(&find.identifier);
    return ok && message_respond(request, &status, err);
}
