/* SPDX-License-Identifier: MIT */
#include "archive/terms.h"

#include "archive/tally.h"
#include "base/bytes.h"
#include "dicom/date_time.h"
#include "dicom/match.h"

enum { DATE_SIZE = 8, TERM_MAX = 1000 };

static const struct term_index indexes[] = {
    { TAG_PATIENT_ID, VR_LO, TERM_PATIENT_ID },
    { TAG_ACCESSION_NUMBER, VR_SH, TERM_ACCESSION_NUMBER },
    { TAG_STUDY_ID, VR_SH, TERM_STUDY_ID },
    { TAG_PATIENT_NAME, VR_PN, TERM_PATIENT_NAME },
    { TAG_REFERRING_PHYSICIAN_NAME, VR_PN, TERM_REFERRING_PHYSICIAN },
};

enum { INDEX_COUNT = sizeof(indexes) / sizeof(indexes[0]) };

const struct term_index *term_index_find(uint32_t tag)
{
    for (size_t i = 0; i < INDEX_COUNT; i++) {
        if (indexes[i].tag == tag)
            return &indexes[i];
    }
    return NULL;
}

/* What stands before the first backslash. */
static struct slice first_value(struct slice text)
{
    const uint8_t *end = text.size ? memchr(text.data, '\\', text.size) : NULL;
    return end ? slice_take(text, (size_t)(end - text.data)) : text;
}

static void invert(const char *digits, size_t size, uint8_t *out)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)('9' - (digits[i] - '0'));
}

void term_stamp(const struct dataset *study, uint8_t stamp[STAMP_SIZE])
{
    struct buffer text = buffer_up_to(SUMMARY_SIZE);
    struct time_span span;
    char date[DATE_TEXT_SIZE], time[TIME_TEXT_SIZE];
    memset(stamp, '9', STAMP_SIZE);
    if (!dataset_text(study, TAG_STUDY_DATE, &text) ||
        !date_parse(first_value(buffer_slice(&text)), &span))
        goto out;
    date_format(span.first_us, date);
    invert(date, DATE_SIZE, stamp);
    buffer_clear(&text);
    if (!dataset_text(study, TAG_STUDY_TIME, &text) ||
        !time_parse(first_value(buffer_slice(&text)), &span))
        goto out;
    time_format(span.first_us, time);
    invert(time, STAMP_SIZE - DATE_SIZE, stamp + DATE_SIZE);
out:
    buffer_release(&text);
}

void term_prefix_key(struct key *key, char field, struct slice value)
{
    key_start(key, field);
    key_add(key, slice_take(value, KEY_VALUE_SIZE));
}

void term_value_key(struct key *key, char field, struct slice value)
{
    term_prefix_key(key, field, value);
    if (value.size <= KEY_VALUE_SIZE)
        key_add_byte(key, 0);
}

void term_date_range(struct slice first, struct slice last, struct key *lower, struct key *upper)
{
    uint8_t inverted[DATE_SIZE];
    key_start(lower, TERM_DATE);
    key_start(upper, TERM_DATE);
    if (last.size == DATE_SIZE) {
        invert((const char *)last.data, DATE_SIZE, inverted);
        key_add(lower, slice_of(inverted, DATE_SIZE));
    }
    if (first.size == DATE_SIZE) {
        invert((const char *)first.data, DATE_SIZE, inverted);
        key_add(upper, slice_of(inverted, DATE_SIZE));
        key_add_byte(upper, '9' + 1);
    } else {
        memset(inverted, '9', DATE_SIZE); /* those without a date */
        key_add(upper, slice_of(inverted, DATE_SIZE));
    }
}

void term_patient_key(struct key *key, struct slice patient_key)
{
    key_start(key, TERM_PATIENT);
    key_add_byte(key, (uint8_t)(patient_key.size >> 8));
    key_add_byte(key, (uint8_t)patient_key.size);
    key_add(key, patient_key);
}

void term_instance_key(struct key *key, const char *instance)
{
    key_start(key, TERM_INSTANCE);
    key_add(key, slice_text(instance));
}

void term_series_key(struct key *key, const char *series)
{
    key_start(key, TERM_SERIES);
    key_add(key, slice_text(series));
    key_add_byte(key, 0);
}

