/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/ingest.h"
#include "archive/query.h"
#include "archive/registration.h"
#include "base/digest.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/uid.h"
#include "hl7/perform.h"

enum {
    REPORT_LIMIT = 96 << 20,
    ENCAPSULATED_DOCUMENT = 0x00420011,
    MIME_TYPE = 0x00420012,
    DOCUMENT_LENGTH = 0x00420015,
};

static enum hl7_effect effect_of(enum registration_outcome outcome)
{
    return outcome == REGISTRATION_CHANGED ? HL7_CHANGED
           : outcome == REGISTRATION_STALE ? HL7_STALE
                                           : HL7_REPEATED;
}

bool hl7_tell_archive(struct archive *archive, const struct hl7_plan *plan,
                      const struct hl7_action *action, bool *is_strange, enum hl7_effect *effect,
                      struct error *err)
{
    const struct hl7_person *told = &action->person;
    bool is_merge = action->kind == HL7_DO_MERGE;
    const struct hl7_person *patient = is_merge ? &action->gone : told;
    struct registration_change change = {
        .patient = { slice_text(patient->id), slice_text(patient->issuer) },
        .told = { draft_get(&action->patient, draft_at(TAG_PATIENT_NAME)),
                  draft_get(&action->patient, draft_at(TAG_PATIENT_BIRTH_DATE)),
                  draft_get(&action->patient, draft_at(TAG_PATIENT_SEX)) },
        .at_ms = plan->message_us / 1000,
    };
    enum registration_outcome outcome;
    if (is_merge)
        change.survivor = (struct patient_identifier){ slice_text(told->id),
                                                       slice_text(told->issuer) };
    if (!registration_take(archive, &change, &outcome, err))
        return false;
    *effect = effect_of(outcome);
    return registration_is_strange(archive, &change.patient, is_strange, err);
}

bool hl7_separate_in_archive(struct archive *archive, const struct hl7_plan *plan,
                             const struct hl7_action *action, enum hl7_effect *effect,
                             struct error *err)
{
    const struct hl7_person *persons[] = { &action->person, &action->gone };
    bool ok = true;
    for (size_t i = 0; ok && i < 2; i++) {
        const struct patient_identifier patient = { slice_text(persons[i]->id),
                                                    slice_text(persons[i]->issuer) };
        enum registration_outcome outcome;
        ok = registration_separate(archive, &patient, plan->message_us / 1000, &outcome, err);
        *effect = hl7_effect_of(i ? *effect : HL7_REPEATED, effect_of(outcome));
    }
    return ok;
}

/* Reports. */

/* What the archive has of the study that a key names: its UID, and what the report must agree with.
 */
struct home {
    char study_uid[UID_SIZE];
    bool is_stored;
    struct draft attributes; /* of the study level, and the patient's IDs */
};

static const uint32_t shared[] = { TAG_STUDY_DATE,           TAG_STUDY_TIME,
                                   TAG_ACCESSION_NUMBER,     TAG_REFERRING_PHYSICIAN_NAME,
                                   TAG_STUDY_DESCRIPTION,    TAG_PATIENT_ID,
                                   TAG_ISSUER_OF_PATIENT_ID, TAG_STUDY_ID };
enum { SHARED = sizeof(shared) / sizeof(shared[0]) };

static bool look_up(struct archive *archive, uint32_t tag, struct slice value, struct home *home,
                    struct error *err)
{
    const struct dataset *match = NULL;
    struct query *query = query_new(archive, LEVEL_STUDY);
    bool ok = query_add_key(query, &tag, 1, value, err);
    for (size_t i = 0; ok && i < SHARED; i++)
        ok = query_add_return(query, shared[i], err);
    if (!ok || !query_next(query, &match, err)) {
        query_close(query);
        return false;
    }
    if (match && dataset_uid(match, TAG_STUDY_INSTANCE_UID, home->study_uid)) {
        home->is_stored = true;
        for (size_t i = 0; i < SHARED; i++) {
            struct buffer text = buffer_up_to(64 << 10);
            if (dataset_text(match, shared[i], &text))
                draft_set(&home->attributes, draft_at(shared[i]), buffer_slice(&text));
            buffer_release(&text);
        }
    }
    query_close(query);
    return true;
}

/* A number with signs that mean something in a key names no study. */
static bool is_plain(struct slice number)
{
    return number.size && !memchr(number.data, '*', number.size) &&
           !memchr(number.data, '?', number.size) && !memchr(number.data, '\\', number.size) &&
           !memchr(number.data, '"', number.size);
}

