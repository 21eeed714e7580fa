/* SPDX-License-Identifier: MIT */
/* What is known of patients, brought into the instances that say otherwise. */
#include <stdlib.h>

#include "archive/attributes.h"
#include "archive/coerce.h"
#include "archive/document.h"
#include "archive/ingest.h"
#include "archive/instance.h"
#include "archive/listing.h"
#include "archive/prepare.h"
#include "archive/registration_records.h"
#include "archive/retrieve.h"
#include "archive/versions.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dicom/charset_write.h"
#include "dicom/coerce.h"
#include "dicom/fold.h"

enum { PIECE_SIZE = 256 << 10, AMENDED_MAX = 7, VALUE_SIZE = 4 * PATIENT_TEXT_SIZE };

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
    bool same = tag == TAG_PATIENT_NAME && wanted.size ? is_same_name(stored, wanted)
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

/* What is told of patients, in the order of their tags. */
enum { NAME, ID, ISSUER, BIRTH_DATE, SEX, ATTRIBUTES };
static const struct {
    uint32_t tag;
    uint16_t vr;
} attributes[ATTRIBUTES] = {
    [NAME] = { TAG_PATIENT_NAME, VR_PN },
    [ID] = { TAG_PATIENT_ID, VR_LO },
    [ISSUER] = { TAG_ISSUER_OF_PATIENT_ID, VR_LO },
    [BIRTH_DATE] = { TAG_PATIENT_BIRTH_DATE, VR_DA },
    [SEX] = { TAG_PATIENT_SEX, VR_CS },
};

/* What a header says of its patient. */
struct said {
    struct buffer texts[ATTRIBUTES];
    struct patient_identifier patient;
    struct slice qualifiers; /* items of what qualifies the issuer, as they stand in the header */
};

static struct slice qualifiers_of(const struct dataset *header)
{
    enum { DELIMITER = 8 };
    struct element element;
    size_t behind;
    if (!dataset_find(header, TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, &element) ||
        element.implicit == dataset_syntax(header)->explicit_vr)
        return slice_of(NULL, 0);
    behind = element.undefined_length ? DELIMITER : 0;
    return element.value.size > behind ? slice_take(element.value, element.value.size - behind)
                                       : slice_of(NULL, 0);
}

static void said_of(const struct dataset *header, struct said *said)
{
    for (int i = 0; i < ATTRIBUTES; i++) {
        said->texts[i] = buffer_up_to(SUMMARY_SIZE);
        dataset_text(header, attributes[i].tag, &said->texts[i]);
    }
    said->patient = (struct patient_identifier){ fold_trim(buffer_slice(&said->texts[ID])),
                                                 fold_trim(buffer_slice(&said->texts[ISSUER])) };
    said->qualifiers = qualifiers_of(header);
}

static void said_release(struct said *said)
{
    for (int i = 0; i < ATTRIBUTES; i++)
        buffer_release(&said->texts[i]);
}

/* What an instance is to say; what is not wanted it says as it does. */
struct wanted {
    struct slice values[ATTRIBUTES];
    bool is_wanted[ATTRIBUTES];
    struct slice qualifiers; /* of the issuer, when that is another one than the header's */
};

static void want(struct wanted *wanted, int attribute, struct slice value)
{
    wanted->values[attribute] = value;
    wanted->is_wanted[attribute] = true;
}

/* False when one of the texts cannot be said in the instance's character set. */
static bool compare(struct amendment *amendment, const struct dataset *header,
                    const struct wanted *wanted)
{
    static const uint32_t qualifiers = TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE;
    bool ok = true;
    for (int i = 0; ok && i < ATTRIBUTES; i++)
        if (wanted->is_wanted[i] && differs(header, attributes[i].tag, wanted->values[i])) {
            ok = add_text(amendment, attributes[i].tag, attributes[i].vr, wanted->values[i]);
            /* What qualifies the old issuer says nothing of the new one. */
            if (i == ISSUER && (dataset_item_count(header, qualifiers) || wanted->qualifiers.size))
                add(amendment, qualifiers, VR_SQ, false, wanted->qualifiers);
        }
    return ok;
}

