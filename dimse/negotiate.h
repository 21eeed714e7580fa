/* SPDX-License-Identifier: MIT */
#pragma once
/* What an A-ASSOCIATE-RQ is answered with (PS3.8 9.3.3, PS3.7 D.3): pure functions of the request
 * and the policy. Immutable, thread-safe.
 *
 * Transfer syntaxes. Storage takes whatever is offered, private ones too, because the data set is
 * kept as it comes: of several in one presentation context the first in the requestor's order that
 * is neither Implicit VR Little Endian nor Explicit VR Big Endian, then Implicit, then Big Endian.
 * (The requestor's order is its own preference; implicit loses the VR of private attributes and big
 * endian is retired, so they are taken only when nothing else is offered.) Other services take
 * Explicit VR Little Endian before Implicit VR Little Endian and nothing else.
 *
 * Roles (54H) are answered for accepted SOP classes that proposed them, and grant no more than was
 * proposed; the SCP role is granted to storage classes. No asynchronous window (53H), no extended
 * negotiation (56H, 57H) and no user identity (58H) is granted: their items are not returned, which
 * means the default (PS3.7 D.3.3.3.1, D.3.3.5.1, D.3.3.7.2). */

#include "dicom/uid.h"
#include "dimse/pdu.h"

enum service {
    SERVICE_NONE,
    SERVICE_VERIFICATION,
    SERVICE_STORAGE,
    SERVICE_FIND,
    SERVICE_MOVE,
};

struct presentation_context {
    uint8_t id;
    uint8_t result; /* enum context_result */
    enum service service;
    char abstract_syntax[UID_SIZE]; /* "" when it was none */
    char transfer_syntax[UID_SIZE]; /* the one chosen; "" when refused */
    const struct transfer_syntax *syntax;
};

struct policy {
    const char *ae_title;
    bool accept_any_called_ae;
    const char *const *calling_ae_titles; /* NULL-terminated; NULL: anybody */
    bool refuse_unknown_sop_classes;
    uint32_t max_pdu; /* what we announce */
};

/* The service behind an abstract syntax. Unknown and private UIDs are taken for storage classes
 * unless refused: that is what they are in the field (PS3.4 B.4.1.2). */
enum service negotiate_service(const char *abstract_syntax, bool refuse_unknown);

/* What is wrong with the request itself; result 0 when nothing is. Limits are the listener's. */
struct rejection negotiate_check(const struct associate *request, const struct policy *policy);

/* One entry per proposed context, in the order proposed. */
void negotiate_contexts(const struct associate *request, const struct policy *policy,
                        struct presentation_context *contexts);

/* Appends the A-ASSOCIATE-AC. */
void negotiate_encode_accept(const struct associate *request, const struct policy *policy,
                             const struct presentation_context *contexts, struct buffer *pdu);
