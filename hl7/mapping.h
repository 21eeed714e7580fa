/* SPDX-License-Identifier: MIT */
#pragma once
/* Which field becomes which attribute: the table of mapping.c, over it the site's own rules. A
 * field that a message does not have leaves the attribute out, one that says `""` makes it empty.
 * Immutable, thread-safe. */

#include "hl7/draft.h"
#include "hl7/message.h"
#include "hl7/server.h"

enum { HL7_MAX_RULES = 256 };

struct hl7_mapping;

/* ERROR_INVALID for a rule whose field or attribute is none. */
bool hl7_mapping_new(const struct hl7_options *options, struct hl7_mapping **out,
                     struct error *err);
void hl7_mapping_free(struct hl7_mapping *mapping);

/* What an attribute is about; rows are applied by it. */
enum hl7_level {
    HL7_LEVEL_PATIENT = 1,
    HL7_LEVEL_VISIT = 2,
    HL7_LEVEL_ORDER = 4, /* imaging service request and requested procedure */
    HL7_LEVEL_STEP = 8,  /* in the item of Scheduled Procedure Step Sequence */
};

/* The segments that are looked at: those of one order among a message's, else any. */
struct hl7_scope {
    const struct hl7_message *message;
    size_t begin; /* segments [begin, end) belong to the order; 0, 0: there is none */
    size_t end;
    const struct hl7_segment *orc; /* that of the order, when it stands before `begin` */
    const struct hl7_segment *ipc; /* that of the step; NULL: the first one of the order */
};
const struct hl7_segment *hl7_scope_find(const struct hl7_scope *scope, const char *name);

/* Notes on what was not taken as it came, or reached nothing: severity W or I of an
 * acknowledgement. */
struct hl7_notes {
    struct hl7_fault items[8];
    size_t count; /* those above the limit are left out */
};
void hl7_note(struct hl7_notes *notes, const struct hl7_fault *note);

/* Sets what the rows of the levels give (a mask of enum hl7_level). False with a fault when a value
 * that identifies something, or a time that the list is ordered by, cannot be said in DICOM. */
bool hl7_mapping_apply(const struct hl7_mapping *mapping, const struct hl7_scope *scope,
                       unsigned levels, struct draft *draft, struct hl7_notes *notes,
                       struct hl7_fault *fault);

/* The table as rows of Markdown: for docs/hl7.md, which is checked against it. */
void hl7_mapping_describe(struct buffer *text);
