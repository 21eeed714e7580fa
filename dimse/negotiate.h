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
 * proposed; the SCP role is granted to storage classes (C-GET) and to Storage Commitment.
 * SOP class extended negotiation (56H) is answered for the services that know it, at most as long
 * as it was proposed, with the bits that we serve (extended_served in negotiate.c). Common extended
 * negotiation (57H) tells of which service an unknown SOP class is and is never returned (PS3.7
 * D.3.3.6). The asynchronous window (53H) grants what is proposed, up to the policy's number, and
 * nothing the other way: we perform in order, and ask one thing at a time. A user identity (58H) is
 * answered when an answer is asked for and identities are looked at (dimse/admission.h). */

#include "dicom/uid.h"
#include "dimse/pdu.h"

enum service {
    SERVICE_NONE,
    SERVICE_VERIFICATION,
    SERVICE_STORAGE,
    SERVICE_FIND,
    SERVICE_MOVE,
    SERVICE_COMMITMENT,
    SERVICE_GET,
    SERVICE_AVAILABILITY, /* instance availability notification */
    SERVICE_WORKLIST,     /* modality worklist */
    SERVICE_MPPS,
    SERVICE_MPPS_RETRIEVE,
    SERVICE_MPPS_NOTIFICATION,
    SERVICE_UPS_PUSH,
    SERVICE_UPS_WATCH,
    SERVICE_UPS_PULL,
    SERVICE_UPS_EVENT,
    SERVICE_UPS_QUERY,
};

/* What the requestor of the association may do with a SOP class (PS3.7 D.3.3.4). */
enum role { ROLE_DEFAULT = 0, ROLE_SCU = 1, ROLE_SCP = 2 };

/* Bytes of the service class application information that were agreed (PS3.4 B.3.1, C.5.1.1). */
enum { EXTENDED_SIZE = 7 };
enum extended_query { /* C-FIND, C-MOVE, C-GET: bytes that are 1 when agreed */
                      EXTENDED_RELATIONAL = 0,
                      EXTENDED_DATE_TIME = 1,
                      EXTENDED_FUZZY = 2,
                      EXTENDED_TIMEZONE = 3,
                      EXTENDED_MULTIFRAME = 4,
                      EXTENDED_EMPTY_VALUE = 5,
                      EXTENDED_MULTIPLE_VALUES = 6,
};

/* Of the unified procedure step: one instance has several SOP classes (PS3.4 CC.3.1.1). */
static inline bool service_is_ups(enum service service)
{
    return service >= SERVICE_UPS_PUSH && service <= SERVICE_UPS_QUERY;
}

struct presentation_context {
    uint8_t id;
    uint8_t result; /* enum context_result */
    uint8_t roles;  /* of the requestor: ROLE_SCU, ROLE_SCP; ROLE_SCU unless negotiated */
    enum service service;
    uint8_t extended[EXTENDED_SIZE]; /* 0 where nothing was agreed */
    char abstract_syntax[UID_SIZE];  /* "" when it was none */
    char transfer_syntax[UID_SIZE];  /* the one chosen; "" when refused */
    const struct transfer_syntax *syntax;
};

struct policy {
    const char *ae_title;
    bool accept_any_called_ae;
    bool refuse_unknown_sop_classes;
    const char *const *refused_sop_classes; /* NULL-terminated; NULL: none */
    uint32_t max_pdu;                       /* what we announce */
    uint16_t operations;                    /* that a requestor may have outstanding */
    const struct archive *archive;          /* whose rules may coerce; NULL: none does */
    bool has_worklist;                      /* its services are accepted */
    bool knows_users; /* identities that come as far as this were found right */
};

/* The service behind an abstract syntax. Unknown and private UIDs are taken for storage classes
 * unless refused: that is what they are in the field (PS3.4 B.4.1.2). */
enum service negotiate_service(const char *abstract_syntax, bool refuse_unknown);

/* What is wrong with the request itself; result 0 when nothing is. Who may call is a question for
 * dimse/admission.h. */
struct rejection negotiate_check(const struct associate *request, const struct policy *policy);

/* One entry per proposed context, in the order proposed. */
void negotiate_contexts(const struct associate *request, const struct policy *policy,
                        struct presentation_context *contexts);

/* How many operations the requestor may have outstanding; 1 when it proposed no window. */
uint16_t negotiate_operations(const struct associate *request, const struct policy *policy);

/* Appends the A-ASSOCIATE-AC. */
void negotiate_encode_accept(const struct associate *request, const struct policy *policy,
                             const struct presentation_context *contexts, struct buffer *pdu);
