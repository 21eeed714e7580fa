/* SPDX-License-Identifier: MIT */
#include "archive/tree.h"

#include <stdio.h>

#include "archive/document.h"
#include "archive/feed_entry.h"
#include "archive/tag_terms.h"
#include "archive/tally.h"
#include "archive/tombstone.h"
#include "archive/versions.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "dicom/fold.h"

static void put_record(struct tree *tree, const struct key *key, struct buffer *bytes)
{
    transaction_put(tree->transaction, TABLE_RECORD, key_slice(key), buffer_slice(bytes));
    buffer_release(bytes);
}

static uint64_t append_change(struct tree *tree, const struct identity *identity,
                              const char *sop_class, enum change_action action, int64_t at_ms)
{
    struct change change = { 0, *identity, action, at_ms };
    struct buffer entry = buffer_up_to(FEED_ENTRY_SIZE);
    snprintf(change.identity.sop_class, UID_SIZE, "%s", sop_class);
    feed_entry_encode(&change, &entry);
    uint64_t sequence = transaction_append_feed(tree->transaction, buffer_slice(&entry));
    buffer_release(&entry);
    return sequence;
}

bool tree_open(struct tree *tree, struct archive *archive, struct transaction *transaction,
               const char *study, struct error *err)
{
    struct key key;
    memset(tree, 0, sizeof(*tree));
    tree->archive = archive;
    tree->transaction = transaction;
    tree->before = buffer_up_to(RECORD_SIZE);
    tree->tagged = buffer_up_to(SIZE_MAX / 2);
    study_record_init(&tree->study);
    series_record_init(&tree->series);
    snprintf(tree->uid, UID_SIZE, "%s", study);
    key_place(&key, RECORD_STUDY, study, NULL, NULL);
    if (!transaction_get(transaction, TABLE_RECORD, key_slice(&key), &tree->before, &tree->existed,
                         err))
        return false;
    if (!tree->existed)
        return true;
    if (!study_record_decode(buffer_slice(&tree->before), &tree->study, err))
        return false;
    tree->had = (struct patient_record){ 1, tree->study.series, tree->study.instances };
    tree->had_bytes = tree->study.bytes;
    return true;
}

void tree_close(struct tree *tree)
{
    buffer_release(&tree->before);
    buffer_release(&tree->tagged);
    study_record_release(&tree->study);
    series_record_release(&tree->series);
}

bool tree_exists(const struct tree *tree)
{
    return tree->study.instances > 0;
}

/* Extended query tags. */

/* The study's date may still change: what was written under the present one is remembered. */
static bool tag_place(struct tree *tree, enum level level, const struct identity *place,
                      const struct tag_source *source, struct error *err)
{
    struct key key;
    if (!tree->archive->tags->count)
        return true;
    key_place(&key, RECORD_TAG_TERMS, place->study, place->series, place->instance);
    buffer_append_u16le(&tree->tagged, (uint16_t)key.size);
    buffer_append(&tree->tagged, key_slice(&key));
    return tag_terms_update(tree->archive, tree->transaction, level, place, tree->study.stamp,
                            source, err);
}

static struct identity place_here(const struct tree *tree, const char *series, const char *instance)
{
    struct identity place = { 0 };
    snprintf(place.study, UID_SIZE, "%s", tree->uid);
    snprintf(place.series, UID_SIZE, "%s", series);
    snprintf(place.instance, UID_SIZE, "%s", instance);
    return place;
}

/* `header` NULL: the summary learned something, its source is the same. */
static bool tag_study(struct tree *tree, const struct dataset *header, struct error *err)
{
    const struct study_record *study = &tree->study;
    struct identity place = place_here(tree, "", "");
    struct identity instance = place_here(tree, study->source_series, study->source_instance);
    const struct tag_source source = { &study->summary, header, &instance, clock_unix_ms() };
    return tag_place(tree, LEVEL_STUDY, &place, &source, err);
}

static bool tag_series(struct tree *tree, const struct dataset *header, struct error *err)
{
    struct identity place = place_here(tree, tree->series_uid, "");
    struct identity instance = place_here(tree, tree->series_uid, tree->series.source_instance);
    const struct tag_source source = { &tree->series.summary, header, &instance, clock_unix_ms() };
    return tag_place(tree, LEVEL_SERIES, &place, &source, err);
}