static bool build(struct amendment *amendment, const struct dataset *header,
                  const struct wanted *wanted, struct error *err)
{
    dataset_text(header, TAG_SPECIFIC_CHARACTER_SET, &amendment->charset);
    if (compare(amendment, header, wanted))
        return true;
    if (!is_ascii(header))
        return error_set(err, ERROR_UNSUPPORTED,
                         "its character set does not have the letters of its patient");
    amendment_release(amendment);
    *amendment = amendment_init();
    add(amendment, TAG_SPECIFIC_CHARACTER_SET, VR_CS, true, slice_text("ISO_IR 192"));
    buffer_append_text(&amendment->charset, "ISO_IR 192");
    return compare(amendment, header, wanted) ||
           error_set(err, ERROR_INVALID, "what is known of its patient is no text");
}

/* Who has an ID now. */
struct holder {
    struct patient_state state; /* the end of the chain of merges */
    bool is_known;
    bool is_merged;
    bool has_issuer; /* an instance without one gets one only when it comes to another one's */
};

static bool find_holder(struct archive *archive, const struct patient_identifier *patient,
                        struct holder *holder, struct error *err)
{
    struct buffer issuer = buffer_up_to(PATIENT_TEXT_SIZE);
    *holder = (struct holder){ .state = patient_state_init() };
    bool ok = patient_state_find(archive, NULL, patient, &holder->state, &holder->is_known, err);
    if (ok && holder->is_known) {
        buffer_append(&issuer, buffer_slice(&holder->state.issuer));
        ok = patient_state_follow(archive, NULL, &holder->state, &holder->is_merged, err);
        holder->has_issuer = patient->issuer.size ||
                             !slice_equal(buffer_slice(&issuer),
                                          buffer_slice(&holder->state.issuer));
    }
    buffer_release(&issuer);
    return ok;
}

static void want_told(const struct patient_state *state, struct wanted *wanted)
{
    const struct buffer *told[ATTRIBUTES] = {
        [NAME] = &state->name, [BIRTH_DATE] = &state->birth_date, [SEX] = &state->sex
    };
    for (int i = 0; i < ATTRIBUTES; i++)
        if (told[i] && told[i]->size)
            want(wanted, i, buffer_slice(told[i]));
}

/* Of the patient that the header names. */
static bool amend_by_header(struct archive *archive, const struct dataset *header,
                            const struct said *said, struct amendment *amendment, struct error *err)
{
    struct wanted wanted = { 0 };
    struct holder holder;
    bool ok = find_holder(archive, &said->patient, &holder, err);
    if (ok && holder.is_known) {
        want_told(&holder.state, &wanted);
        if (holder.is_merged)
            want(&wanted, ID, buffer_slice(&holder.state.id));
        if (holder.is_merged && holder.has_issuer)
            want(&wanted, ISSUER, buffer_slice(&holder.state.issuer));
        ok = build(amendment, header, &wanted, err);
    }
    patient_state_release(&holder.state);
    return ok;
}

/* Of the patient that it was received of, when that is another one now: a merge was taken back.
 * What is not told of that one is what was received. *is_back false: it is who it says. */
static bool amend_by_received(struct archive *archive, const struct dataset *header,
                              const struct said *said, const struct said *received,
                              struct amendment *amendment, bool *is_back, struct error *err)
{
    struct wanted wanted = { 0 };
    struct holder holder;
    *is_back = false;
    bool ok = find_holder(archive, &received->patient, &holder, err);
    /* Of one whose merge is not known any more, as in an index made anew without the old one,
     * nothing says that it was taken back. */
    if (ok && holder.is_known && (holder.is_merged || holder.state.merged_at_ms)) {
        struct slice id = buffer_slice(&holder.state.id);
        struct slice issuer = holder.is_merged && holder.has_issuer
                                  ? buffer_slice(&holder.state.issuer)
                                  : received->patient.issuer;
        *is_back = !slice_equal(id, said->patient.id) || !slice_equal(issuer, said->patient.issuer);
        for (int i = 0; i < ATTRIBUTES; i++)
            want(&wanted, i, fold_trim(buffer_slice(&received->texts[i])));
        want_told(&holder.state, &wanted);
        want(&wanted, ID, id);
        want(&wanted, ISSUER, issuer);
        if (slice_equal(issuer, received->patient.issuer))
            wanted.qualifiers = received->qualifiers;
        ok = !*is_back || build(amendment, header, &wanted, err);
    }
    patient_state_release(&holder.state);
    return ok;
}

