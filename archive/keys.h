/* SPDX-License-Identifier: MIT */
#pragma once
/* Keys of the tables, as docs/index-format.md lays them out. By value: every part has a limit, so
 * that a key is never longer than KEY_SIZE. */

#include "archive/archive.h"
#include "base/slice.h"

enum {
    KEY_SIZE = 768,
    KEY_VALUE_SIZE = 200,  /* of a folded value in a term; what is longer is cut */
    KEY_PATIENT_SIZE = 256 /* of a Patient ID, and of an issuer, in a patient's key */
};

struct key {
    uint8_t bytes[KEY_SIZE];
    size_t size;
};

static inline struct slice key_slice(const struct key *key)
{
    return slice_of(key->bytes, key->size);
}

/* The leading byte says what a key is of. From this one on it is none of the archive's: others keep
 * records and terms in the same tables. */
enum { KEY_OTHERS = 'a' };
enum record_kind {
    RECORD_COUNTS = 'C',
    RECORD_PATIENT = 'P',
    RECORD_STUDY = 'S',
    RECORD_SERIES = 'E',
    RECORD_INSTANCE = 'I',
    RECORD_TOMBSTONE = 'X',
    RECORD_OLD_VERSION = 'V',
    RECORD_PATIENT_STATE = 'M',
    RECORD_AMEND_WORK = 'W',
    RECORD_AMEND_REST = 'R',
};
enum document_kind {
    DOCUMENT_HEADER = 'H',
    DOCUMENT_FRAMES = 'F',
};

void key_start(struct key *key, char kind);
void key_add(struct key *key, struct slice bytes);
void key_add_byte(struct key *key, uint8_t byte);

/* kind, study [NUL series [NUL instance]]: as many parts as are not NULL or empty. */
void key_place(struct key *key, char kind, const char *study, const char *series,
               const char *instance);
/* The beginning of all places directly below this one: as key_place with a NUL behind it. */
void key_children(struct key *key, char kind, const char *study, const char *series);
/* Takes a place (without its kind byte) apart; ends that are not there become "". False when it is
 * none. */
bool key_split_place(struct slice place, struct identity *identity);

/* A patient: Patient ID and issuer, or, without a Patient ID, the study, which then is a patient of
 * its own. */
void key_patient(struct key *key, struct slice patient_id, struct slice issuer, const char *study);

/* All keys that begin with `prefix` lie below this one. */
void key_after_prefix(struct key *key, struct slice prefix);