static bool tag_instance(struct tree *tree, const struct addition *addition, struct error *err)
{
    const struct identity *identity = addition->identity;
    struct identity place = place_here(tree, identity->series, identity->instance);
    const struct tag_source source = { NULL, addition->header, &place,
                                       addition->instance->stored_at_ms };
    return tag_place(tree, LEVEL_INSTANCE, &place, &source, err);
}

/* Under the date that the study has in the end. */
static bool restamp(struct tree *tree, const struct study_record *was, struct error *err)
{
    const uint8_t *stamp = tree->study.stamp;
    bool ok = true;
    if (!tree->archive->tags->count || !tree_exists(tree))
        return true;
    if (tree->existed && memcmp(was->stamp, stamp, STAMP_SIZE) != 0)
        ok = tag_terms_restamp_study(tree->archive, tree->transaction, tree->uid, stamp, err);
    for (size_t at = 0; ok && at < tree->tagged.size;) {
        size_t size = get_u16le(tree->tagged.data + at);
        struct slice key = slice_of(tree->tagged.data + at + 2, size);
        ok = tag_terms_restamp(tree->transaction, key, stamp, err);
        at += 2 + size;
    }
    return ok;
}

/* Sources: the instance that a summary was made of. */

static bool was_removed(const struct tree *tree, struct slice key)
{
    return tree->removed && slice_compare(key, key_slice(&tree->first_removed)) >= 0 &&
           slice_compare(key, key_slice(&tree->last_removed)) <= 0;
}

/* The first instance below `prefix` that stays, by the order of keys. */
static bool find_remaining(struct tree *tree, struct slice prefix, struct identity *identity,
                           bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice key;
    if (!storage_cursor_open_prefix(tree->archive->storage, TABLE_RECORD, prefix, &cursor, err))
        return false;
    bool ok;
    do
        ok = storage_cursor_next(cursor, &key, NULL, found, err);
    while (ok && *found && was_removed(tree, key));
    if (ok && *found && !key_split_place(slice_skip(key, 1), identity))
        ok = error_set(err, ERROR_CORRUPT, "a key of the index cannot be read");
    storage_cursor_close(cursor);
    return ok;
}

/* What the study's record says about itself besides counts follows from its summary. */
static bool study_derive(struct tree *tree, struct error *err)
{
    struct dataset *summary;
    struct buffer id = buffer_up_to(SUMMARY_SIZE);
    struct buffer issuer = buffer_up_to(SUMMARY_SIZE);
    struct key key;
    if (!dataset_open(buffer_slice(&tree->study.summary.bytes),
                      transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                      &summary, err))
        return false;
    term_stamp(summary, tree->study.stamp);
    dataset_text(summary, TAG_PATIENT_ID, &id);
    dataset_text(summary, TAG_ISSUER_OF_PATIENT_ID, &issuer);
    key_patient(&key, fold_trim(buffer_slice(&id)), fold_trim(buffer_slice(&issuer)), tree->uid);
    buffer_clear(&tree->study.patient_key);
    buffer_append(&tree->study.patient_key, slice_skip(key_slice(&key), 1));
    tree->terms_changed = true;
    dataset_close(summary);
    buffer_release(&id);
    buffer_release(&issuer);
    return true;
}

static void count_modality(struct tree *tree, const char *modality, int32_t amount)
{
    if (tally_add(&tree->study.modalities, slice_text(modality), amount))
        tree->terms_changed = true;
}

/* Number and modality of the series follow from its summary. */
static bool series_derive(struct tree *tree, struct error *err)
{
    struct series_record *series = &tree->series;
    struct dataset *summary;
    char modality[UID_SIZE];
    if (!dataset_open(buffer_slice(&series->summary.bytes),
                      transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                      &summary, err))
        return false;
    if (!dataset_integer(summary, TAG_SERIES_NUMBER, &series->number))
        series->number = NUMBER_ABSENT;
    dataset_string(summary, TAG_MODALITY, modality, sizeof(modality));
    dataset_close(summary);
    if (strcmp(modality, series->modality) != 0) {
        count_modality(tree, series->modality, -1);
        count_modality(tree, modality, 1);
        memcpy(series->modality, modality, sizeof(modality));
    }
    return true;
}

/* Makes the summary anew of the first instance that stays. One whose header cannot be read leaves
 * the summary as it is. */