/* The message names the study, or an order of the worklist does, or the accession number among what
 * is stored. */
static bool find_home(struct archive *archive, struct worklist *worklist,
                      const struct hl7_action *action, struct home *home, struct error *err)
{
    const struct draft *report = &action->steps[0];
    struct slice accession = draft_get(report, draft_at(TAG_ACCESSION_NUMBER));
    struct slice named = draft_get(report, draft_at(TAG_STUDY_INSTANCE_UID));
    home->attributes = draft_init();
    if (!uid_copy(named, home->study_uid)) {
        home->study_uid[0] = 0;
        if (!hl7_find_ordered_study(worklist, action, accession, home->study_uid, err))
            return false;
    }
    if (home->study_uid[0] &&
        !look_up(archive, TAG_STUDY_INSTANCE_UID, slice_text(home->study_uid), home, err))
        return false;
    if (!home->is_stored && is_plain(accession) &&
        !look_up(archive, TAG_ACCESSION_NUMBER, accession, home, err))
        return false;
    return home->study_uid[0] ||
           error_set(err, ERROR_NOT_FOUND, "no order and no study has these numbers");
}

/* Who has this ID now. */
static bool resolve(struct archive *archive, struct slice *id, struct slice *issuer,
                    struct buffer storage[2], struct error *err)
{
    const struct patient_identifier patient = { *id, *issuer };
    bool is_merged = false;
    if (!registration_survivor(archive, &patient, &storage[0], &storage[1], &is_merged, err))
        return false;
    if (is_merged) {
        *id = buffer_slice(&storage[0]);
        *issuer = buffer_slice(&storage[1]);
    }
    return true;
}

/* A report that comes to the wrong patient's images is worse than one that does not come. */
static bool check_patient(struct archive *archive, const struct hl7_action *action,
                          const struct home *home, struct error *err)
{
    struct slice id[2] = { slice_text(action->person.id),
                           draft_get(&home->attributes, draft_at(TAG_PATIENT_ID)) };
    struct slice issuer[2] = { slice_text(action->person.issuer),
                               draft_get(&home->attributes, draft_at(TAG_ISSUER_OF_PATIENT_ID)) };
    struct buffer storage[2][2];
    bool ok = true;
    for (size_t i = 0; i < 4; i++)
        storage[i / 2][i % 2] = buffer_up_to(PATIENT_TEXT_SIZE);
    for (size_t i = 0; ok && i < 2; i++)
        ok = !id[i].size || resolve(archive, &id[i], &issuer[i], storage[i], err);
    if (ok && home->is_stored && id[1].size &&
        (!slice_equal(id[0], id[1]) ||
         (issuer[0].size && issuer[1].size && !slice_equal(issuer[0], issuer[1]))))
        ok = error_set_tag(err, ERROR_MISMATCH, TAG_PATIENT_ID,
                           "the study of the report is another patient's");
    for (size_t i = 0; i < 4; i++)
        buffer_release(&storage[i / 2][i % 2]);
    return ok;
}

/* UIDs that come of what is reported: the same report is the same instance. */
static void make_uids(const struct hl7_message *message, const struct hl7_action *action,
                      const struct home *home, struct draft *report)
{
    struct buffer seed = buffer_up_to(message->text.size + 2 * UID_SIZE + DIGEST_SIZE);
    uint8_t digest[DIGEST_SIZE];
    char uid[UID_SIZE];
    buffer_append_text(&seed, home->study_uid);
    buffer_append_text(&seed, action->sop_class);
    digest_sha256(buffer_slice(&seed), digest);
    uid_make_of(digest, uid);
    draft_set_text(report, draft_at(TAG_SERIES_INSTANCE_UID), uid);
    const struct hl7_segment *segment = hl7_find(message, "OBR", NULL);
    while (segment && segment->sequence != action->sequence)
        segment = hl7_find(message, "OBR", segment);
    const struct hl7_segment *end = message->segments + message->count;
    for (const struct hl7_segment *next = segment; next && next < end; next++) {
        if (next > segment && hl7_is_segment(next, "OBR"))
            break;
        buffer_append(&seed, next->bytes);
    }
    if (action->document.size) { /* one of several in a message, which may begin alike */
        digest_sha256(action->document, digest);
        buffer_append(&seed, slice_of(digest, DIGEST_SIZE));
    }
    digest_sha256(buffer_slice(&seed), digest);
    uid_make_of(digest, uid);
    draft_set_text(report, draft_at(TAG_SOP_INSTANCE_UID), uid);
    draft_set_text(report, draft_at(TAG_STUDY_INSTANCE_UID), home->study_uid);
    buffer_release(&seed);
}

