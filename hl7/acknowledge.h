/* SPDX-License-Identifier: MIT */
#pragma once
/* Acknowledgements (HL7 v2.5.1 2.9): MSH, MSA and what was wrong by segment, field and code in ERR
 * segments, in the separators of the message that is answered and as its version writes them.
 * Pure. */

#include "base/buffer.h"
#include "hl7/message.h"

/* Table 0008. */
enum hl7_answer {
    HL7_APPLICATION_ACCEPT,
    HL7_APPLICATION_ERROR,
    HL7_APPLICATION_REJECT,
    HL7_COMMIT_ACCEPT,
    HL7_COMMIT_ERROR,
    HL7_COMMIT_REJECT,
    HL7_NO_ANSWER,
};
const char *hl7_answer_name(enum hl7_answer answer); /* "AA" ... */

/* What is answered: in the original mode one application acknowledgement, in the enhanced one
 * (MSH-15 or MSH-16 has a value) an accept acknowledgement, an application acknowledgement, both or
 * none (HL7 v2.5.1 2.9.2, 2.9.3, table 0155). */
struct hl7_answers {
    enum hl7_answer accept;      /* HL7_NO_ANSWER in the original mode */
    enum hl7_answer application; /* HL7_NO_ANSWER when there is none */
};
/* `fault` NULL: all is well. */
struct hl7_answers hl7_answers_of(const struct hl7_header *header, const struct hl7_fault *fault);

enum { HL7_MAX_FAULTS = 8, HL7_ANSWER_LIMIT = 64 << 10 };

/* Appends one acknowledgement, without its frame. `faults` may be notes on an accepted message
 * (severity W, or I). `control_id` is ours. Fields of the header are repeated as they came, cut at
 * 250 bytes. */
struct hl7_acknowledgement {
    enum hl7_answer answer;
    const struct hl7_fault *faults;
    size_t fault_count;
    const char *control_id;
    int64_t now_ms; /* since 1970 */
};
void hl7_acknowledge(const struct hl7_header *header, const struct hl7_acknowledgement *what,
                     struct buffer *out);