static bool renew_series_source(struct tree *tree, struct error *err)
{
    struct document document = document_init();
    struct identity identity;
    struct key prefix;
    bool found, there = false;
    key_children(&prefix, RECORD_INSTANCE, tree->uid, tree->series_uid);
    bool ok = find_remaining(tree, key_slice(&prefix), &identity, &found, err);
    if (ok && found) {
        memcpy(tree->series.source_instance, identity.instance, UID_SIZE);
        if (document_load(tree->archive, &identity, &document, &there, NULL) && there) {
            summary_build(&tree->series.summary, LEVEL_SERIES, document.dataset, NULL);
            ok = series_derive(tree, err) && tag_series(tree, document.dataset, err);
        }
    }
    document_release(&document);
    return ok;
}

static bool renew_study_source(struct tree *tree, struct error *err)
{
    struct document document = document_init();
    struct identity identity;
    struct key prefix;
    bool found, there = false;
    key_children(&prefix, RECORD_INSTANCE, tree->uid, NULL);
    bool ok = find_remaining(tree, key_slice(&prefix), &identity, &found, err);
    if (ok && found) {
        memcpy(tree->study.source_series, identity.series, UID_SIZE);
        memcpy(tree->study.source_instance, identity.instance, UID_SIZE);
        if (document_load(tree->archive, &identity, &document, &there, NULL) && there) {
            summary_build(&tree->study.summary, LEVEL_STUDY, document.dataset, NULL);
            ok = study_derive(tree, err) && tag_study(tree, document.dataset, err);
        }
    }
    document_release(&document);
    return ok;
}

/* Series. */

static bool save_series(struct tree *tree, struct error *err)
{
    struct key key;
    if (!tree->series_uid[0])
        return true;
    key_place(&key, RECORD_SERIES, tree->uid, tree->series_uid, NULL);
    if (!tree->series.instances) {
        struct key term;
        term_series_key(&term, tree->series_uid);
        key_add(&term, slice_text(tree->uid));
        transaction_delete(tree->transaction, TABLE_TERM, key_slice(&term));
        transaction_delete(tree->transaction, TABLE_RECORD, key_slice(&key));
        count_modality(tree, tree->series.modality, -1);
        tree->study.series--;
        struct identity place = place_here(tree, tree->series_uid, "");
        return tag_terms_remove(tree->archive, tree->transaction, &place, err);
    }
    if (tree->series_source_removed && !renew_series_source(tree, err))
        return false;
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    series_record_encode(&tree->series, &bytes);
    put_record(tree, &key, &bytes);
    return true;
}

static bool load_series(struct tree *tree, const char *uid, struct error *err)
{
    struct key key;
    if (strcmp(tree->series_uid, uid) == 0)
        return true;
    if (!save_series(tree, err))
        return false;
    series_record_release(&tree->series);
    series_record_init(&tree->series);
    snprintf(tree->series_uid, UID_SIZE, "%s", uid);
    tree->series_source_removed = false;
    key_place(&key, RECORD_SERIES, tree->uid, uid, NULL);
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    bool ok = transaction_get(tree->transaction, TABLE_RECORD, key_slice(&key), &bytes,
                              &tree->series_existed, err);
    if (ok && tree->series_existed)
        ok = series_record_decode(buffer_slice(&bytes), &tree->series, err);
    buffer_release(&bytes);
    return ok;
}

/* The summary of a level with what `addition` knows and it does not. */
static void fill_summary(struct summary *summary, enum level level, const struct summary *prepared,
                         const struct dataset *header)
{
    struct summary merged = summary_init();
    struct dataset *old = NULL;
    if (summary->bytes.size)
        dataset_open(buffer_slice(&summary->bytes),
                     transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0, &old,
                     NULL);
    if (!old && prepared) {
        buffer_append(&merged.bytes, buffer_slice(&prepared->bytes));
        merged.present = prepared->present;
        merged.partial = prepared->partial;
    } else {
        bool partial = summary->partial;
        summary_build(&merged, level, old ? old : header, header);
        merged.partial |= partial;
    }
    dataset_close(old);
    summary_release(summary);
    *summary = merged;
}

