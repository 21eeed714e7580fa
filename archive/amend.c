/* SPDX-License-Identifier: MIT */
/* What is known of patients, brought into the instances that say otherwise. */
#include <stdlib.h>

#include "archive/attributes.h"
#include "archive/coerce.h"
#include "archive/document.h"
#include "archive/ingest.h"
#include "archive/listing.h"
#include "archive/patient_records.h"
#include "archive/retrieve.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dicom/charset_write.h"
#include "dicom/coerce.h"
#include "dicom/fold.h"

enum { PIECE_SIZE = 256 << 10, AMENDED_MAX = 6, VALUE_SIZE = 4 * PATIENT_TEXT_SIZE };

/* The values that an instance is to have, in the order of their tags. */
struct amendment {
    struct coercion coercions[AMENDED_MAX];
    struct buffer values[AMENDED_MAX];
    size_t count;
    struct buffer charset; /* (0008,0005) of the instance */
};

static struct amendment amendment_init(void)
{
    struct amendment amendment = { .count = 0 };
    for (size_t i = 0; i < AMENDED_MAX; i++)
        amendment.values[i] = buffer_up_to(VALUE_SIZE);
    amendment.charset = buffer_up_to(SUMMARY_SIZE);
    return amendment;
}

static void amendment_release(struct amendment *amendment)
{
    for (size_t i = 0; i < AMENDED_MAX; i++)
        buffer_release(&amendment->values[i]);
    buffer_release(&amendment->charset);
}

static void add(struct amendment *amendment, uint32_t tag, uint16_t vr, bool corrects,
                struct slice value)
{
    struct buffer *own = &amendment->values[amendment->count];
    buffer_append(own, value);
    amendment->coercions[amendment->count++] = (struct coercion){
        .tag = tag,
        .vr = vr,
        .corrects = corrects,
        .value = buffer_slice(own),
    };
}

/* Whether two names are one, but for case, accents and how many empty components they write. What
 * `wanted` does not say of ideographic and phonetic groups is left alone. */
static bool is_same_name(struct slice stored, struct slice wanted)
{
    bool same = true;
    for (int group = 0; same && wanted.size && group < 3; group++) {
        struct buffer a = buffer_up_to(VALUE_SIZE), b = buffer_up_to(VALUE_SIZE);
        const uint8_t *end = stored.size ? memchr(stored.data, '=', stored.size) : NULL;
        size_t size = end ? (size_t)(end - stored.data) : stored.size;
        fold_name_group(slice_take(stored, size), &a);
        stored = slice_skip(stored, end ? size + 1 : size);
        end = memchr(wanted.data, '=', wanted.size);
        size = end ? (size_t)(end - wanted.data) : wanted.size;
        fold_name_group(slice_take(wanted, size), &b);
        wanted = slice_skip(wanted, end ? size + 1 : size);
        same = !b.size || slice_equal(buffer_slice(&a), buffer_slice(&b));
        buffer_release(&a);
        buffer_release(&b);
    }
    return same;
}

static bool differs(const struct dataset *header, uint32_t tag, struct slice wanted)
{
    struct buffer text = buffer_up_to(SUMMARY_SIZE);
    dataset_text(header, tag, &text);
    struct slice stored = fold_trim(buffer_slice(&text));
    bool same = tag == TAG_PATIENT_NAME ? is_same_name(stored, wanted)
                                        : slice_equal(stored, wanted);
    buffer_release(&text);
    return !same;
}

/* Text of the instance that stands in no other than the default repertoire: then the character set
 * can be exchanged for one that has them all. */
static bool is_ascii(const struct dataset *header)
{
    struct walk walk = dataset_walk(header);
    struct element element;
    for (;;) {
        enum walk_event event = walk_next(&walk, &element);
        if (event == WALK_END)
            return !walk.broken;
        if (event != WALK_ELEMENT || !element.value.size)
            continue;
        switch (element.vr) {
        case VR_SH:
        case VR_LO:
        case VR_ST:
        case VR_LT:
        case VR_PN:
        case VR_UC:
        case VR_UT:
            for (size_t i = 0; i < element.value.size; i++)
                if (element.value.data[i] & 0x80 || element.value.data[i] == 0x1B)
                    return false;
            break;
        default:
            break;
        }
    }
}

/* Adds a text as the instance's character set says it; false when it cannot. */
static bool add_text(struct amendment *amendment, uint32_t tag, uint16_t vr, struct slice wanted)
{
    struct charset_writer *writer = charset_writer_open(buffer_slice(&amendment->charset));
    struct buffer written = buffer_up_to(VALUE_SIZE);
    bool ok = writer && charset_write(writer, vr, wanted, &written) && !written.overflowed;
    if (ok)
        add(amendment, tag, vr, false, buffer_slice(&written));
    charset_writer_close(writer);
    buffer_release(&written);
    return ok;
}

