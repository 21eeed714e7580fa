/* SPDX-License-Identifier: MIT */
#pragma once
/* One message from its bytes to its acknowledgements: read, checked, understood (hl7/plan.h), made
 * durable (hl7/perform.h), answered. Thread-safe but for the receiver. */

#include "hl7/acknowledge.h"
#include "hl7/configuration.h"

struct archive;
struct worklist;

/* What messages are done to. */
struct hl7_receiver {
    struct archive *archive;
    struct worklist *worklist;
};

struct hl7_delivery {
    struct slice bytes;
    const char *damage; /* why they are not a whole message; NULL: they are */
    const struct address *address;
    const char *peer; /* for logs */
    const struct tls *tls;
};

enum hl7_received {
    HL7_RECEIVED,
    HL7_REFUSED,    /* and told so */
    HL7_UNREADABLE, /* there is nothing that could be answered */
    HL7_IGNORED,    /* an acknowledgement: it is not acknowledged */
};

/* Appends the framed answers to `out`. */
enum hl7_received hl7_receive(struct hl7_receiver *receiver,
                              const struct hl7_configuration *configuration,
                              const struct hl7_delivery *delivery, struct buffer *out);

/* What MSH must have before anything else is looked at (HL7 v2.5.1 2.14.9): type, control ID,
 * processing ID, version. */
bool hl7_check_header(const struct hl7_configuration *configuration,
                      const struct hl7_message *message, struct hl7_fault *fault);

/* What would become of a message, without doing it: as far as the message and the settings say. */
struct hl7_plan;
struct hl7_type;
struct hl7_rehearsal {
    struct hl7_message message;
    const struct hl7_type *type; /* NULL: none that is known */
    struct hl7_plan *plan;       /* NULL: it would be refused */
    struct hl7_fault fault;      /* why */
    struct buffer answers;       /* the acknowledgements, without frames; empty: none */
};
/* False: it would be refused. Release it in any case. */
bool hl7_rehearse(const struct hl7_configuration *configuration, struct slice bytes,
                  struct hl7_rehearsal *rehearsal);
void hl7_rehearsal_release(struct hl7_rehearsal *rehearsal);