static int base64_digit(uint8_t byte)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = byte ? strchr(digits, byte) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Line ends within it do not count (RFC 2045 6.8). */
static bool decode_base64(struct slice text, struct buffer *bytes, struct error *err)
{
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < text.size; i++) {
        int digit = base64_digit(text.data[i]);
        if (text.data[i] == '=')
            break;
        if (digit < 0 && (text.data[i] == '\n' || text.data[i] == '\r' || text.data[i] == ' '))
            continue;
        if (digit < 0)
            return error_set(err, ERROR_INVALID, "OBX-5: the document is not in base64");
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            buffer_append_byte(bytes, (uint8_t)(bits >> count));
        }
    }
    if (bytes->size < 5 || memcmp(bytes->data, "%PDF-", 5) != 0)
        return error_set(err, ERROR_INVALID, "OBX-5: the document is no PDF");
    return buffer_check(bytes, "the document", err);
}

static bool append_document(const struct hl7_message *message, const struct hl7_action *action,
                            struct buffer *dataset, struct error *err)
{
    struct encoder encoder = { .out = dataset, .explicit_vr = true };
    struct buffer text = buffer_up_to(REPORT_LIMIT);
    struct buffer bytes = buffer_up_to(REPORT_LIMIT);
    hl7_unescape(message, action->document, &text);
    bool ok = decode_base64(buffer_slice(&text), &bytes, err);
    if (ok) {
        encode_bytes(&encoder, ENCAPSULATED_DOCUMENT, VR_OB, buffer_slice(&bytes));
        encode_text(&encoder, MIME_TYPE, VR_LO, "application/pdf");
        encode_u32(&encoder, DOCUMENT_LENGTH, (uint32_t)bytes.size);
    }
    buffer_release(&text);
    buffer_release(&bytes);
    return ok;
}

static bool ingest(struct archive *archive, const struct draft *report, struct slice dataset,
                   enum hl7_effect *effect, struct error *err)
{
    char sop_class[UID_SIZE] = "";
    char sop_instance[UID_SIZE] = "";
    uid_copy(draft_get(report, draft_at(TAG_SOP_CLASS_UID)), sop_class);
    uid_copy(draft_get(report, draft_at(TAG_SOP_INSTANCE_UID)), sop_instance);
    const struct ingest_options options = { .transfer_syntax = UID_EXPLICIT_LITTLE_ENDIAN,
                                            .sop_class = sop_class,
                                            .sop_instance = sop_instance };
    struct ingest *ingest = NULL;
    enum ingest_outcome outcome;
    bool ok = ingest_open(archive, &options, &ingest, err) && ingest_write(ingest, dataset, err) &&
              ingest_commit(ingest, &outcome, err);
    /* It has the UID of what it says: it is here, be it that the patient has another name since. */
    *effect = ok && outcome != INGEST_DUPLICATE ? HL7_CHANGED : HL7_REPEATED;
    if (!ok && err->code == ERROR_CONFLICT)
        ok = true;
    ingest_close(ingest);
    return ok;
}

/* The study's own attributes are not changed by what is added to it. */
static void agree(struct draft *report, const struct home *home)
{
    for (size_t i = 0; home->is_stored && i < SHARED; i++)
        if (shared[i] != TAG_PATIENT_ID && shared[i] != TAG_ISSUER_OF_PATIENT_ID)
            draft_set(report, draft_at(shared[i]),
                      draft_get(&home->attributes, draft_at(shared[i])));
}

bool hl7_store_report(struct archive *archive, struct worklist *worklist,
                      const struct hl7_message *message, const struct hl7_action *action,
                      enum hl7_effect *effect, struct error *err)
{
    struct home home = { .is_stored = false };
    struct draft report = draft_init();
    struct buffer dataset = buffer_up_to(REPORT_LIMIT);
    bool ok = find_home(archive, worklist, action, &home, err) &&
              check_patient(archive, action, &home, err);
    if (!ok)
        goto out;
    draft_merge(&report, &action->steps[0]);
    agree(&report, &home);
    make_uids(message, action, &home, &report);
    ok = draft_encode(&report, &dataset) || error_set(err, ERROR_LIMIT, "the report is too long");
    ok = ok && (!action->document.size || append_document(message, action, &dataset, err)) &&
         buffer_check(&dataset, "the report", err) &&
         ingest(archive, &report, buffer_slice(&dataset), effect, err);
out:
    draft_release(&report);
    draft_release(&home.attributes);
    buffer_release(&dataset);
    return ok;
}
