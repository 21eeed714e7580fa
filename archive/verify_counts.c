/* SPDX-License-Identifier: MIT */
/* Counts and bytes of studies, series, patients and the whole archive against what is there, and
 * the terms that a query by key would look for. */
#include <inttypes.h>
#include <stdio.h>

#include "archive/lookup.h"
#include "archive/tally.h"
#include "archive/terms.h"
#include "archive/verify_work.h"

/* Records of one kind in the order of their keys. */
struct stream {
    struct pages pages;
    struct slice key; /* of the next one; data NULL at the end */
    struct slice value;
};

static bool stream_next(struct stream *stream, struct error *err)
{
    bool found;
    if (!pages_next(&stream->pages, &stream->key, &stream->value, &found, err))
        return false;
    if (!found)
        stream->key = slice_of(NULL, 0);
    return true;
}

/* One look at one study. */
struct study_look {
    struct verify *verify;
    const char *uid;
    bool final;   /* what is wrong now is a finding */
    bool suspect; /* something was wrong */
    struct buffer record_bytes;
    bool has_record;
    struct stream *series; /* the study's come next */
    struct stream *instances;

    struct instance_record instance; /* to decode into */
    struct series_record series_record;
    uint64_t series_count, instance_count, bytes;
    struct buffer modalities, sop_classes;
};

static void look_init(struct study_look *look, struct verify *verify, const char *uid)
{
    memset(look, 0, sizeof(*look));
    look->verify = verify;
    look->uid = uid;
    look->record_bytes = buffer_up_to(RECORD_SIZE);
    look->modalities = buffer_up_to(TALLY_SIZE);
    look->sop_classes = buffer_up_to(TALLY_SIZE);
    instance_record_init(&look->instance);
    series_record_init(&look->series_record);
}

static void look_release(struct study_look *look)
{
    buffer_release(&look->record_bytes);
    buffer_release(&look->modalities);
    buffer_release(&look->sop_classes);
    instance_record_release(&look->instance);
    series_record_release(&look->series_record);
}

static void wrong(struct study_look *look, enum verify_kind kind, const char *series,
                  const char *message)
{
    struct identity identity = { 0 };
    look->suspect = true;
    if (!look->final)
        return;
    snprintf(identity.study, UID_SIZE, "%s", look->uid);
    snprintf(identity.series, UID_SIZE, "%s", series ? series : "");
    verify_found(look->verify, kind, &identity, NULL, "%s", message);
}

/* The next key of a stream belongs to the study (or, of a study record, is it). */
static bool is_here(const struct study_look *look, const struct stream *stream)
{
    size_t size = strlen(look->uid);
    struct slice key = stream->key;
    return key.data && key.size > size && memcmp(key.data + 1, look->uid, size) == 0 &&
           (key.size == size + 1 || key.data[size + 1] == 0);
}

/* The UID that stands behind the study's in a key of a series or instance; "" when none does. */
static void series_of(struct slice key, char uid[UID_SIZE])
{
    struct identity identity = { 0 };
    uid[0] = '\0';
    if (key_split_place(slice_skip(key, 1), &identity))
        memcpy(uid, identity.series, UID_SIZE);
}

/* All instances of the series `uid`, from the cursor on. */
static bool count_instances(struct study_look *look, const char *uid, uint64_t *count,
                            uint64_t *bytes, struct error *err)
{
    char other[UID_SIZE];
    *count = 0;
    *bytes = 0;
    for (;;) {
        if (!is_here(look, look->instances))
            return true;
        series_of(look->instances->key, other);
        if (strcmp(other, uid) != 0)
            return true;
        ++*count;
        /* One that cannot be read is told by the walk over the instances. */
        if (instance_record_decode(look->instances->value, &look->instance, NULL)) {
            *bytes += look->instance.blob.size;
            tally_add(&look->sop_classes, slice_text(look->instance.sop_class), 1);
        }
        if (!stream_next(look->instances, err))
            return false;
    }
}