/* What the header says otherwise than `state`, the end of the chain of merges. False when one of
 * the texts cannot be said in the instance's character set. */
static bool compare(struct amendment *amendment, const struct dataset *header,
                    const struct patient_state *state, bool merged, bool has_issuer)
{
    struct slice name = buffer_slice(&state->name), id = buffer_slice(&state->id);
    struct slice issuer = buffer_slice(&state->issuer);
    struct slice birth_date = buffer_slice(&state->birth_date), sex = buffer_slice(&state->sex);
    bool ok = true;
    if (name.size && differs(header, TAG_PATIENT_NAME, name))
        ok = add_text(amendment, TAG_PATIENT_NAME, VR_PN, name);
    if (ok && merged && differs(header, TAG_PATIENT_ID, id))
        ok = add_text(amendment, TAG_PATIENT_ID, VR_LO, id);
    if (ok && merged && has_issuer && differs(header, TAG_ISSUER_OF_PATIENT_ID, issuer))
        ok = add_text(amendment, TAG_ISSUER_OF_PATIENT_ID, VR_LO, issuer);
    if (ok && birth_date.size && differs(header, TAG_PATIENT_BIRTH_DATE, birth_date))
        ok = add_text(amendment, TAG_PATIENT_BIRTH_DATE, VR_DA, birth_date);
    if (ok && sex.size && differs(header, TAG_PATIENT_SEX, sex))
        ok = add_text(amendment, TAG_PATIENT_SEX, VR_CS, sex);
    return ok;
}

static bool build(struct amendment *amendment, const struct dataset *header,
                  const struct patient_state *state, bool merged, bool has_issuer,
                  struct error *err)
{
    dataset_text(header, TAG_SPECIFIC_CHARACTER_SET, &amendment->charset);
    if (compare(amendment, header, state, merged, has_issuer))
        return true;
    if (!is_ascii(header))
        return error_set(err, ERROR_UNSUPPORTED,
                         "its character set does not have the letters of its patient");
    amendment_release(amendment);
    *amendment = amendment_init();
    add(amendment, TAG_SPECIFIC_CHARACTER_SET, VR_CS, true, slice_text("ISO_IR 192"));
    buffer_append_text(&amendment->charset, "ISO_IR 192");
    return compare(amendment, header, state, merged, has_issuer) ||
           error_set(err, ERROR_INVALID, "what is known of its patient is no text");
}

/* What is known of the patient that the header names, in the values of its instance. */
static bool find_amendment(struct archive *archive, const struct dataset *header,
                           struct amendment *amendment, struct error *err)
{
    struct buffer id = buffer_up_to(SUMMARY_SIZE);
    struct buffer issuer = buffer_up_to(SUMMARY_SIZE);
    struct buffer of_id = buffer_up_to(PATIENT_TEXT_SIZE);
    struct patient_state state = patient_state_init();
    bool found, merged;
    dataset_text(header, TAG_PATIENT_ID, &id);
    dataset_text(header, TAG_ISSUER_OF_PATIENT_ID, &issuer);
    const struct patient_identifier patient = { fold_trim(buffer_slice(&id)),
                                                fold_trim(buffer_slice(&issuer)) };
    bool ok = patient_state_find(archive, NULL, &patient, &state, &found, err);
    if (ok && found) {
        buffer_append(&of_id, buffer_slice(&state.issuer));
        ok = patient_state_follow(archive, NULL, &state, &merged, err);
        /* An instance without an issuer gets one only when it comes to another one's patient. */
        bool has_issuer = patient.issuer.size ||
                          !slice_equal(buffer_slice(&of_id), buffer_slice(&state.issuer));
        ok = ok && build(amendment, header, &state, merged, has_issuer, err);
    }
    patient_state_release(&state);
    buffer_release(&id);
    buffer_release(&issuer);
    buffer_release(&of_id);
    return ok;
}

/* The edited copy. */

struct source {
    struct instance *instance;
    struct file_range file;
    uint64_t dataset_offset; /* in the file */
};

static bool copy_range(const struct source *source, uint64_t from, uint64_t to, uint8_t *piece,
                       struct ingest *ingest, struct error *err)
{
    while (from < to) {
        uint64_t left = to - from;
        struct space space = { piece, left < PIECE_SIZE ? (size_t)left : PIECE_SIZE };
        if (!instance_read(source->instance, from, space, err) ||
            !ingest_write(ingest, slice_of(space.data, space.size), err))
            return false;
        from += space.size;
    }
    return true;
}

