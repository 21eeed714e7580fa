/* SPDX-License-Identifier: MIT */
#pragma once
/* Modality performed procedure steps (PS3.4 annex F): what a modality says that it does and did.
 * The key of OBJECT_PERFORMED is the SOP Instance UID, its state enum performed_state. What is said
 * of a step that was scheduled moves that step, in the same transaction. Thread-safe. */

#include "worklist/objects.h"

enum performed_state {
    PERFORMED_NONE,
    PERFORMED_IN_PROGRESS,
    PERFORMED_COMPLETED,
    PERFORMED_DISCONTINUED,
    PERFORMED_GONE, /* it was deleted: that is all that is known of it any more */
};
/* (0040,0252): "IN PROGRESS" ...; "" for the others. */
const char *performed_state_text(enum performed_state state);
bool performed_state_find(struct slice text, enum performed_state *state);

/* Links of a performed step. */
enum performed_link {
    PERFORMED_OF_STEP = 'w',      /* keys of the scheduled steps that it is of */
    PERFORMED_BY_STUDY = 'u',     /* Study Instance UIDs of (0040,0270) */
    PERFORMED_BY_ACCESSION = 'a', /* accession numbers likewise */
};

/* Statuses of PS3.7 annex C and PS3.4 F.7.2. */
enum performed_code {
    PERFORMED_OK = 0x0000,
    PERFORMED_NO_SUCH_ATTRIBUTE = 0x0105,
    PERFORMED_INVALID_VALUE = 0x0106,
    PERFORMED_FAILURE = 0x0110,
    PERFORMED_DUPLICATE = 0x0111,
    PERFORMED_UNKNOWN = 0x0112,
    PERFORMED_ATTRIBUTE_MISSING = 0x0120,
    PERFORMED_VALUE_MISSING = 0x0121,
    PERFORMED_FINAL = 0xA710, /* the Error ID of 0110: it may no longer be updated */
};

enum { PERFORMED_TAGS = 16 };
struct performed_outcome {
    uint16_t code;                 /* enum performed_code */
    uint16_t error_id;             /* (0000,0903), 0: none */
    const char *why;               /* for people; "" */
    uint32_t tags[PERFORMED_TAGS]; /* the attributes that it is about */
    size_t tag_count;
    char uid[UID_SIZE]; /* of the performed step */
    size_t steps;       /* scheduled ones that it is of */
};

/* Both return false only when the worklist failed (the disk ...): what is wrong with a request is
 * a code, and then nothing was changed. Data sets are scanned ones of any syntax and character set.
 * What succeeded is durable. */

/* N-CREATE (PS3.4 F.7.2.1): `uid` "" for one of ours. Attributes of type 2 that are missing are
 * added empty: modalities forget them. */
bool performed_create(struct worklist *worklist, const struct dataset *dataset, const char *uid,
                      struct performed_outcome *outcome, struct error *err);

/* N-SET (PS3.4 F.7.2.2). A sequence takes the place of the whole sequence that was there. */
bool performed_set(struct worklist *worklist, const char *uid, const struct dataset *changes,
                   struct performed_outcome *outcome, struct error *err);

/* What N-GET reads (PS3.4 F.8.2). *state tells whether there is none, or one no more
 * (PERFORMED_GONE): then the object has nothing to tell. */
bool performed_get(struct worklist *worklist, const char *uid, struct object *performed,
                   enum performed_state *state, struct error *err);
