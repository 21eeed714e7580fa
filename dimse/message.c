/* SPDX-License-Identifier: MIT */
#include "dimse/message.h"

enum {
    DRAIN_SIZE = 16 << 10,
    BATCH_PARTS = 32,            /* iovecs of one call */
    WRITER_FRAGMENT = 256 << 10, /* largest fragment that a writer gathers */
};

static bool receive_fragment(struct association *association, struct buffer *bytes,
                             struct error *err)
{
    size_t size = association_pdv_left(association);
    if (bytes->size + size > bytes->limit)
        return association_refuse(association, ABORT_INVALID_PARAMETER,
                                  "the command set is too long", err);
    struct space space = { NULL, 0 };
    if (size)
        space = buffer_reserve(bytes, size);
    while (space.size) {
        size_t received;
        if (!association_receive(association, space, &received, err))
            return false;
        buffer_advance(bytes, received);
        space.data += received;
        space.size -= received;
    }
    return true;
}

/* Gathers the fragments of a command, which all go over one presentation context (PS3.8 E.2). */
static bool receive_command(struct association *association, struct buffer *bytes,
                            uint8_t *context_id, bool *released, struct error *err)
{
    struct pdv pdv;
    bool begun = false;
    do {
        if (!association_next(association, &pdv, err))
            return false;
        *released = pdv.released;
        if (pdv.released)
            return true;
        if (!pdv.is_command || (begun && pdv.context_id != *context_id))
            return association_refuse(association, ABORT_INVALID_PARAMETER,
                                      "a fragment that is not of the command", err);
        begun = true;
        *context_id = pdv.context_id;
        if (!receive_fragment(association, bytes, err))
            return false;
    } while (!pdv.is_last);
    return true;
}

bool message_receive(struct association *association, struct message *message, bool *released,
                     struct error *err)
{
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    uint8_t context_id = 0;
    memset(message, 0, sizeof(*message));
    message->association = association;
    bool ok = receive_command(association, &bytes, &context_id, released, err);
    if (ok && !*released) {
        message->context = association_context(association, context_id);
        ok = command_decode(buffer_slice(&bytes), &message->command, err);
        if (!ok)
            association_abort(association, ABORT_BY_PROVIDER, ABORT_INVALID_PARAMETER);
    }
    message->data_ended = !message->command.has_data_set;
    buffer_release(&bytes);
    return ok;
}

bool message_available(struct message *message, size_t *available, struct error *err)
{
    struct association *association = message->association;
    struct pdv pdv;
    if (message->is_held) {
        *available = message->held.size - message->taken;
        return true;
    }
    while (!message->data_ended) {
        *available = association_pdv_left(association);
        if (*available)
            return true;
        if (message->in_last) {
            message->data_ended = true;
            break;
        }
        if (!association_next(association, &pdv, err))
            return false;
        if (pdv.released) {
            association_confirm_release(association);
            return error_set(err, ERROR_CLOSED, "released within a message");
        }
        if (pdv.is_command || pdv.context_id != message->context->id)
            return association_refuse(association, ABORT_INVALID_PARAMETER,
                                      "a fragment that is not of the data set", err);
        message->in_last = pdv.is_last;
    }
    *available = 0;
    return true;
}

static size_t take_held(struct message *message, struct space space)
{
    size_t left = message->held.size - message->taken;
    size_t size = left < space.size ? left : space.size;
    if (size)
        memcpy(space.data, message->held.data + message->taken, size);
    message->taken += size;
    return size;
}

bool message_read(struct message *message, struct space space, size_t *received, struct error *err)
{
    if (message->is_held) {
        *received = take_held(message, space);
        return true;
    }
    return association_receive(message->association, space, received, err);
}

bool message_drain(struct message *message, struct error *err)
{
    uint8_t scratch[DRAIN_SIZE];
    for (size_t available, received;;) {
        if (!message_available(message, &available, err))
            return false;
        if (!available)
            return true;
        if (!message_read(message, (struct space){ scratch, sizeof(scratch) }, &received, err))
            return false;
    }
}

bool message_read_all(struct message *message, struct buffer *bytes, struct error *err)
{
    for (size_t available, received;;) {
        if (!message_available(message, &available, err))
            return false;
        if (!available)
            return true;
        struct space space = buffer_reserve(bytes, available);
        if (!space.data)
            return message_drain(message, err);
        if (!message_read(message, space, &received, err))
            return false;
        buffer_advance(bytes, received);
    }
}

bool message_hold(struct message *message, size_t limit, bool *fits, struct error *err)
{
    struct buffer bytes = buffer_up_to(limit);
    bool ok = message_read_all(message, &bytes, err);
    *fits = ok && !bytes.overflowed;
    message->is_held = *fits;
    message->held = bytes;
    if (!*fits)
        buffer_release(&message->held);
    return ok;
}

void message_release(struct message *message)
{
    buffer_release(&message->held);
    message->taken = 0;
}

/* PDUs on their way out: headers and payloads in turn, sent some at a time. */
struct batch {
    struct association *association;
    int count;
    struct iovec parts[BATCH_PARTS];
    uint8_t headers[BATCH_PARTS / 2][PDU_DATA_HEADER_SIZE];
};

