/* SPDX-License-Identifier: MIT */
#pragma once
/* The one way in which something of the worklist lasts. An object is a kind, a key, a data set, a
 * state, and what its kind keeps besides (`own`, `links`). It is read, changed and written in the
 * turn of one storage transaction: so a change of state has one winner. Written with it, in the
 * same transaction, are the index terms that its kind declares (kinds.c) and an entry of the change
 * feed (changes.h). docs/index-format.md has the bytes.
 *
 *     struct turn *turn = NULL;
 *     struct object object = object_init();
 *     if (!turn_open(worklist, &turn, err) ||
 *         !turn_get(turn, OBJECT_WORKITEM, uid, &object, &found, err))
 *         goto out;
 *     ... look at object.state, refuse or change it, object_set_dataset ...
 *     if (!turn_put(turn, &object, 0, err) || !turn_commit(turn, err))
 *         goto out;
 *     ok = true;
 * out:
 *     object_release(&object);
 *     turn_close(turn);
 *
 * Thread-safe; a turn, an object and a walk belong to one thread each. */

#include "base/buffer.h"
#include "dicom/dataset.h"
#include "worklist/worklist.h"

enum object_kind {                            /* a letter: it stands in keys */
                   OBJECT_PATIENT = 'D',      /* demographics: patients.h */
                   OBJECT_STEP = 'S',         /* scheduled procedure step: steps.h */
                   OBJECT_PERFORMED = 'P',    /* modality performed procedure step: performed.h */
                   OBJECT_WORKITEM = 'U',     /* unified procedure step */
                   OBJECT_SUBSCRIPTION = 'B', /* of an AE to events */
                   OBJECT_REPORT = 'R',       /* a report that belongs to a study */
                   OBJECT_NOTICE = 'N',       /* an event that must reach somebody */
                   OBJECT_FLOW = 'F',         /* a patient whose objects follow yet: flow.h */
};

/* Done is what the usual query does not ask for: it stands apart in the index, so that what was
 * ever done costs the list of today nothing. */
enum object_shelf {
    OBJECT_LIVE = 'l',
    OBJECT_DONE = 'd',
};

enum {
    OBJECT_KEY_SIZE = 160, /* with the NUL */
    OBJECT_DATASET_LIMIT = 8 << 20,
    OBJECT_OWN_LIMIT = 64 << 10,
    OBJECT_LINKS_LIMIT = 64 << 10,
    OBJECT_LINK_LIMIT = 200, /* bytes of a link's value; what is longer is refused */
};

struct object {
    enum object_kind kind;
    char key[OBJECT_KEY_SIZE]; /* UTF-8 without NUL: a UID, a number ...; not empty */
    enum object_shelf shelf;
    uint8_t state;         /* the kind's own enumeration */
    uint64_t revision;     /* the feed's number of the last change; 0: was never written. turn_put
                              sets it; what was read with an older one is stale. */
    int64_t created_ms;    /* Unix time; set by turn_put */
    int64_t changed_ms;    /* likewise */
    struct buffer own;     /* fields of the kind, see base/fields.h; any bytes */
    struct buffer links;   /* see object_link */
    struct buffer dataset; /* Explicit VR Little Endian, UTF-8; may be empty */
};

struct object object_init(void);
void object_release(struct object *object);
void object_clear(struct object *object); /* as new, memory stays */
void object_copy(struct object *to, const struct object *from);

/* Takes the data set over, re-encoded (Explicit VR LE, UTF-8, no group lengths; values that were
 * elided are empty). ERROR_LIMIT when it is too long. */
bool object_set_dataset(struct object *object, const struct dataset *dataset, struct error *err);
/* The data set as it stands, borrowing from the object: close it before the object changes. */
bool object_dataset(const struct object *object, struct dataset **out, struct error *err);

/* Index terms beside those of the data set: `index` is a small letter that the kind gives a
 * meaning, `value` is taken byte by byte (not folded). One object may have many. ERROR_LIMIT for a
 * value that is too long, or too many. An empty value is left out. */
bool object_link(struct object *object, char index, struct slice value, struct error *err);
void object_unlink(struct object *object, char index); /* all of this index */
/* By number from 0; false when there is none, and `value` stays as it was. Borrowed. */
bool object_linked(const struct object *object, char index, size_t number, struct slice *value);
bool object_is_linked(const struct object *object, char index, struct slice value);

/* What is committed. *found tells whether it is there; the object is filled anew. */
bool object_get(struct worklist *worklist, enum object_kind kind, const char *key,
                struct object *object, bool *found, struct error *err);

struct turn;
/* Has the write turn of the storage: do nothing slow before the commit. */
bool turn_open(struct worklist *worklist, struct turn **out, struct error *err);
struct worklist *turn_worklist(struct turn *turn);
/* Sees what the turn itself has put and deleted. */
bool turn_get(struct turn *turn, enum object_kind kind, const char *key, struct object *object,
              bool *found, struct error *err);
/* Writes the object with its terms, and an entry of the feed; `event` (0: none in particular) is
 * the kind's own word on what happened, for those who follow. Every put makes an entry: do not put
 * what has not changed. */
bool turn_put(struct turn *turn, struct object *object, uint8_t event, struct error *err);
/* *found false: there was none, and nothing is done. */
bool turn_delete(struct turn *turn, enum object_kind kind, const char *key, bool *found,
                 struct error *err);
/* An entry of the feed alone: something happened to the object that it does not keep. */
void turn_tell(struct turn *turn, const struct object *object, uint8_t event);
/* Durable when it returns; on an error nothing of it is there. Ends the turn. */
bool turn_commit(struct turn *turn, struct error *err);
void turn_close(struct turn *turn); /* without a commit before it: leaves no trace */

/* Which objects a walk visits. The order is that of the kind's date and time (kinds.c: of a step
 * its scheduled start), then of the keys; with `prefix` that of the values first. A kind without a
 * date goes by keys. */
struct object_range {
    enum object_kind kind;
    enum object_shelf shelf;
    char index;         /* 0: all; else a capital of kinds.c or a small letter of object_link */
    struct slice value; /* of a capital: folded, as match_fold_terms folds, and cut after 200 bytes;
                           candidates only: compare the attribute itself */
    bool prefix;        /* all values that begin with `value` */
    const char *first;  /* "YYYYMMDD[HHMMSS]" or NULL: not before; both included, "20260102" as */
    const char *last;   /* `last` means all of that day. Objects without a date are outside. */
    const char *after;  /* of one value, and a kind without a date: the keys behind this one */
};

struct object_walk;
/* As of now: it does not see what an open turn has put. Do not hold it for long. */
bool object_walk_open(struct worklist *worklist, const struct object_range *range,
                      struct object_walk **out, struct error *err);
/* *found false at the end. The object is filled anew. */
bool object_walk_next(struct object_walk *walk, struct object *object, bool *found,
                      struct error *err);
/* The same, key alone: borrowed until the next call. */
bool object_walk_next_key(struct object_walk *walk, const char **key, struct error *err); /* NULL */
void object_walk_close(struct object_walk *walk);
/* How many a walk would visit, counted up to `limit`. */
bool object_walk_count(struct worklist *worklist, const struct object_range *range, size_t limit,
                       size_t *count, struct error *err);