static void compare_series(struct study_look *look, const char *uid, uint64_t count, uint64_t bytes)
{
    struct series_record *record = &look->series_record;
    char message[128];
    if (!series_record_decode(look->series->value, record, NULL)) {
        wrong(look, VERIFY_INDEX_CORRUPT, uid, "the series record cannot be read");
        return;
    }
    tally_add(&look->modalities, slice_text(record->modality), 1);
    snprintf(message, sizeof(message),
             "the series record counts %" PRIu64 " instances of %" PRIu64
             " bytes, there are %" PRIu64 " of %" PRIu64,
             record->instances, record->bytes, count, bytes);
    if (!count || record->instances != count || record->bytes != bytes)
        wrong(look, VERIFY_COUNT_WRONG, uid, message);
}

/* Series records and instances come in the same order. */
static bool count_series(struct study_look *look, struct error *err)
{
    char of_record[UID_SIZE], of_instance[UID_SIZE];
    uint64_t count, bytes;
    for (;;) {
        bool has_record = is_here(look, look->series);
        bool has_instance = is_here(look, look->instances);
        if (!has_record && !has_instance)
            return true;
        series_of(has_record ? look->series->key : slice_of(NULL, 0), of_record);
        series_of(has_instance ? look->instances->key : slice_of(NULL, 0), of_instance);
        int order = !has_record ? 1 : !has_instance ? -1 : strcmp(of_record, of_instance);
        const char *uid = order <= 0 ? of_record : of_instance;
        if (!count_instances(look, uid, &count, &bytes, err))
            return false;
        if (order > 0)
            wrong(look, VERIFY_COUNT_WRONG, uid, "instances of a series without a series record");
        else
            compare_series(look, uid, count, bytes);
        look->series_count++;
        look->instance_count += count;
        look->bytes += bytes;
        if (order <= 0 && !stream_next(look->series, err))
            return false;
    }
}

static void compare_study(struct study_look *look, const struct study_record *record)
{
    char message[200];
    snprintf(message, sizeof(message),
             "the study record counts %" PRIu64 " series, %" PRIu64 " instances, %" PRIu64
             " bytes, there are %" PRIu64 ", %" PRIu64 ", %" PRIu64,
             record->series, record->instances, record->bytes, look->series_count,
             look->instance_count, look->bytes);
    if (record->series != look->series_count || record->instances != look->instance_count ||
        record->bytes != look->bytes)
        wrong(look, VERIFY_COUNT_WRONG, NULL, message);
    else if (!slice_equal(buffer_slice(&record->modalities), buffer_slice(&look->modalities)))
        wrong(look, VERIFY_COUNT_WRONG, NULL, "the study record counts other modalities");
    else if (!slice_equal(buffer_slice(&record->sop_classes), buffer_slice(&look->sop_classes)))
        wrong(look, VERIFY_COUNT_WRONG, NULL, "the study record counts other SOP classes");
}

static bool check_patient(struct study_look *look, const struct study_record *record,
                          struct error *err)
{
    struct key key;
    bool found;
    key_start(&key, RECORD_PATIENT);
    key_add(&key, buffer_slice(&record->patient_key));
    if (!verify_has(look->verify, TABLE_RECORD, key_slice(&key), &found, err))
        return false;
    if (!found)
        wrong(look, VERIFY_COUNT_WRONG, NULL, "the patient of the study has no record");
    return true;
}

/* What a query by key would not find. */
static bool check_study_terms(struct study_look *look, const struct study_record *record,
                              struct error *err)
{
    struct term_list list = term_list_init();
    struct slice term;
    size_t position = 0;
    bool found;
    bool ok = true;
    if (!terms_of_study(&list, look->uid, record, NULL)) {
        wrong(look, VERIFY_INDEX_CORRUPT, NULL, "the summary of the study cannot be read");
        goto out;
    }
    while (ok && term_list_next(&list, &position, &term)) {
        char message[64];
        ok = verify_has(look->verify, TABLE_TERM, term, &found, err);
        snprintf(message, sizeof(message), "a term of field %c is missing", term.data[0]);
        if (ok && !found)
            wrong(look, VERIFY_TERM_MISSING, NULL, message);
    }
out:
    term_list_release(&list);
    return ok;
}