bool term_split(struct slice term, struct slice *stamp, struct slice *study)
{
    /* A folded value may hold a NUL, stamps and UIDs never do: the last one ends the value. */
    size_t start = term.size;
    if (!term.size)
        return false;
    if (term.data[0] == TERM_DATE) {
        start = 1;
    } else if (term.data[0] == TERM_PATIENT && term.size >= 3) {
        start = 3 + get_u16be(term.data + 1);
    } else {
        while (start > 1 && term.data[start - 1] != 0)
            start--;
    }
    if (start + STAMP_SIZE >= term.size)
        return false;
    *stamp = slice_of(term.data + start, STAMP_SIZE);
    *study = slice_skip(term, start + STAMP_SIZE);
    return true;
}

struct term_list term_list_init(void)
{
    struct term_list list = { buffer_up_to(TERM_MAX * (KEY_SIZE + 2)), 0 };
    return list;
}

void term_list_release(struct term_list *list)
{
    buffer_release(&list->bytes);
}

static void add_key(struct term_list *list, struct key *key, const struct study_record *record,
                    const char *study)
{
    if (list->count >= TERM_MAX)
        return;
    key_add(key, slice_of(record->stamp, STAMP_SIZE));
    key_add(key, slice_text(study));
    buffer_append_u16le(&list->bytes, (uint16_t)key->size);
    buffer_append(&list->bytes, key_slice(key));
    list->count++;
}

static void add_term(struct term_list *list, char field, struct slice value,
                     const struct study_record *record, const char *study)
{
    struct key key;
    term_prefix_key(&key, field, value);
    key_add_byte(&key, 0);
    add_key(list, &key, record, study);
}

static void add_values(struct term_list *list, const struct term_index *index,
                       const struct dataset *summary, const struct study_record *record,
                       const char *study)
{
    enum { VALUES_MAX = 64 };
    struct buffer text = buffer_up_to(SUMMARY_SIZE);
    struct buffer term = buffer_up_to(4 * SUMMARY_SIZE);
    if (dataset_text(summary, index->tag, &text)) {
        struct match_terms terms = match_fold_terms(index->vr, buffer_slice(&text));
        for (int i = 0; i < VALUES_MAX && match_terms_next(&terms, &term); i++)
            add_term(list, index->field, buffer_slice(&term), record, study);
    }
    buffer_release(&text);
    buffer_release(&term);
}

bool terms_of_study(struct term_list *list, const char *study, const struct study_record *record,
                    struct error *err)
{
    struct dataset *summary;
    struct key key;
    if (!dataset_open(buffer_slice(&record->summary.bytes),
                      transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                      &summary, err))
        return error_add_context(err, "summary of study %s", study);
    key_start(&key, TERM_DATE);
    add_key(list, &key, record, study);
    term_patient_key(&key, buffer_slice(&record->patient_key));
    add_key(list, &key, record, study);
    for (size_t i = 0; i < INDEX_COUNT; i++)
        add_values(list, &indexes[i], summary, record, study);
    dataset_close(summary);
    size_t position = 0;
    struct slice modality;
    uint32_t count;
    while (tally_next(buffer_slice(&record->modalities), &position, &modality, &count))
        add_term(list, TERM_MODALITY, modality, record, study);
    return true;
}

bool term_list_next(const struct term_list *list, size_t *position, struct slice *term)
{
    if (*position >= list->bytes.size)
        return false;
    const uint8_t *entry = list->bytes.data + *position;
    *term = slice_of(entry + 2, get_u16le(entry));
    *position += 2 + term->size;
    return true;
}

bool term_list_holds(const struct term_list *list, struct slice term)
{
    struct slice other;
    size_t position = 0;
    while (term_list_next(list, &position, &other)) {
        if (slice_equal(other, term))
            return true;
    }
    return false;
}

void terms_write(struct transaction *transaction, const struct term_list *before,
                 const struct term_list *after)
{
    struct slice term;
    size_t position = 0;
    while (term_list_next(before, &position, &term)) {
        if (!term_list_holds(after, term))
            transaction_delete(transaction, TABLE_TERM, term);
    }
    position = 0;
    while (term_list_next(after, &position, &term)) {
        if (!term_list_holds(before, term))
            transaction_put(transaction, TABLE_TERM, term, slice_of(NULL, 0));
    }
}
