/* SPDX-License-Identifier: MIT */
#include "dimse/service.h"

bool c_echo(struct session *session, struct message *request, struct error *err)
{
    (void)session;
    struct status status = status_make(STATUS_SUCCESS, "");
    return message_drain(request, err) && message_respond(request, &status, err);
}
