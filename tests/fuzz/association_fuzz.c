/* SPDX-License-Identifier: MIT */
/* What a peer may send on an accepted association: the input goes through a socket into the state
 * machine and the message layer, until the association ends. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "dimse/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_INPUT = 60000 }; /* fits into the socket's buffer */

static struct association *accept_on(int fd)
{
    static const struct policy policy = { .ae_title = "HOUNSFIELD", .max_pdu = 65536 };
    static const struct association_settings settings = { 65536, 50, 50, -1, -1 };
    struct associate *request = mem_alloc(sizeof(*request));
    struct buffer syntaxes = buffer_up_to(1000);
    struct buffer pdu = buffer_up_to(10000);
    struct error err;
    pdu_append_syntax(&syntaxes, slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    request->protocol_version = 1;
    request->application_context = slice_text(UID_APPLICATION_CONTEXT);
    request->context_count = 2;
    for (size_t i = 0; i < 2; i++) {
        request->contexts[i].id = (uint8_t)(2 * i + 1);
        request->contexts[i].abstract_syntax = slice_text(UID_VERIFICATION);
        request->contexts[i].syntaxes = buffer_slice(&syntaxes);
    }
    associate_encode(request, PDU_ASSOCIATE_RQ, &pdu);
    struct transport transport = { .fd = fd, .kill_fd = -1 };
    struct association *association = association_accept_take(
        &transport, slice_skip(buffer_slice(&pdu), PDU_HEADER_SIZE), &policy, &settings, &err);
    buffer_release(&pdu);
    buffer_release(&syntaxes);
    free(request);
    return association;
}

static void serve(struct association *association)
{
    struct message message;
    struct error err;
    bool released = false;
    while (association_wait(association, &err) &&
           message_receive(association, &message, &released, &err)) {
        struct buffer bytes = buffer_up_to(1000);
        if (released) {
            association_confirm_release(association);
            break;
        }
        bool ok = message_read_all(&message, &bytes, &err);
        buffer_release(&bytes);
        if (!ok)
            break;
    }
    if (!association_has_ended(association))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fds[2];
    if (size > MAX_INPUT || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return 0;
    struct association *association = accept_on(fds[0]);
    if (!association || send(fds[1], data, size, MSG_NOSIGNAL) != (ssize_t)size)
        abort();
    shutdown(fds[1], SHUT_WR);
    serve(association);
    int fd = association_close(association);
    if (fd >= 0)
        close(fd);
    close(fds[1]);
    return 0;
}
