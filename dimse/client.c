/* SPDX-License-Identifier: MIT */
#include "dimse/client.h"

#include <sys/stat.h>
#include <unistd.h>

#include "dimse/server.h"

enum { RELEASE_TIMEOUT_MS = 5000, MAX_PAUSE_MS = 5 * 60 * 1000 };

struct client_options client_options_of_peer(const struct dimse_options *options,
                                             const struct peer *peer, int stop_fd)
{
    return (struct client_options){
        .host = peer->host,
        .port = peer->port,
        .calling_ae = options->ae_title,
        .called_ae = peer->ae_title,
        .tls = peer->tls ? options->tls : NULL,
        .certificate = peer->certificate,
        .max_pdu = options->max_pdu,
        .connect_timeout_ms = options->connect_timeout_ms,
        .timeout_ms = options->message_timeout_ms,
        .stop_fd = stop_fd,
    };
}

int64_t client_pause_ms(const struct dimse_options *options, unsigned failures)
{
    int64_t pause_ms = options->forward_retry_ms;
    for (unsigned i = 0; i < failures && pause_ms < MAX_PAUSE_MS; i++)
        pause_ms *= 2;
    return pause_ms < MAX_PAUSE_MS ? pause_ms : MAX_PAUSE_MS;
}

bool client_open(const struct client_options *options, const struct proposal *proposals,
                 size_t count, struct association **out, struct error *err)
{
    const struct association_request request = {
        .host = options->host,
        .port = options->port,
        .called_ae = options->called_ae,
        .calling_ae = options->calling_ae,
        .proposals = proposals,
        .proposal_count = count,
        .connect_timeout_ms = options->connect_timeout_ms,
        .tls = options->tls,
        .certificate = options->certificate,
    };
    const struct association_settings settings = {
        .max_pdu = options->max_pdu,
        .idle_timeout_ms = options->timeout_ms,
        .message_timeout_ms = options->timeout_ms,
        .stop_fd = options->stop_fd,
        .kill_fd = options->stop_fd,
    };
    const struct presentation_context *context;
    if (!association_open(&request, &settings, out, err))
        return error_add_context(err, "%.100s port %u", options->host, options->port);
    for (size_t i = 0; (context = association_context_at(*out, i)); i++)
        if (context->result == CONTEXT_ACCEPTED)
            return true;
    client_close(*out);
    *out = NULL;
    return error_set(err, ERROR_UNSUPPORTED, "the peer accepted no presentation context");
}

void client_close(struct association *association)
{
    if (!association)
        return;
    if (!association_has_ended(association))
        association_release(association, RELEASE_TIMEOUT_MS);
    int fd = association_close(association);
    if (fd >= 0)
        close(fd);
}

const struct presentation_context *client_context(const struct association *association,
                                                  const char *sop_class,
                                                  const char *transfer_syntax, enum role role)
{
    const struct presentation_context *context;
    for (size_t i = 0; (context = association_context_at(association, i)); i++)
        if (context->result == CONTEXT_ACCEPTED && (context->roles & role) &&
            strcmp(context->abstract_syntax, sop_class) == 0 &&
            (!transfer_syntax || strcmp(context->transfer_syntax, transfer_syntax) == 0))
            return context;
    return NULL;
}

bool client_takes_class(const struct association *association, const char *sop_class)
{
    const struct presentation_context *context;
    for (size_t i = 0; (context = association_context_at(association, i)); i++)
        if (strcmp(context->abstract_syntax, sop_class) == 0 &&
            context->result != CONTEXT_NO_ABSTRACT_SYNTAX)
            return true;
    return false;
}

bool client_ask(struct association *association, const struct presentation_context *context,
                struct command *command, const struct slice *identifier, struct error *err)
{
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    memcpy(command->sop_class, context->abstract_syntax, UID_SIZE);
    command->has_data_set = identifier != NULL;
    command_encode_request(command, &bytes);
    bool ok = buffer_check(&bytes, "command", err) &&
              message_send(association, context->id, buffer_slice(&bytes), identifier, err);
    buffer_release(&bytes);
    return ok;
}

bool client_cancel(struct association *association, const struct presentation_context *context,
                   uint16_t message_id, struct error *err)
{
    struct command command = { .field = C_CANCEL_RQ, .responded_id = message_id };
    return client_ask(association, context, &command, NULL, err);
}

bool client_receive(struct association *association, struct message *message, struct error *err)
{
    bool released = false;
    if (!association_wait(association, err))
        return false;
    association_begin(association);
    if (!message_receive(association, message, &released, err))
        return false;
    if (!released)
        return true;
    association_confirm_release(association);
    return error_set(err, ERROR_CLOSED, "the peer released the association instead of an answer");
}

bool client_answer(struct association *association, uint16_t field, uint16_t message_id,
                   struct message *message, struct error *err)
{
    if (!client_receive(association, message, err))
        return false;
    if (message->command.field == (field | COMMAND_RESPONSE) &&
        message->command.responded_id == message_id)
        return true;
    return association_refuse(association, ABORT_NOT_SPECIFIED, "the peer answered another request",
                              err);
}

bool client_echo(struct association *association, uint16_t message_id, uint16_t *status,
                 struct error *err)
{
    struct command command = { .field = C_ECHO_RQ, .message_id = message_id };
    struct message answer;
    const struct presentation_context *context = client_context(association, UID_VERIFICATION, NULL,
                                                                ROLE_SCU);
    if (!context)
        return error_set(err, ERROR_UNSUPPORTED, "the peer does not take C-ECHO");
    if (!client_ask(association, context, &command, NULL, err) ||
        !client_answer(association, C_ECHO_RQ, message_id, &answer, err))
        return false;
    *status = answer.command.status;
    return message_drain(&answer, err);
}

/* The file must have all that is announced: behind the first byte there is no way back. */
static bool check_range(const struct file_range *range, struct error *err)
{
    struct stat status;
    if (fstat(range->fd, &status) == 0 && (uint64_t)status.st_size >= range->offset + range->size)
        return true;
    return error_set(err, ERROR_CORRUPT, "the file is shorter than it was");
}

bool client_store(struct association *association, const struct presentation_context *context,
                  const struct command *command, const struct file_range *data,
                  struct command *answer, struct error *err)
{
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    struct message message;
    command_encode_store(command, &bytes);
    bool ok = check_range(data, err) &&
              message_send_file(association, context->id, buffer_slice(&bytes), data, err) &&
              client_answer(association, C_STORE_RQ, command->message_id, &message, err) &&
              message_drain(&message, err);
    buffer_release(&bytes);
    if (ok)
        *answer = message.command;
    return ok;
}