static bool add_to_series(struct tree *tree, const struct addition *addition, uint64_t sequence,
                          struct error *err)
{
    struct series_record *series = &tree->series;
    const struct identity *identity = addition->identity;
    if (!load_series(tree, identity->series, err))
        return false;
    bool is_new = !series->instances;
    if (is_new) {
        struct key term;
        term_series_key(&term, identity->series);
        key_add(&term, slice_text(tree->uid));
        transaction_put(tree->transaction, TABLE_TERM, key_slice(&term), slice_of(NULL, 0));
        series->created = sequence;
        series->stored_at_ms = addition->instance->stored_at_ms;
        memcpy(series->source_instance, identity->instance, UID_SIZE);
        tree->study.series++;
    }
    series->changed = sequence;
    series->instances++;
    series->bytes += addition->instance->blob.size;
    if (!is_new && !(addition->series_present & ~series->summary.present))
        return true;
    fill_summary(&series->summary, LEVEL_SERIES, addition->series_summary, addition->header);
    return series_derive(tree, err) && tag_series(tree, is_new ? addition->header : NULL, err);
}

static bool add_to_study(struct tree *tree, const struct addition *addition, uint64_t sequence,
                         struct error *err)
{
    struct study_record *study = &tree->study;
    bool is_new = !study->instances;
    if (is_new) {
        study->created = sequence;
        study->stored_at_ms = addition->instance->stored_at_ms;
        memcpy(study->source_series, addition->identity->series, UID_SIZE);
        memcpy(study->source_instance, addition->identity->instance, UID_SIZE);
    }
    study->changed = sequence;
    study->instances++;
    study->bytes += addition->instance->blob.size;
    tally_add(&study->sop_classes, slice_text(addition->instance->sop_class), 1);
    if (!is_new && !(addition->study_present & ~study->summary.present))
        return true;
    fill_summary(&study->summary, LEVEL_STUDY, addition->study_summary, addition->header);
    return study_derive(tree, err) && tag_study(tree, is_new ? addition->header : NULL, err);
}

static void put_instance(struct tree *tree, const struct addition *addition, uint64_t sequence)
{
    const struct identity *identity = addition->identity;
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    addition->instance->created = sequence;
    instance_record_encode(addition->instance, &bytes);
    key_place(&key, RECORD_INSTANCE, identity->study, identity->series, identity->instance);
    put_record(tree, &key, &bytes);
    key.bytes[0] = DOCUMENT_HEADER;
    transaction_put(tree->transaction, TABLE_DOCUMENT, key_slice(&key), addition->document);
    key.bytes[0] = DOCUMENT_FRAMES;
    if (addition->frames.size)
        transaction_put(tree->transaction, TABLE_DOCUMENT, key_slice(&key), addition->frames);
}

bool tree_add(struct tree *tree, const struct addition *addition, struct error *err)
{
    const struct identity *identity = addition->identity;
    struct key key;
    struct key place;
    uint64_t sequence = append_change(tree, identity, addition->instance->sop_class, CHANGE_CREATE,
                                      addition->instance->stored_at_ms);
    if (!add_to_series(tree, addition, sequence, err) ||
        !add_to_study(tree, addition, sequence, err))
        return false;
    put_instance(tree, addition, sequence);
    if (!tag_instance(tree, addition, err))
        return false;
    key_place(&place, 0, identity->study, identity->series, NULL);
    term_instance_key(&key, identity->instance);
    transaction_put(tree->transaction, TABLE_TERM, key_slice(&key),
                    slice_skip(key_slice(&place), 1));
    return true;
}

/* A summary that was made of the old version is made anew of the new one; any other one learns what
 * it did not know. */
static bool replace_in_series(struct tree *tree, const struct addition *addition, struct error *err)
{
    struct summary *summary = &tree->series.summary;
    bool is_source = strcmp(tree->series.source_instance, addition->identity->instance) == 0;
    if (is_source)
        summary_build(summary, LEVEL_SERIES, addition->header, NULL);
    else if (addition->series_present & ~summary->present)
        fill_summary(summary, LEVEL_SERIES, NULL, addition->header);
    else
        return true;
    return series_derive(tree, err) && tag_series(tree, is_source ? addition->header : NULL, err);
}

