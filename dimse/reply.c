/* SPDX-License-Identifier: MIT */
#include "dimse/reply.h"

#include "dimse/peers.h"

enum { CHARSET_LIMIT = 256 };

void reply_init(const struct session *session, const struct message *request,
                const struct dataset *asked, struct reply *reply)
{
    *reply = (struct reply){ .charset_name = buffer_up_to(CHARSET_LIMIT),
                             .explicit_vr = request->context->syntax->explicit_vr };
    bool is_told = asked && dataset_text(asked, TAG_SPECIFIC_CHARACTER_SET, &reply->charset_name);
    if (!is_told && session->peer && session->peer->character_set)
        buffer_append_text(&reply->charset_name, session->peer->character_set);
    if (reply->charset_name.size)
        reply->charset = charset_writer_open(buffer_slice(&reply->charset_name));
}

void reply_release(struct reply *reply)
{
    charset_writer_close(reply->charset);
    buffer_release(&reply->charset_name);
}

static void encode_one(const struct reply *reply, const struct dataset *dataset, uint32_t tag,
                       struct encoder *encoder, bool *lost)
{
    struct element element;
    if (tag == TAG_SPECIFIC_CHARACTER_SET && reply->charset && !*lost)
        encode_bytes(encoder, tag, VR_CS, buffer_slice(&reply->charset_name));
    else if (tag == TAG_SPECIFIC_CHARACTER_SET)
        encode_text(encoder, tag, VR_CS, "ISO_IR 192");
    else if (!dataset_find(dataset, tag, &element))
        encode_bytes(encoder, tag, dictionary_vr(tag), slice_of(NULL, 0));
    else if (reply->charset && !*lost)
        encode_copy_in(encoder, dataset, tag, reply->charset, lost);
    else
        encode_copy(encoder, dataset, tag);
}

static void encode_all(const struct reply *reply, const struct dataset *dataset,
                       struct encoder *encoder, bool *lost)
{
    struct walk walk = dataset_walk(dataset);
    struct element element;
    size_t depth = 0;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_SEQUENCE_END)
            depth--;
        if ((event == WALK_ELEMENT || event == WALK_SEQUENCE) && depth == 0)
            encode_one(reply, dataset, element.tag, encoder, lost);
        if (event == WALK_SEQUENCE)
            depth++;
    }
}

static void encode(const struct reply *reply, const struct dataset *dataset, const uint32_t *tags,
                   size_t tag_count, struct encoder *encoder, bool *lost)
{
    if (!tags) {
        encode_all(reply, dataset, encoder, lost);
        return;
    }
    encode_one(reply, dataset, TAG_SPECIFIC_CHARACTER_SET, encoder, lost);
    for (size_t i = 0; i < tag_count; i++)
        if (tags[i] != TAG_SPECIFIC_CHARACTER_SET && (!i || tags[i] != tags[i - 1]))
            encode_one(reply, dataset, tags[i], encoder, lost);
}

bool reply_encode(const struct reply *reply, const struct dataset *dataset, const uint32_t *tags,
                  size_t tag_count, struct buffer *out, struct error *err)
{
    struct encoder encoder = { out, reply->explicit_vr };
    bool lost = false;
    buffer_clear(out);
    encode(reply, dataset, tags, tag_count, &encoder, &lost);
    if (lost) { /* with `lost` set, all of it in UTF-8 */
        buffer_clear(out);
        encode(reply, dataset, tags, tag_count, &encoder, &lost);
    }
    return buffer_check(out, "the answer", err);
}
