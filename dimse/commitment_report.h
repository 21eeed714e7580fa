/* SPDX-License-Identifier: MIT */
#pragma once
/* The references of a storage commitment transaction, and what is reported of them (PS3.4 J.3.2,
 * J.3.3). A list of references is text, so that it can be kept: a line "=UID" is the SOP class of
 * the instances in the lines behind it. One thread at a time. */

#include "dimse/association.h"

struct reference {
    char sop_class[UID_SIZE];
    char sop_instance[UID_SIZE];
};

/* Appends the list: in order of class and instance, each once. The references are put in order. */
void references_write(struct reference *references, size_t count, struct buffer *text);
/* Takes the next one off the front of the text; `reference` must be zeroed before the first, and
 * keeps the class between calls. False at the end. */
bool references_next(struct slice *text, struct reference *reference);

struct commitment_report {
    char transaction[UID_SIZE];
    char retrieve_ae[AE_TITLE_SIZE];
    struct buffer references;
    uint16_t *reasons; /* by reference: 0 committed, else Failure Reason (0008,1197) */
    size_t count;
    size_t failed;
};
void commitment_report_free(struct commitment_report *report);

/* Sends an N-EVENT-REPORT-RQ; the answer is the caller's to receive. */
bool commitment_report_send(const struct commitment_report *report, struct association *association,
                            uint8_t context_id, uint16_t message_id, struct error *err);