/* File Meta Information is written anew, as it was. */
static bool copy_edited(const struct source *source, const struct edit_list *edits,
                        struct ingest *ingest, struct error *err)
{
    uint8_t *piece = mem_resize(NULL, PIECE_SIZE);
    struct slice inserted = buffer_slice(&edits->bytes);
    uint64_t at = 0, end = source->file.size;
    bool ok = true;
    for (size_t i = 0; ok && i < edits->count; i++) {
        const struct edit *edit = &edits->edits[i];
        ok = copy_range(source, at, edit->offset, piece, ingest, err) &&
             ingest_write(ingest, slice_take(inserted, edit->inserted), err);
        inserted = slice_skip(inserted, edit->inserted);
        at = edit->offset + edit->removed;
    }
    ok = ok && copy_range(source, at, end, piece, ingest, err);
    free(piece);
    return ok;
}

static bool store_edited(struct archive *archive, struct instance *instance,
                         const struct edit_list *edits, struct error *err)
{
    const struct identity *identity = instance_identity(instance);
    const struct ingest_options options = {
        .transfer_syntax = instance_syntax_uid(instance),
        .sop_class = identity->sop_class,
        .sop_instance = identity->instance,
        .study = identity->study,
        .source_ae = instance_source_ae(instance),
        .amends = true,
    };
    struct source source = { .instance = instance };
    struct ingest *ingest = NULL;
    enum ingest_outcome outcome;
    if (!instance_dataset(instance, &source.file, err) ||
        !ingest_open(archive, &options, &ingest, err))
        return false;
    bool ok = copy_edited(&source, edits, ingest, err) && ingest_commit(ingest, &outcome, err);
    ingest_close(ingest);
    return ok;
}

static bool amend_instance(struct archive *archive, const struct identity *place, bool *amended,
                           struct error *err)
{
    struct instance *instance = NULL;
    const struct dataset *header;
    struct amendment amendment = amendment_init();
    struct edit_list edits = { .count = 0 };
    char date_time[27];
    *amended = false;
    if (!instance_open(archive, place->study, place->series, place->instance, &instance, err)) {
        amendment_release(&amendment);
        return err->code == ERROR_NOT_FOUND || err->code == ERROR_GONE;
    }
    coercion_date_time(date_time);
    const struct coercion_note note = { date_time, archive->ae_title,
                                        instance_source_ae(instance) };
    bool ok = instance_header(instance, &header, err) &&
              find_amendment(archive, header, &amendment, err);
    if (ok && amendment.count) {
        ok = coerce_edits(header, amendment.coercions, amendment.count, &note, &edits, err);
        ok = ok && store_edited(archive, instance, &edits, err);
        edit_list_release(&edits);
        *amended = ok;
    }
    amendment_release(&amendment);
    instance_close(instance);
    return ok;
}

/* What is wrong with this one instance, and would be with the next try. */
static bool is_of_the_instance(const struct error *err)
{
    return err->code == ERROR_INVALID || err->code == ERROR_UNSUPPORTED ||
           err->code == ERROR_LIMIT || err->code == ERROR_CORRUPT || err->code == ERROR_CONFLICT ||
           err->code == ERROR_MISMATCH;
}

bool amend_study(struct archive *archive, const char *study, bool (*cancelled)(void *context),
                 void *context, uint64_t *amended, uint64_t *left, struct error *err)
{
    struct listing *listing = NULL;
    const struct listing_entry *entry = NULL;
    struct identity place;
    *amended = *left = 0;
    bool ok = listing_open(archive, RECORD_INSTANCE, study, NULL, &listing, err);
    while (ok && (ok = listing_next(listing, &entry, err)) && entry) {
        struct error reason = { 0 };
        bool done;
        if (cancelled && cancelled(context)) {
            ok = error_set(err, ERROR_STOPPED, "stopped");
        } else if (!listing_place(entry, &place, err)) {
            ok = false;
        } else if (amend_instance(archive, &place, &done, &reason)) {
            *amended += done;
        } else if (is_of_the_instance(&reason)) {
            log_warn("patients: instance=%s keeps what it says of its patient: %s", place.instance,
                     reason.message);
            ++*left;
        } else {
            *err = reason;
            ok = false;
        }
    }
    listing_close(listing);
    metric_add(METRIC_INSTANCES_AMENDED, (int64_t)*amended);
    return ok;
}