static bool look_at_record(struct study_look *look, struct error *err)
{
    struct study_record record;
    bool ok = true;
    study_record_init(&record);
    if (!look->has_record)
        wrong(look, VERIFY_COUNT_WRONG, NULL, "series or instances of a study without a record");
    else if (!study_record_decode(buffer_slice(&look->record_bytes), &record, NULL))
        wrong(look, VERIFY_INDEX_CORRUPT, NULL, "the study record cannot be read");
    else
        ok = check_study_terms(look, &record, err) && check_patient(look, &record, err);
    study_record_release(&record);
    return ok;
}

static bool compare_record(struct study_look *look, struct error *err)
{
    struct study_record record;
    study_record_init(&record);
    bool ok = count_series(look, err);
    if (ok && look->has_record &&
        study_record_decode(buffer_slice(&look->record_bytes), &record, NULL))
        compare_study(look, &record);
    study_record_release(&record);
    return ok;
}

/* Opens what stands below a study, as of this moment. */
static bool hold_below(struct stream *stream, struct archive *archive, char kind, const char *uid,
                       struct error *err)
{
    struct key lower, upper;
    key_children(&lower, kind, uid, NULL);
    key_after_prefix(&upper, key_slice(&lower));
    pages_open(&stream->pages, archive->storage, TABLE_RECORD, key_slice(&lower),
               key_slice(&upper));
    return pages_hold(&stream->pages, err) && stream_next(stream, err);
}

/* The turn is kept only while the moment is taken: counting a large study may take long. */
static bool confirm_study(struct verify *verify, const char *uid, struct error *err)
{
    struct transaction *turn = NULL;
    struct stream series = { 0 }, instances = { 0 };
    struct study_look look;
    struct key key;
    look_init(&look, verify, uid);
    look.final = true;
    look.series = &series;
    look.instances = &instances;
    key_place(&key, RECORD_STUDY, uid, NULL, NULL);
    bool ok = verify_turn_open(verify, &turn, err) &&
              storage_get(verify->archive->storage, TABLE_RECORD, key_slice(&key),
                          &look.record_bytes, &look.has_record, err) &&
              hold_below(&series, verify->archive, RECORD_SERIES, uid, err) &&
              hold_below(&instances, verify->archive, RECORD_INSTANCE, uid, err);
    /* Else it was just deleted. */
    bool exists = ok && (look.has_record || series.key.data || instances.key.data);
    ok = ok && (!exists || look_at_record(&look, err));
    transaction_close(turn);
    ok = ok && (!exists || compare_record(&look, err));
    pages_close(&series.pages);
    pages_close(&instances.pages);
    look_release(&look);
    return ok;
}

/* Every study that has a record, a series or an instance, in ascending order: three streams side by
 * side, each as of moments of its own. */
struct studies {
    struct verify *verify;
    struct stream streams[3];
};

static const char study_kinds[] = { RECORD_STUDY, RECORD_SERIES, RECORD_INSTANCE };

/* The study of the next key of a stream; keys that cannot be read are told and stepped over. */
static bool peek_study(struct studies *studies, int kind, char uid[UID_SIZE], bool *found,
                       struct error *err)
{
    struct stream *stream = &studies->streams[kind];
    for (;;) {
        struct slice key = stream->key;
        *found = key.data != NULL;
        if (!*found)
            return true;
        const uint8_t *end = memchr(key.data, 0, key.size);
        size_t size = end ? (size_t)(end - key.data) - 1 : key.size - 1;
        if (size && size < UID_SIZE && !end == (kind == 0)) {
            memcpy(uid, key.data + 1, size);
            uid[size] = '\0';
            return true;
        }
        verify_found(studies->verify, VERIFY_INDEX_CORRUPT, NULL, NULL,
                     "a key of table record, kind %c, cannot be read", study_kinds[kind]);
        if (!stream_next(stream, err))
            return false;
    }
}

static bool next_study(struct studies *studies, char uid[UID_SIZE], bool *found, struct error *err)
{
    char candidate[UID_SIZE];
    *found = false;
    for (int kind = 0; kind < 3; kind++) {
        bool here;
        if (!peek_study(studies, kind, candidate, &here, err))
            return false;
        if (here && (!*found || strcmp(candidate, uid) < 0))
            memcpy(uid, candidate, UID_SIZE);
        *found |= here;
    }
    return true;
}