/* The header of what an amended instance was made of. *found false: it was not kept. */
static bool read_received(struct archive *archive, const struct identity *place,
                          struct prepared *received, bool *found, struct error *err)
{
    struct instance_record record;
    struct blob *blob = NULL;
    uint8_t *piece = NULL;
    instance_record_init(&record);
    bool ok = version_last(archive, place, &record, found, err);
    if (ok && *found) {
        piece = mem_resize(NULL, PREPARE_PIECE_SIZE);
        ok = blob_open(archive->storage, &record.blob, &blob, err) &&
             prepare_from_blob(received, blob, &record.blob,
                               (struct space){ piece, PREPARE_PIECE_SIZE }, err);
    }
    blob_close(blob);
    free(piece);
    instance_record_release(&record);
    return ok;
}

static bool amend_back(struct archive *archive, struct instance *instance,
                       const struct dataset *header, const struct said *said,
                       struct amendment *amendment, bool *is_back, struct error *err)
{
    struct prepared received;
    struct said first;
    bool found;
    *is_back = false;
    prepared_init(&received);
    bool ok = read_received(archive, instance_identity(instance), &received, &found, err);
    if (ok && found) {
        said_of(received.header, &first);
        ok = amend_by_received(archive, header, said, &first, amendment, is_back, err);
        said_release(&first);
    }
    prepared_release(&received);
    return ok;
}

/* What is known of its patient, in the values of an instance. */
static bool find_amendment(struct archive *archive, struct instance *instance,
                           const struct dataset *header, bool looks_back,
                           struct amendment *amendment, struct error *err)
{
    struct said said;
    bool is_back = false;
    said_of(header, &said);
    bool ok = !looks_back || !instance_is_amended(instance) ||
              amend_back(archive, instance, header, &said, amendment, &is_back, err);
    ok = ok && (is_back || amend_by_header(archive, header, &said, amendment, err));
    said_release(&said);
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

static bool amend_instance(struct archive *archive, const struct identity *place, bool looks_back,
                           bool *amended, struct error *err)
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
              find_amendment(archive, instance, header, looks_back, &amendment, err);
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

bool amend_may_go_on(struct archive *archive, const struct error *why)
{
    struct storage_figures figures;
    storage_figures(archive->storage, &figures);
    return why->code != ERROR_STOPPED && why->code != ERROR_NO_SPACE && !figures.failed;
}

bool amend_study(struct archive *archive, const char *study, bool looks_back,
                 bool (*cancelled)(void *context), void *context, uint64_t *amended, uint64_t *left,
                 struct error *err)
{
    struct listing *listing = NULL;
    const struct listing_entry *entry = NULL;
    struct identity place;
    struct error kept = { .code = ERROR_NONE };
    *amended = *left = 0;
    bool ok = listing_open(archive, RECORD_INSTANCE, study, NULL, &listing, err);
    while (ok && (ok = listing_next(listing, &entry, err)) && entry) {
        struct error reason = { 0 };
        bool done;
        if (cancelled && cancelled(context)) {
            ok = error_set(err, ERROR_STOPPED, "stopped");
        } else if (!listing_place(entry, &place, err)) {
            ok = false;
        } else if (amend_instance(archive, &place, looks_back, &done, &reason)) {
            *amended += done;
        } else if (is_of_the_instance(&reason)) {
            log_warn("patients: instance=%s keeps what it says of its patient: %s", place.instance,
                     reason.message);
            ++*left;
        } else {
            kept = reason;
            if (!amend_may_go_on(archive, &reason))
                break;
        }
    }
    listing_close(listing);
    metric_add(METRIC_INSTANCES_AMENDED, (int64_t)*amended);
    return ok && (kept.code == ERROR_NONE || error_set(err, kept.code, "%s", kept.message));
}
