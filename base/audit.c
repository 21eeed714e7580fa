/* SPDX-License-Identifier: MIT */
#include "base/audit.h"

#include <stddef.h>
#include <stdio.h>

#include "base/log.h"

static const char *text_of(const char *text, const char *nothing)
{
    return text && *text ? text : nothing;
}

void audit_note(enum audit_event event, enum audit_type type, enum audit_outcome outcome,
                const struct audit_peer *peer, const char *cause)
{
    char type_text[12] = "-";
    if (type != AUDIT_NO_TYPE)
        snprintf(type_text, sizeof(type_text), "%d", (int)type);
    log_audit("audit: event=%d type=%s outcome=%d ae=\"%s\" user=\"%s\" address=%s cause=\"%s\"",
              (int)event, type_text, (int)outcome, text_of(peer->ae_title, ""),
              text_of(peer->user, ""), text_of(peer->address, "-"), cause);
}
