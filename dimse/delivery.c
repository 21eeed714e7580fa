/* SPDX-License-Identifier: MIT */
#include "dimse/delivery.h"

#include "archive/transcoding.h"
#include "dicom/transcode.h"
#include "dimse/status.h"

/* A data set without its pixels can go out in every syntax that has no other encoding. */
static bool takes_without_bulk(const struct transfer_syntax *syntax)
{
    return !syntax->deflated && !syntax->big_endian;
}

/* A context that takes the stored bytes, else one into whose syntax they can be brought, a native
 * one if there is any; NULL. */
static const struct presentation_context *choose(const struct delivery_way *way,
                                                 const struct instance *instance, bool *as_is)
{
    const struct presentation_context *other = NULL;
    const struct presentation_context *context;
    const char *sop_class = instance_identity(instance)->sop_class;
    const struct transfer_syntax *syntax = way->excerpt ? way->excerpt->syntax
                                                        : instance_syntax(instance);
    const char *syntax_uid = way->excerpt ? syntax->uid : instance_syntax_uid(instance);
    *as_is = false;
    for (size_t i = 0; (context = association_context_at(way->association, i)); i++) {
        if (context->result != CONTEXT_ACCEPTED || !(context->roles & way->role) ||
            strcmp(context->abstract_syntax, sop_class) != 0)
            continue;
        if (way->without_bulk && takes_without_bulk(context->syntax))
            return context;
        if (way->without_bulk)
            continue;
        *as_is = strcmp(context->transfer_syntax, syntax_uid) == 0;
        if (*as_is)
            return context;
        bool is_better = !other || (other->syntax->encapsulated && !context->syntax->encapsulated);
        if (is_better && transcode_is_possible(syntax, context->syntax))
            other = context;
    }
    return other;
}

static bool read_instance(void *context, uint64_t offset, struct space space, struct error *err)
{
    return instance_read(context, offset, space, err);
}

static bool write_fragment(void *context, struct slice bytes, struct error *err)
{
    return message_write(context, bytes, err);
}

static bool send_transcoded(const struct delivery_way *way, struct instance *instance,
                            const struct presentation_context *context, struct slice command,
                            bool *broken, struct error *err)
{
    const struct dataset *header;
    struct slice frames;
    struct file_range stored;
    uint64_t taken = 0;
    if (!instance_header(instance, &header, err) || !instance_frames(instance, &frames, err) ||
        !instance_dataset(instance, &stored, err) ||
        (!way->without_bulk && !transcoding_take(instance, context->syntax, 0, &taken, err)))
        return false;
    struct message_writer writer = message_writer_init(way->association, context->id, command);
    struct transcode_source source = { read_instance, instance, stored.size };
    struct transcode_sink sink = { write_fragment, &writer };
    bool ok = way->without_bulk
                  ? transcode_without_bulk(header, context->syntax, &source, &sink, err)
                  : transcode_dataset(header, frames, context->syntax, &source, &sink, err);
    ok = ok && message_end_data(&writer, err);
    *broken = !ok && writer.begun;
    message_writer_release(&writer);
    transcoding_give_back(instance, taken);
    return ok;
}

/* The file must have all that is announced: behind the first byte there is no way back. */
static bool send_stored(struct delivery_way *way, struct instance *instance,
                        const struct presentation_context *context, struct slice command,
                        bool *broken, struct error *err)
{
    struct file_range stored;
    if (!instance_dataset(instance, &stored, err) || !file_reader_take(way->reader, &stored, err))
        return false;
    *broken = !message_send_file(way->association, context->id, command, &stored, err);
    return !*broken;
}

static bool read_excerpt(void *context, uint64_t offset, struct space space, struct error *err)
{
    return excerpt_read(context, offset, space, err);
}

static bool send_excerpt(const struct delivery_way *way, struct instance *instance,
                         const struct presentation_context *context, bool as_is,
                         struct slice command, bool *broken, struct error *err)
{
    struct excerpt *excerpt = way->excerpt;
    if (as_is) {
        *broken = !message_send_file(way->association, context->id, command, &excerpt->range, err);
        return !*broken;
    }
    uint64_t taken;
    if (!transcoding_take(instance, context->syntax, 0, &taken, err))
        return false;
    struct message_writer writer = message_writer_init(way->association, context->id, command);
    struct transcode_source source = { read_excerpt, excerpt, excerpt->size };
    struct transcode_sink sink = { write_fragment, &writer };
    bool ok = transcode_dataset(excerpt->header, buffer_slice(&excerpt->frames), context->syntax,
                                &source, &sink, err) &&
              message_end_data(&writer, err);
    *broken = !ok && writer.begun;
    message_writer_release(&writer);
    transcoding_give_back(instance, taken);
    return ok;
}

bool delivery_send(struct delivery_way *way, struct instance *instance, struct command *command,
                   bool *broken, struct error *err)
{
    bool as_is;
    const struct identity *identity = instance_identity(instance);
    const struct presentation_context *context = choose(way, instance, &as_is);
    *broken = false;
    if (!context)
        return error_set(err, ERROR_UNSUPPORTED,
                         "receiver takes neither SOP class nor transfer syntax");
    memcpy(command->sop_class, identity->sop_class, UID_SIZE);
    memcpy(command->sop_instance, way->excerpt ? way->excerpt->instance : identity->instance,
           UID_SIZE);
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    command_encode_store(command, &bytes);
    struct slice encoded = buffer_slice(&bytes);
    bool ok = way->excerpt ? send_excerpt(way, instance, context, as_is, encoded, broken, err)
              : as_is      ? send_stored(way, instance, context, encoded, broken, err)
                           : send_transcoded(way, instance, context, encoded, broken, err);
    buffer_release(&bytes);
    return ok;
}

enum delivery delivery_of_status(uint16_t status, struct error *failure)
{
    if (status == STATUS_SUCCESS)
        return DELIVERED;
    if (status_is_warning(status))
        return DELIVERED_WITH_WARNING;
    error_set(failure, ERROR_MISMATCH, "receiver answered with status %04X", status);
    return NOT_DELIVERED;
}
