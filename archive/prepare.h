/* SPDX-License-Identifier: MIT */
#pragma once
/* All that is made of an instance from its bytes before the write turn, whoever brought them:
 * header, records, summaries, frame table. What is stored and what a rebuild finds in the segments
 * goes the same way. One thread at a time. */

#include "archive/content.h"
#include "archive/records.h"
#include "archive/tree.h"
#include "dicom/scan.h"

struct prepared {
    struct identity identity;
    struct dataset *header;
    /* The caller fills in transfer_syntax, source_ae, dataset_offset, stored_at_ms and blob. */
    struct instance_record record;
    struct summary study_summary;
    struct summary series_summary;
    bool has_summaries;
    struct buffer document;
    struct buffer frames;
    struct content content; /* the caller's; the offset tables are read from it */
    struct scan *scan;      /* of prepare_from_blob */
};

void prepared_init(struct prepared *prepared);
void prepared_release(struct prepared *prepared); /* not what the content borrows */

/* The scan has seen the whole data set, and outlives `prepared`. Fills header, document, and the
 * instance's part of the record; the UIDs, of which none may be missing. */
bool prepare_header(struct prepared *prepared, struct scan *scan, struct error *err);
bool prepare_identity(struct prepared *prepared, struct error *err);
bool prepare_frames(struct prepared *prepared, const struct scan *scan, struct error *err);
void prepare_record(struct prepared *prepared);
/* Those of study and series, which only the first instance of a series needs: who has them not
 * leaves it to the tree to make them. */
void prepare_summaries(struct prepared *prepared);

/* Is there an instance with its SOP Instance UID? *place is filled then. */
bool prepared_is_taken(const struct prepared *prepared, struct transaction *transaction,
                       struct identity *place, bool *taken, struct error *err);
/* The record of what stands at its own place, which is taken. */
bool prepared_rival(const struct prepared *prepared, struct transaction *transaction,
                    struct instance_record *rival, struct error *err);
/* Puts it into the tree of its study, in the place of `rival` unless that is NULL, of which `kept`
 * versions stay (0: all). */
bool prepared_replace(struct prepared *prepared, struct tree *tree,
                      const struct instance_record *rival, size_t kept, struct error *err);
bool prepared_add(struct prepared *prepared, struct tree *tree, struct error *err);

/* Reads the File Meta Information and all of the data set of a finished blob, and prepares it as
 * above, but for the summaries and the time of storing. The blob stays the caller's. ERROR_CORRUPT
 * when its bytes do not fit their checksum; `bytes` is for pieces, at least PREPARE_PIECE_SIZE. */
bool prepare_from_blob(struct prepared *prepared, struct blob *blob, const struct blob_id *id,
                       struct space bytes, struct error *err);
enum { PREPARE_PIECE_SIZE = 1 << 20 };