/* What looks wrong at first is looked at once more as of one moment. */
static bool check_study(struct studies *studies, const char *uid, struct error *err)
{
    struct stream *records = &studies->streams[0];
    struct study_look look;
    bool ok = true;
    look_init(&look, studies->verify, uid);
    look.series = &studies->streams[1];
    look.instances = &studies->streams[2];
    look.has_record = is_here(&look, records);
    if (look.has_record) {
        buffer_append(&look.record_bytes, records->value);
        ok = stream_next(records, err);
    }
    ok = ok && look_at_record(&look, err) && compare_record(&look, err);
    bool is_suspect = look.suspect;
    look_release(&look);
    return ok && (!is_suspect || confirm_study(studies->verify, uid, err));
}

static bool check_studies(struct verify *verify, struct error *err)
{
    struct studies studies = { .verify = verify };
    char uid[UID_SIZE];
    bool found = true;
    bool ok = true;
    for (int kind = 0; kind < 3; kind++) {
        pages_open_kind(&studies.streams[kind].pages, verify->archive->storage, TABLE_RECORD,
                        study_kinds[kind]);
        ok = ok && stream_next(&studies.streams[kind], err);
    }
    while (ok && (ok = next_study(&studies, uid, &found, err)) && found)
        ok = check_study(&studies, uid, err) &&
             verify_step(verify, PHASE_STUDIES, "studies", ++verify->report->studies,
                         verify->expected.studies, 0, err);
    for (int kind = 0; kind < 3; kind++)
        pages_close(&studies.streams[kind].pages);
    return ok;
}

/* Adds up the studies of a patient, which its terms name. */
static bool sum_patient(struct verify *verify, struct slice patient, struct patient_record *sum,
                        struct error *err)
{
    struct study_record record;
    struct storage_cursor *cursor = NULL;
    struct slice term, stamp, study;
    struct key prefix;
    bool found = true;
    memset(sum, 0, sizeof(*sum));
    study_record_init(&record);
    term_patient_key(&prefix, patient);
    bool ok = storage_cursor_open_prefix(verify->archive->storage, TABLE_TERM, key_slice(&prefix),
                                         &cursor, err);
    while (ok && (ok = storage_cursor_next(cursor, &term, NULL, &found, err)) && found) {
        char uid[UID_SIZE];
        struct error reason = { 0 };
        bool is_there = false;
        if (!term_split(term, &stamp, &study) || study.size >= UID_SIZE)
            continue;
        memcpy(uid, study.data, study.size);
        uid[study.size] = '\0';
        if (!lookup_study(verify->archive, uid, &record, &is_there, &reason) &&
            reason.code != ERROR_CORRUPT) {
            ok = error_set(err, reason.code, "%s", reason.message);
        } else if (is_there && reason.code == ERROR_NONE) {
            sum->studies++;
            sum->series += record.series;
            sum->instances += record.instances;
        }
    }
    storage_cursor_close(cursor);
    study_record_release(&record);
    return ok;
}

static bool look_at_patient(struct verify *verify, struct slice key, bool final, bool *suspect,
                            struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct transaction *turn = NULL;
    struct patient_record record = { 0 };
    struct patient_record sum;
    bool found = false;
    bool ok = (!final || verify_turn_open(verify, &turn, err)) &&
              storage_get(verify->archive->storage, TABLE_RECORD, key, &bytes, &found, err) &&
              (!found || sum_patient(verify, slice_skip(key, 1), &sum, err));
    transaction_close(turn);
    *suspect = false;
    if (ok && found) {
        bool readable = patient_record_decode(buffer_slice(&bytes), &record, NULL);
        *suspect = !readable || record.studies != sum.studies || record.series != sum.series ||
                   record.instances != sum.instances;
        if (final && !readable)
            verify_found(verify, VERIFY_INDEX_CORRUPT, NULL, NULL,
                         "a patient record cannot be read");
        else if (final && *suspect)
            verify_found(verify, VERIFY_COUNT_WRONG, NULL, NULL,
                         "a patient record counts %" PRIu64 " studies, %" PRIu64 " series, %" PRIu64
                         " instances, there are %" PRIu64 ", %" PRIu64 ", %" PRIu64,
                         record.studies, record.series, record.instances, sum.studies, sum.series,
                         sum.instances);
    }
    buffer_release(&bytes);
    return ok;
}

