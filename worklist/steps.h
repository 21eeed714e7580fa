/* SPDX-License-Identifier: MIT */
#pragma once
/* Orders and what they ask for: an order (imaging service request) has requested procedures, each
 * of these scheduled procedure steps, and what is kept is the step (OBJECT_STEP): the data set of
 * one entry of the Modality Worklist (PS3.4 K.6.1.2.2), patient, visit, order and procedure at the
 * top, exactly one item in (0040,0100). Who tells of an order (HL7, REST, FHIR) builds such data
 * sets and applies them; what is missing is completed here: Study Instance UID, ids, start, so that
 * the attributes of type 1 are always filled.
 *
 * One order is known by its placer order number, filler order number, accession number or Study
 * Instance UID, whichever is told first: so what two sources tell of it becomes one. A message that
 * is older than what was told last changes nothing.
 *
 * Thread-safe. */

#include "worklist/objects.h"

/* (0040,0020), and what object.state of a step is. The first three are the list (OBJECT_LIVE); the
 * rest can be asked for by (0040,0020) (OBJECT_DONE). */
enum step_state {
    STEP_SCHEDULED = 1,
    STEP_ARRIVED,
    STEP_READY,
    STEP_STARTED, /* from here on, an order cannot remove it */
    STEP_DEPARTED,
    STEP_COMPLETED,
    STEP_DISCONTINUED, /* by its performer */
    STEP_CANCELLED,    /* by its order */
};
const char *step_state_text(enum step_state state); /* "SCHEDULED" ..., CS */
bool step_state_find(struct slice text, enum step_state *state);

/* What the links of a step are (object_link): walks by them find the steps of an order. */
enum step_link {
    STEP_BY_PLACER = 'p',        /* placer order number, as it was given */
    STEP_BY_FILLER = 'f',        /* filler order number */
    STEP_BY_ACCESSION = 'a',     /* (0008,0050) */
    STEP_BY_STUDY = 'u',         /* (0020,000D) */
    STEP_BY_ID = 'w',            /* (0040,0009) */
    STEP_BY_PATIENT = 'i',       /* patient_key_make of who it is of now, see patients.h */
    STEP_BY_FIRST_PATIENT = 'o', /* and of who it was told of */
    STEP_BY_PERFORMED = 'm',     /* SOP Instance UIDs of the performed steps of it */
    STEP_BY_SOURCE = 's',        /* who told of it first */
};

enum step_control {
    STEP_NEW,         /* or, of an order that is known, what STEP_CHANGE does (HL7 NW, SN) */
    STEP_CHANGE,      /* XO, XX, RP; ERROR_NOT_FOUND when the order is not known */
    STEP_STATUS,      /* SC: the steps not started yet take `status` */
    STEP_CANCEL,      /* CA, OC: they are CANCELLED */
    STEP_DISCONTINUE, /* DC: so too, and those that are STARTED become DISCONTINUED */
};

struct step_order {
    enum step_control control;
    const char *placer; /* placer order number, with its assigner as the source writes it: any text;
                           NULL or "": none. 200 bytes at most, as all of these */
    const char *filler;
    const char *source;     /* "hl7", "rest", "fhir" ... */
    int64_t message_us;     /* Unix time in µs of the message; 0: now */
    enum step_state status; /* of STEP_STATUS: up to STEP_COMPLETED */
    /* Entries as described above; of any transfer syntax and character set, scanned. Those that
     * carry a Scheduled Procedure Step ID (0040,0009) are that step of the order, others the first
     * that no entry of the message names, in order. An attribute that an entry does not have stays
     * as it was told before; one that it has with no value becomes empty. When all entries of a
     * message have ids, steps of the same requested procedure that it does not name, and that were
     * not started, are cancelled. May be none for STATUS, CANCEL and DISCONTINUE: then all steps of
     * the order are meant. */
    const struct dataset *const *steps;
    size_t step_count;
    bool is_part; /* the entries are not all of the order: no step is cancelled for not being named
                   */
};

enum step_result {
    STEPS_CREATED,   /* the order was not known */
    STEPS_UPDATED,   /* or cancelled, or have another status */
    STEPS_UNCHANGED, /* the same was told before */
    STEPS_STALE,     /* something newer was told before: nothing was changed */
};
struct step_outcome {
    enum step_result result;
    size_t created;
    size_t updated;
    size_t cancelled;
    size_t kept;               /* started or over, and so left as they are */
    char study_uid[UID_SIZE];  /* of the first step, made or told; "" when there is none */
    char key[OBJECT_KEY_SIZE]; /* of the first step */
};

enum { STEPS_MAX = 256 /* of one order */ };

/* All or nothing, and durable. `order_error`:
 * ERROR_INVALID, with the tag: a data set that cannot become an entry (no patient, not one item in
 *     (0040,0100), a value that is none of its VR) or no number by which the order can be known;
 * ERROR_NOT_FOUND: no such order, of STEP_CHANGE, STATUS, CANCEL, DISCONTINUE;
 * ERROR_CONFLICT: it is known, and none of its steps can be cancelled any more;
 * ERROR_MISMATCH: its numbers are those of different orders, or its patient is another one's than
 *     that of the order (a change of patient goes by patients.h). */
bool steps_apply(struct worklist *worklist, const struct step_order *order,
                 struct step_outcome *outcome, struct error *err);
/* What steps_apply would do and make, without doing it: the steps as they would stand, for an
 * explanation. `out` are the step objects' data sets one after the other, each with its 32-bit size
 * (little endian) before it. */
bool steps_explain(struct worklist *worklist, const struct step_order *order,
                   struct step_outcome *outcome, struct buffer *out, struct error *err);

/* Attributes of one step by its key, as a message of now: PUT /worklist/{key}. What `changes` does
 * not name stays; it needs no (0040,0100), and no patient. (0040,0020) may be SCHEDULED, ARRIVED or
 * READY. ERROR_NOT_FOUND when there is no such step, ERROR_CONFLICT when it was started. */
bool steps_edit(struct worklist *worklist, const char *key, const struct dataset *changes,
                const char *source, struct step_outcome *outcome, struct error *err);

/* What a step has besides its data set and links. */
struct step_facts {
    int64_t message_us; /* of the message that told it last */
    int64_t ordered_ms; /* Unix times, 0: not yet */
    int64_t started_ms;
    int64_t ended_ms;   /* completed, discontinued or cancelled */
    int64_t stored_ms;  /* the last instance of it */
    uint64_t instances; /* stored of its study, see steps_count_instances */
    char source[32];    /* who told it last */
    bool id_was_made;   /* nobody told its (0040,0009) */
};
bool step_facts(const struct object *step, struct step_facts *facts, struct error *err);

/* One step out of the list by its key, and all that the index knows of it: DELETE /worklist/{key}.
 * *found false: none. ERROR_CONFLICT when it is being performed. */
bool steps_delete(struct worklist *worklist, const char *key, bool *found, struct error *err);

/* Is there any step, planned or over? */
bool steps_exist(struct worklist *worklist, bool *any, struct error *err);

/* Instances of a study came or went: the number that the archive holds now, told to the steps of
 * the study. `accession` (may be NULL) finds the steps when the modality made a Study Instance UID
 * of its own. */
bool steps_count_instances(struct worklist *worklist, const char *study_uid, const char *accession,
                           uint64_t instances, int64_t at_ms, struct error *err);
