/* SPDX-License-Identifier: MIT */
#pragma once
/* The data set of a DIMSE-N request (attribute list, modification list, action or event
 * information): received into bounded memory and scanned, so that everything may read it. One
 * thread at a time. */

#include "dicom/dataset.h"
#include "dimse/message.h"

struct attributes {
    struct scan *scan; /* holds the bytes that the data set reads */
    struct dataset *dataset;
};

/* Receives the data set to its end. False either with *refusal (the request is to be answered with
 * it) or, when the association has ended, with err. ERROR_LIMIT above `limit` bytes. */
bool attributes_receive(struct message *request, size_t limit, struct attributes *attributes,
                        struct error *refusal, struct error *err);
void attributes_release(struct attributes *attributes);
