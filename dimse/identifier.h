/* SPDX-License-Identifier: MIT */
#pragma once
/* The identifier of C-FIND, C-MOVE and C-GET (PS3.4 C.4.1.1.3, C.4.2.1.4): received into bounded
 * memory, scanned, and checked against its information model. One thread at a time. */

#include "archive/archive.h"
#include "dicom/dataset.h"
#include "dimse/message.h"

struct identifier {
    enum level first;   /* of the model */
    enum level level;   /* asked for */
    bool of_frames;     /* some frames of the one instance (PS3.4 Y.3.2) */
    bool is_relational; /* agreed: unique keys above may be missing (PS3.4 C.4.1.2.2) */
    struct dataset *dataset;
    struct scan *scan; /* holds the bytes that the data set reads */
};

/* Receives the data set to its end. False either with *refusal (the request is to be answered with
 * it) or, when the association has ended, with err. */
bool identifier_receive(struct message *request, struct identifier *identifier,
                        struct error *refusal, struct error *err);
/* The same of an information model without levels: the data set alone. */
bool identifier_receive_keys(struct message *request, struct identifier *identifier,
                             struct error *refusal, struct error *err);
void identifier_release(struct identifier *identifier);

/* Appends the unique key of a level; false when it is absent or empty. */
bool identifier_unique_key(const struct identifier *identifier, enum level level,
                           struct buffer *text);

uint32_t identifier_unique_tag(enum level level);
/* "PATIENT" ... as Query/Retrieve Level has it. */
const char *identifier_level_name(enum level level);