static bool check_patients(struct verify *verify, struct error *err)
{
    struct pages pages;
    struct slice key, value;
    struct buffer copy = buffer_up_to(SIZE_MAX / 2);
    uint64_t done = 0;
    bool found = true, suspect;
    bool ok = true;
    pages_open_kind(&pages, verify->archive->storage, TABLE_RECORD, RECORD_PATIENT);
    while (ok && (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        buffer_clear(&copy);
        buffer_append(&copy, key);
        ok = look_at_patient(verify, buffer_slice(&copy), false, &suspect, err) &&
             (!suspect || look_at_patient(verify, buffer_slice(&copy), true, &suspect, err)) &&
             verify_step(verify, PHASE_PATIENTS, "patients", ++done, verify->expected.patients, 0,
                         err);
    }
    pages_close(&pages);
    buffer_release(&copy);
    return ok;
}

/* The counts of all, with cursors that see the same moment. */
static bool open_totals(struct verify *verify, struct buffer *counts, bool *found,
                        struct storage_cursor **studies, struct storage_cursor **patients,
                        struct error *err)
{
    static const uint8_t study_kind[] = { RECORD_STUDY };
    static const uint8_t patient_kind[] = { RECORD_PATIENT };
    struct storage *storage = verify->archive->storage;
    struct transaction *turn = NULL;
    struct key key;
    key_start(&key, RECORD_COUNTS);
    bool ok =
        verify_turn_open(verify, &turn, err) &&
        storage_get(storage, TABLE_RECORD, key_slice(&key), counts, found, err) &&
        storage_cursor_open_prefix(storage, TABLE_RECORD, slice_of(study_kind, 1), studies, err) &&
        storage_cursor_open_prefix(storage, TABLE_RECORD, slice_of(patient_kind, 1), patients, err);
    transaction_close(turn);
    return ok;
}

static bool sum_totals(struct verify *verify, struct storage_cursor *studies,
                       struct storage_cursor *patients, struct archive_counts *sum,
                       struct error *err)
{
    struct study_record record;
    struct slice value;
    bool found = true;
    bool ok = true;
    memset(sum, 0, sizeof(*sum));
    study_record_init(&record);
    while (ok && (ok = storage_cursor_next(studies, NULL, &value, &found, err)) && found) {
        sum->studies++;
        if (study_record_decode(value, &record, NULL)) {
            sum->series += record.series;
            sum->instances += record.instances;
            sum->bytes += record.bytes;
        }
        ok = verify_step(verify, PHASE_TOTALS, "studies", sum->studies, verify->expected.studies, 0,
                         err);
    }
    while (ok && (ok = storage_cursor_next(patients, NULL, NULL, &found, err)) && found)
        sum->patients++;
    study_record_release(&record);
    return ok;
}

static bool check_totals(struct verify *verify, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct storage_cursor *studies = NULL;
    struct storage_cursor *patients = NULL;
    struct archive_counts counts = { 0 };
    struct archive_counts sum;
    bool found = false;
    bool ok = open_totals(verify, &bytes, &found, &studies, &patients, err) &&
              sum_totals(verify, studies, patients, &sum, err);
    if (ok && found && !counts_decode(buffer_slice(&bytes), &counts, NULL))
        verify_found(verify, VERIFY_INDEX_CORRUPT, NULL, NULL,
                     "the counts of the archive cannot be read");
    else if (ok && (counts.patients != sum.patients || counts.studies != sum.studies ||
                    counts.series != sum.series || counts.instances != sum.instances ||
                    counts.bytes != sum.bytes))
        verify_found(verify, VERIFY_COUNT_WRONG, NULL, NULL,
                     "the archive counts %" PRIu64 " patients, %" PRIu64 " studies, %" PRIu64
                     " series, %" PRIu64 " instances, %" PRIu64 " bytes, its records %" PRIu64
                     ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64,
                     counts.patients, counts.studies, counts.series, counts.instances, counts.bytes,
                     sum.patients, sum.studies, sum.series, sum.instances, sum.bytes);
    storage_cursor_close(studies);
    storage_cursor_close(patients);
    buffer_release(&bytes);
    return ok;
}

bool verify_counts(struct verify *verify, struct error *err)
{
    return check_studies(verify, err) && check_patients(verify, err) && check_totals(verify, err);
}
