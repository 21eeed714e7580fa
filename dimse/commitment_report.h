/* SPDX-License-Identifier: MIT */
#pragma once
/* What is reported of the references of a storage commitment transaction (PS3.4 J.3.3). One thread
 * at a time. */

#include "archive/commitment_check.h"
#include "dimse/association.h"

struct commitment_report {
    char transaction[UID_SIZE];
    char retrieve_ae[AE_TITLE_SIZE];
    struct commitment_result result;
};
void commitment_report_free(struct commitment_report *report);

/* Sends an N-EVENT-REPORT-RQ; the answer is the caller's to receive. */
bool commitment_report_send(const struct commitment_report *report, struct association *association,
                            uint8_t context_id, uint16_t message_id, struct error *err);