static bool batch_flush(struct batch *batch, bool more, struct error *err)
{
    int count = batch->count;
    batch->count = 0;
    return count == 0 || association_send(batch->association, batch->parts, count, more, err);
}

static bool batch_add(struct batch *batch, uint8_t context_id, uint8_t control, struct slice bytes,
                      struct error *err)
{
    if (batch->count == BATCH_PARTS && !batch_flush(batch, true, err))
        return false;
    uint8_t *header = batch->headers[batch->count / 2];
    data_header_encode(context_id, control, (uint32_t)bytes.size, header);
    batch->parts[batch->count++] = (struct iovec){ header, PDU_DATA_HEADER_SIZE };
    batch->parts[batch->count++] = (struct iovec){ (void *)(uintptr_t)bytes.data, bytes.size };
    return true;
}

/* Cuts bytes into fragments of the peer's size; at least one, be it empty. */
static bool batch_add_all(struct batch *batch, uint8_t context_id, uint8_t control,
                          struct slice bytes, struct error *err)
{
    size_t limit = association_max_fragment(batch->association);
    do {
        struct slice fragment = slice_take(bytes, limit);
        bytes = slice_skip(bytes, fragment.size);
        uint8_t flags = control | (bytes.size ? 0 : PDV_LAST);
        if (!batch_add(batch, context_id, flags, fragment, err))
            return false;
    } while (bytes.size);
    return true;
}

bool message_send(struct association *association, uint8_t context_id, struct slice command,
                  const struct slice *data, struct error *err)
{
    struct batch batch = { .association = association };
    return batch_add_all(&batch, context_id, PDV_COMMAND, command, err) &&
           (!data || batch_add_all(&batch, context_id, 0, *data, err)) &&
           batch_flush(&batch, false, err);
}

bool message_send_file(struct association *association, uint8_t context_id, struct slice command,
                       const struct file_range *data, struct error *err)
{
    struct batch batch = { .association = association };
    struct file_range rest = *data;
    uint64_t limit = association_max_fragment(association);
    if (!batch_add_all(&batch, context_id, PDV_COMMAND, command, err))
        return false;
    do {
        struct file_range fragment = rest;
        fragment.size = rest.size < limit ? rest.size : limit;
        rest.offset += fragment.size;
        rest.size -= fragment.size;
        uint8_t header[PDU_DATA_HEADER_SIZE];
        data_header_encode(context_id, rest.size ? 0 : PDV_LAST, (uint32_t)fragment.size, header);
        if (batch.count == BATCH_PARTS && !batch_flush(&batch, true, err))
            return false;
        batch.parts[batch.count++] = (struct iovec){ header, sizeof(header) };
        if (!batch_flush(&batch, fragment.size > 0, err) ||
            !association_send_file(association, &fragment, err))
            return false;
    } while (rest.size);
    return true;
}

struct message_writer message_writer_init(struct association *association, uint8_t context_id,
                                          struct slice command)
{
    size_t limit = association_max_fragment(association);
    return (struct message_writer){
        .association = association,
        .context_id = context_id,
        .command = command,
        .fragment = buffer_up_to(limit < WRITER_FRAGMENT ? limit : WRITER_FRAGMENT),
    };
}

static bool send_fragment(struct message_writer *writer, bool is_last, struct error *err)
{
    struct batch batch = { .association = writer->association };
    bool is_first = !writer->begun;
    writer->begun = true;
    bool ok = (!is_first ||
               batch_add_all(&batch, writer->context_id, PDV_COMMAND, writer->command, err)) &&
              batch_add(&batch, writer->context_id, is_last ? PDV_LAST : 0,
                        buffer_slice(&writer->fragment), err) &&
              batch_flush(&batch, !is_last, err);
    buffer_clear(&writer->fragment);
    return ok;
}

bool message_write(struct message_writer *writer, struct slice bytes, struct error *err)
{
    while (bytes.size) {
        size_t room = writer->fragment.limit - writer->fragment.size;
        if (!room && !send_fragment(writer, false, err))
            return false;
        struct slice part = slice_take(bytes, room);
        buffer_append(&writer->fragment, part);
        bytes = slice_skip(bytes, part.size);
    }
    return true;
}

bool message_end_data(struct message_writer *writer, struct error *err)
{
    return send_fragment(writer, true, err);
}

void message_writer_release(struct message_writer *writer)
{
    buffer_release(&writer->fragment);
}

bool message_respond_with(const struct message *request, const struct status *status,
                          const struct slice *data, struct error *err)
{
    struct buffer command = buffer_up_to(COMMAND_LIMIT);
    command_encode_response(&request->command, status, NULL, false, data != NULL, &command);
    bool ok = message_send(request->association, request->context->id, buffer_slice(&command), data,
                           err);
    buffer_release(&command);
    return ok;
}

bool message_respond(const struct message *request, const struct status *status, struct error *err)
{
    return message_respond_with(request, status, NULL, err);
}