static bool replace_in_study(struct tree *tree, const struct addition *addition, struct error *err)
{
    struct summary *summary = &tree->study.summary;
    bool is_source = strcmp(tree->study.source_instance, addition->identity->instance) == 0 &&
                     strcmp(tree->study.source_series, addition->identity->series) == 0;
    if (is_source)
        summary_build(summary, LEVEL_STUDY, addition->header, NULL);
    else if (addition->study_present & ~summary->present)
        fill_summary(summary, LEVEL_STUDY, NULL, addition->header);
    else
        return true;
    return study_derive(tree, err) && tag_study(tree, is_source ? addition->header : NULL, err);
}

bool tree_replace(struct tree *tree, const struct addition *addition,
                  const struct instance_record *old, size_t kept, struct error *err)
{
    const struct identity *identity = addition->identity;
    struct key key;
    if (!load_series(tree, identity->series, err))
        return false;
    uint64_t sequence = append_change(tree, identity, addition->instance->sop_class, CHANGE_UPDATE,
                                      addition->instance->stored_at_ms);
    tree->series.changed = sequence;
    tree->series.bytes += addition->instance->blob.size - old->blob.size;
    tree->study.changed = sequence;
    tree->study.bytes += addition->instance->blob.size - old->blob.size;
    if (!replace_in_series(tree, addition, err) || !replace_in_study(tree, addition, err) ||
        !version_keep(tree->archive, tree->transaction, identity, old, kept, err))
        return false;
    key_place(&key, DOCUMENT_FRAMES, identity->study, identity->series, identity->instance);
    transaction_delete(tree->transaction, TABLE_DOCUMENT, key_slice(&key));
    put_instance(tree, addition, sequence);
    return tag_instance(tree, addition, err);
}

/* What was deleted must not come back when the index is made anew, so its versions go with it. Few
 * studies have any. */
static bool remove_versions(struct tree *tree, const struct identity *identity, struct error *err)
{
    if (!tree->versions_known &&
        !versions_exist(tree->archive, tree->uid, &tree->has_versions, err))
        return false;
    tree->versions_known = true;
    return !tree->has_versions || versions_remove(tree->archive, tree->transaction, identity, err);
}

bool tree_remove(struct tree *tree, const struct identity *identity,
                 const struct instance_record *instance, int64_t at_ms, struct error *err)
{
    struct key key;
    struct key term;
    if (!load_series(tree, identity->series, err) || !remove_versions(tree, identity, err) ||
        !tag_terms_remove(tree->archive, tree->transaction, identity, err))
        return false;
    uint64_t sequence = append_change(tree, identity, instance->sop_class, CHANGE_DELETE, at_ms);
    key_place(&key, RECORD_INSTANCE, identity->study, identity->series, identity->instance);
    if (!tree->removed++)
        tree->first_removed = key;
    tree->last_removed = key;
    transaction_delete(tree->transaction, TABLE_RECORD, key_slice(&key));
    key.bytes[0] = DOCUMENT_HEADER;
    transaction_delete(tree->transaction, TABLE_DOCUMENT, key_slice(&key));
    key.bytes[0] = DOCUMENT_FRAMES;
    transaction_delete(tree->transaction, TABLE_DOCUMENT, key_slice(&key));
    term_instance_key(&term, identity->instance);
    transaction_delete(tree->transaction, TABLE_TERM, key_slice(&term));
    transaction_delete_blob(tree->transaction, &instance->blob);
    tombstone_put(tree->transaction, identity, at_ms);

    tree->series.changed = sequence;
    tree->series.instances--;
    tree->series.bytes -= instance->blob.size;
    tree->study.changed = sequence;
    tree->study.instances--;
    tree->study.bytes -= instance->blob.size;
    tally_add(&tree->study.sop_classes, slice_text(instance->sop_class), -1);
    if (strcmp(tree->series.source_instance, identity->instance) == 0)
        tree->series_source_removed = true;
    if (strcmp(tree->study.source_instance, identity->instance) == 0 &&
        strcmp(tree->study.source_series, identity->series) == 0)
        tree->source_removed = true;
    if (!tree->series.instances) {
        struct identity series = *identity;
        series.instance[0] = '\0';
        tombstone_put(tree->transaction, &series, at_ms);
    }
    if (!tree->study.instances) {
        struct identity study = { 0 };
        memcpy(study.study, identity->study, UID_SIZE);
        tombstone_put(tree->transaction, &study, at_ms);
    }
    return true;
}

