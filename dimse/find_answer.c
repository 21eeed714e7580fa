/* SPDX-License-Identifier: MIT */
#include "dimse/find_answer.h"

#include "base/clock.h"
#include "dicom/encode.h"

enum { RESPONSE_LIMIT = 64 << 20, CHARSET_LIMIT = 1 << 10 /* text of (0008,0005) */ };

/* Responses in the character set of the request, else that of the peer table; NULL leaves them in
 * UTF-8, with which nothing is lost (PS3.4 C.4.1.1.3). */
static void choose_charset(struct find_answer *answer, const struct dataset *identifier)
{
    answer->charset_name = buffer_up_to(CHARSET_LIMIT);
    const struct peer *peer = answer->session->peer;
    if (!dataset_text(identifier, TAG_SPECIFIC_CHARACTER_SET, &answer->charset_name) && peer &&
        peer->character_set)
        buffer_append_text(&answer->charset_name, peer->character_set);
    if (answer->charset_name.size)
        answer->charset = charset_writer_open(buffer_slice(&answer->charset_name));
}

static void encode_attribute(const struct find_answer *answer, struct encoder *encoder,
                             const struct dataset *match, uint32_t tag, bool *lost)
{
    if (answer->level && tag == TAG_QUERY_RETRIEVE_LEVEL)
        return;
    if (tag == TAG_SPECIFIC_CHARACTER_SET && answer->charset && !*lost)
        encode_bytes(encoder, tag, VR_CS, buffer_slice(&answer->charset_name));
    else if (answer->charset && !*lost)
        encode_copy_in(encoder, match, tag, answer->charset, lost);
    else
        encode_copy(encoder, match, tag);
}

/* A match in the encoding of the presentation context, with the level in its place; in UTF-8 when
 * *lost, which is set when the requester's character set does not do. */
static void encode_match(const struct find_answer *answer, const struct dataset *match,
                         struct encoder *encoder, bool *lost)
{
    const char *level = answer->level;
    struct walk walk = dataset_walk(match);
    struct element element;
    size_t depth = 0;
    bool has_level = !level;
    bool was_lost = *lost;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_SEQUENCE_END)
            depth--;
        if ((event == WALK_ELEMENT || event == WALK_SEQUENCE) && depth == 0) {
            if (!has_level && element.tag > TAG_QUERY_RETRIEVE_LEVEL) {
                encode_text(encoder, TAG_QUERY_RETRIEVE_LEVEL, VR_CS, level);
                has_level = true;
            }
            encode_attribute(answer, encoder, match, element.tag, lost);
            if (*lost != was_lost)
                return;
        }
        if (event == WALK_SEQUENCE)
            depth++;
    }
    if (!has_level)
        encode_text(encoder, TAG_QUERY_RETRIEVE_LEVEL, VR_CS, level);
}

static bool send_match(struct find_answer *answer, const struct dataset *match, struct error *err)
{
    struct buffer *data = &answer->data;
    const struct message *request = answer->request;
    struct status pending = status_make(
        answer->has_unsupported ? STATUS_PENDING_WITHOUT_KEYS : STATUS_PENDING, "");
    struct buffer command = buffer_up_to(COMMAND_LIMIT);
    struct encoder encoder = { data, request->context->syntax->explicit_vr };
    bool lost = false;
    buffer_clear(data);
    encode_match(answer, match, &encoder, &lost);
    if (lost) {
        buffer_clear(data);
        encode_match(answer, match, &encoder, &lost);
    }
    command_encode_response(&request->command, &pending, NULL, false, true, &command);
    struct slice bytes = buffer_slice(data);
    bool ok = message_send(request->association, request->context->id, buffer_slice(&command),
                           &bytes, err);
    buffer_release(&command);
    return ok;
}

void find_answer_init(struct find_answer *answer, struct session *session,
                      const struct message *request, const struct dataset *identifier)
{
    memset(answer, 0, sizeof(*answer));
    answer->session = session;
    answer->request = request;
    answer->data = buffer_up_to(RESPONSE_LIMIT);
    choose_charset(answer, identifier);
    answer->deadline_ms = clock_monotonic_ms() + session->options->query_timeout_ms;
}

void find_answer_release(struct find_answer *answer)
{
    charset_writer_close(answer->charset);
    buffer_release(&answer->charset_name);
    buffer_release(&answer->data);
}

bool find_answer_watch(void *context, struct error *err)
{
    struct find_answer *answer = context;
    answer->ended = !session_poll(answer->session, answer->request, &answer->cancelled, err);
    if (answer->ended || answer->cancelled)
        return false;
    return clock_monotonic_ms() < answer->deadline_ms ||
           error_set(err, ERROR_TIMEOUT, "no match within the time limit of a query");
}

bool find_answer_send_all(struct find_answer *answer, find_next *next, void *context,
                          struct status *status, struct error *err)
{
    struct error failure = { .code = ERROR_NONE };
    bool ok = true;
    *status = status_make(STATUS_SUCCESS, "");
    while (ok) {
        const struct dataset *match = NULL;
        answer->deadline_ms = clock_monotonic_ms() + answer->session->options->query_timeout_ms;
        if (!find_answer_watch(answer, &failure))
            break;
        if (!next(context, &match, &failure)) {
            *status = status_from_error(SERVICE_FIND, &failure);
            break;
        }
        if (!match)
            break;
        ok = send_match(answer, match, err);
        answer->count++;
    }
    if (answer->cancelled)
        *status = status_make(STATUS_CANCELLED, "");
    if (answer->ended) {
        *err = failure;
        ok = false;
    }
    return ok;
}
