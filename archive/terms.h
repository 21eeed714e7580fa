/* SPDX-License-Identifier: MIT */
#pragma once
/* The index terms of a study in TABLE_TERM: {field, folded value, NUL, stamp, Study Instance UID}.
 * The stamp is the study's date and time, every digit taken from 9, so that within one value the
 * newest study comes first; a study without a date comes last. docs/index-format.md. */

#include "archive/keys.h"
#include "archive/records.h"
#include "storage/transaction.h"

enum term_field {
    TERM_ACCESSION_NUMBER = 'A',
    TERM_DATE = 'D', /* no value: every study, newest first */
    TERM_SERIES = 'E',
    TERM_PATIENT_ID = 'I',
    TERM_MODALITY = 'M',
    TERM_PATIENT_NAME = 'N',
    TERM_PATIENT = 'P', /* a patient's key: its studies */
    TERM_REFERRING_PHYSICIAN = 'R',
    TERM_STUDY_ID = 'T',
    TERM_INSTANCE = 'U', /* SOP Instance UID -> {study NUL series} as value */
};

/* Attributes of the study level whose values are terms. */
struct term_index {
    uint32_t tag;
    uint16_t vr;
    char field;
};
const struct term_index *term_index_find(uint32_t tag); /* NULL: has none */

/* The stamp of a study by its summary. */
void term_stamp(const struct dataset *study, uint8_t stamp[STAMP_SIZE]);

/* The beginning of all terms of one value; of all values that begin with `value`. */
void term_value_key(struct key *key, char field, struct slice value);
void term_prefix_key(struct key *key, char field, struct slice value);
/* The keys [lower, upper) of all studies of some days, each YYYYMMDD or empty for an open end. */
void term_date_range(struct slice first, struct slice last, struct key *lower, struct key *upper);
void term_patient_key(struct key *key, struct slice patient_key);
void term_instance_key(struct key *key, const char *instance);
void term_series_key(struct key *key, const char *series); /* {series NUL study}: the beginning */

/* The stamp and study that a term refers to, borrowed from it. */
bool term_split(struct slice term, struct slice *stamp, struct slice *study);

/* The terms of a study as it is recorded. Appends to a list that terms_write compares. */
struct term_list {
    struct buffer bytes; /* {16-bit size, key} each */
    size_t count;
};
struct term_list term_list_init(void);
void term_list_release(struct term_list *list);
/* Walks the terms from *position = 0, borrowed; false at the end. */
bool term_list_next(const struct term_list *list, size_t *position, struct slice *term);
bool term_list_holds(const struct term_list *list, struct slice term);
bool terms_of_study(struct term_list *list, const char *study, const struct study_record *record,
                    struct error *err);

/* Takes away what is only in `before`, and puts what is only in `after`. */
void terms_write(struct transaction *transaction, const struct term_list *before,
                 const struct term_list *after);