static bool save_study(struct tree *tree, struct error *err)
{
    struct key key;
    key_place(&key, RECORD_STUDY, tree->uid, NULL, NULL);
    if (!tree_exists(tree)) {
        tree->terms_changed = true;
        transaction_delete(tree->transaction, TABLE_RECORD, key_slice(&key));
        struct identity place = place_here(tree, "", "");
        return tag_terms_remove(tree->archive, tree->transaction, &place, err);
    }
    if (tree->source_removed && !renew_study_source(tree, err))
        return false;
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    study_record_encode(&tree->study, &bytes);
    put_record(tree, &key, &bytes);
    return true;
}

static bool save_terms(struct tree *tree, const struct study_record *was, struct error *err)
{
    struct term_list before = term_list_init();
    struct term_list after = term_list_init();
    bool ok = (!tree->existed || terms_of_study(&before, tree->uid, was, err)) &&
              (!tree_exists(tree) || terms_of_study(&after, tree->uid, &tree->study, err));
    if (ok)
        terms_write(tree->transaction, &before, &after);
    term_list_release(&before);
    term_list_release(&after);
    return ok;
}

/* Takes `less` from a patient's counts and adds `more`. *patients follows when the patient comes or
 * goes. */
static bool count_patient(struct tree *tree, struct slice patient_key, struct patient_record less,
                          struct patient_record more, uint64_t *patients, struct error *err)
{
    struct patient_record patient = { 0, 0, 0 };
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found;
    key_start(&key, RECORD_PATIENT);
    key_add(&key, patient_key);
    bool ok = transaction_get(tree->transaction, TABLE_RECORD, key_slice(&key), &bytes, &found,
                              err) &&
              (!found || patient_record_decode(buffer_slice(&bytes), &patient, err));
    buffer_release(&bytes);
    if (!ok)
        return false;
    patient.studies += more.studies - less.studies;
    patient.series += more.series - less.series;
    patient.instances += more.instances - less.instances;
    *patients += (patient.studies > 0) - (uint64_t)found;
    if (patient.studies) {
        struct buffer record = buffer_up_to(RECORD_SIZE);
        patient_record_encode(&patient, &record);
        put_record(tree, &key, &record);
    } else {
        transaction_delete(tree->transaction, TABLE_RECORD, key_slice(&key));
    }
    return true;
}

static bool save_patient(struct tree *tree, const struct study_record *was, uint64_t *patients,
                         struct error *err)
{
    struct slice old = buffer_slice(&was->patient_key);
    struct slice new = buffer_slice(&tree->study.patient_key);
    struct patient_record none = { 0, 0, 0 };
    struct patient_record has = { 1, tree->study.series, tree->study.instances };
    if (!tree_exists(tree))
        has = none;
    if (!tree->existed || slice_equal(old, new))
        return count_patient(tree, new, tree->had, has, patients, err);
    return count_patient(tree, old, tree->had, none, patients, err) &&
           count_patient(tree, new, none, has, patients, err);
}

static bool load_counts(struct tree *tree, struct archive_counts *counts, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found;
    memset(counts, 0, sizeof(*counts));
    key_start(&key, RECORD_COUNTS);
    bool ok = transaction_get(tree->transaction, TABLE_RECORD, key_slice(&key), &bytes, &found,
                              err) &&
              (!found || counts_decode(buffer_slice(&bytes), counts, err));
    buffer_release(&bytes);
    return ok;
}

static void save_counts(struct tree *tree, struct archive_counts *counts)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    counts->studies += (uint64_t)tree_exists(tree) - (uint64_t)tree->existed;
    counts->series += tree->study.series - tree->had.series;
    counts->instances += tree->study.instances - tree->had.instances;
    counts->bytes += tree->study.bytes - tree->had_bytes;
    key_start(&key, RECORD_COUNTS);
    counts_encode(counts, &bytes);
    put_record(tree, &key, &bytes);
}

bool tree_save(struct tree *tree, struct error *err)
{
    struct archive_counts counts;
    struct study_record was;
    study_record_init(&was);
    bool ok = (!tree->existed || study_record_decode(buffer_slice(&tree->before), &was, err)) &&
              save_series(tree, err) && save_study(tree, err) && restamp(tree, &was, err) &&
              (!tree->terms_changed || save_terms(tree, &was, err)) &&
              load_counts(tree, &counts, err) && save_patient(tree, &was, &counts.patients, err);
    if (ok)
        save_counts(tree, &counts);
    study_record_release(&was);
    return ok;
}
