/* SPDX-License-Identifier: MIT */
#include "tests/archive/fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/lookup.h"
#include "archive/verify.h"
#include "dicom/encode.h"

void fixture_open_with(struct fixture *fixture, bool index_in_memory,
                       const struct archive_options *options)
{
    struct error err = { 0 };
    memset(fixture, 0, sizeof(*fixture));
    snprintf(fixture->folder, sizeof(fixture->folder), "%s", test_folder());
    fixture->index_in_memory = index_in_memory;
    struct storage_options storage = { .path = fixture->folder,
                                       .segment_size = 64 << 20,
                                       .index_in_memory = index_in_memory };
    CHECK_OK(storage_open(&storage, &fixture->storage, &err), err);
    CHECK_OK(archive_open(fixture->storage, options, &fixture->archive, &err), err);
}

void fixture_open(struct fixture *fixture, bool index_in_memory)
{
    struct archive_options options = { .ae_title = "TESTARCHIVE", .minimum_free_bytes = 1 };
    fixture_open_with(fixture, index_in_memory, &options);
}

void fixture_reopen(struct fixture *fixture)
{
    struct error err = { 0 };
    struct archive_options options = { .ae_title = "TESTARCHIVE", .minimum_free_bytes = 1 };
    struct storage_options storage = { .path = fixture->folder, .segment_size = 64 << 20 };
    archive_close(fixture->archive);
    storage_close(fixture->storage);
    CHECK_OK(storage_open(&storage, &fixture->storage, &err), err);
    CHECK_OK(archive_open(fixture->storage, &options, &fixture->archive, &err), err);
}

void fixture_close(struct fixture *fixture)
{
    archive_close(fixture->archive);
    storage_close(fixture->storage);
}

struct blob_id fixture_blob_of(struct fixture *fixture, const char *study, const char *series,
                               const char *instance)
{
    struct error err = { 0 };
    struct instance_record record;
    struct identity identity = { .study = "" };
    bool found;
    snprintf(identity.study, UID_SIZE, "%s", study);
    snprintf(identity.series, UID_SIZE, "%s", series);
    snprintf(identity.instance, UID_SIZE, "%s", instance);
    instance_record_init(&record);
    CHECK_OK(lookup_instance(fixture->archive, &identity, &record, &found, &err), err);
    CHECK(found);
    struct blob_id id = record.blob;
    instance_record_release(&record);
    return id;
}

uint64_t fixture_findings(struct fixture *fixture)
{
    struct error err = { 0 };
    struct verify_report report;
    uint64_t all = 0;
    CHECK_OK(archive_verify(fixture->archive, &(struct verify_options){ 0 }, NULL, &report, &err),
             err);
    for (int i = 0; i < VERIFY_KIND_COUNT; i++)
        all += report.findings[i];
    return all + report.leftovers;
}

void fixture_flip(struct fixture *fixture, uint32_t segment, uint64_t offset)
{
    char path[256];
    uint8_t byte;
    snprintf(path, sizeof(path), "%s/segments/%010u.seg", fixture->folder, segment);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    CHECK(pread(fd, &byte, 1, (off_t)offset) == 1);
    byte ^= 0x40;
    CHECK(pwrite(fd, &byte, 1, (off_t)offset) == 1);
    close(fd);
}

static void put(struct encoder *encoder, uint32_t tag, uint16_t vr, const char *value)
{
    if (value)
        encode_text(encoder, tag, vr, value);
}

static void put_requests(struct encoder *encoder, const struct object *object)
{
    struct slice steps = slice_text(object->step_id);
    struct slice procedures = slice_text(object->procedure_id);
    if (!object->step_id)
        return;
    encode_sequence_begin(encoder, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    while (steps.size) {
        const uint8_t *step_end = memchr(steps.data, '\\', steps.size);
        const uint8_t *procedure_end = procedures.size
                                           ? memchr(procedures.data, '\\', procedures.size)
                                           : NULL;
        struct slice step = step_end ? slice_take(steps, (size_t)(step_end - steps.data)) : steps;
        struct slice procedure = procedure_end
                                     ? slice_take(procedures,
                                                  (size_t)(procedure_end - procedures.data))
                                     : procedures;
        encode_item_begin(encoder);
        encode_bytes(encoder, TAG_SCHEDULED_PROCEDURE_STEP_ID, VR_SH, step);
        encode_bytes(encoder, TAG_REQUESTED_PROCEDURE_ID, VR_SH, procedure);
        encode_item_end(encoder);
        steps = slice_skip(steps, step.size + 1);
        procedures = slice_skip(procedures, procedure.size + 1);
    }
    encode_sequence_end(encoder);
}

void object_encode(const struct object *object, struct buffer *out)
{
    struct encoder encoder = { out, true };
    const char *sop_class = object->sop_class ? object->sop_class : CT_IMAGE_STORAGE;
    put(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, object->charset);
    put(&encoder, TAG_SOP_CLASS_UID, VR_UI, sop_class);
    put(&encoder, TAG_SOP_INSTANCE_UID, VR_UI, object->instance);
    put(&encoder, TAG_STUDY_DATE, VR_DA, object->study_date);
    put(&encoder, TAG_STUDY_TIME, VR_TM, object->study_time);
    put(&encoder, TAG_ACCESSION_NUMBER, VR_SH, object->accession);
    put(&encoder, TAG_MODALITY, VR_CS, object->modality);
    put(&encoder, TAG_REFERRING_PHYSICIAN_NAME, VR_PN, object->referring);
    put(&encoder, TAG_STUDY_DESCRIPTION, VR_LO, object->description);
    put(&encoder, 0x00090010, VR_LO, "HOUNSFIELD TEST");
    put(&encoder, 0x00091001, VR_LO, "PRIVATE VALUE");
    put(&encoder, TAG_PATIENT_NAME, VR_PN, object->patient_name);
    put(&encoder, TAG_PATIENT_ID, VR_LO, object->patient_id);
    put(&encoder, TAG_ISSUER_OF_PATIENT_ID, VR_LO, object->issuer);
    if (object->issuer_entity) {
        encode_sequence_begin(&encoder, TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE);
        encode_item_begin(&encoder);
        put(&encoder, 0x00400032, VR_UT, object->issuer_entity);
        put(&encoder, 0x00400033, VR_CS, "ISO");
        encode_item_end(&encoder);
        encode_sequence_end(&encoder);
    }
    put(&encoder, 0x00189004, VR_CS, "PRODUCT"); /* Content Qualification: not in a summary */
    put(&encoder, TAG_STUDY_INSTANCE_UID, VR_UI, object->study);
    put(&encoder, TAG_SERIES_INSTANCE_UID, VR_UI, object->series);
    put(&encoder, TAG_STUDY_ID, VR_SH, object->study_id);
    put(&encoder, TAG_SERIES_NUMBER, VR_IS, object->series_number);
    put(&encoder, TAG_INSTANCE_NUMBER, VR_IS, object->instance_number);
    put_requests(&encoder, object);
    if (object->pixels) {
        struct buffer pixels = buffer_up_to(object->pixels);
        struct space space = buffer_reserve(&pixels, object->pixels);
        memset(space.data, object->fill, space.size);
        buffer_advance(&pixels, space.size);
        encode_bytes(&encoder, TAG_PIXEL_DATA, VR_OW, buffer_slice(&pixels));
        buffer_release(&pixels);
    }
}

bool bytes_store(struct archive *archive, struct slice dataset, const char *sop_class,
                 const char *instance, enum ingest_outcome *outcome, struct error *err)
{
    struct ingest *ingest = NULL;
    struct ingest_options options = { .transfer_syntax = UID_EXPLICIT_LITTLE_ENDIAN,
                                      .sop_class = sop_class,
                                      .sop_instance = instance,
                                      .source_ae = "MODALITY" };
    bool ok = ingest_open(archive, &options, &ingest, err) && ingest_write(ingest, dataset, err) &&
              ingest_commit(ingest, outcome, err);
    ingest_close(ingest);
    return ok;
}

bool object_store(struct archive *archive, const struct object *object,
                  enum ingest_outcome *outcome, struct error *err)
{
    struct buffer dataset = buffer_up_to(256 << 20);
    object_encode(object, &dataset);
    const char *sop_class = object->sop_class ? object->sop_class : CT_IMAGE_STORAGE;
    bool ok = bytes_store(archive, buffer_slice(&dataset), sop_class, object->instance, outcome,
                          err);
    buffer_release(&dataset);
    return ok;
}

void store(struct fixture *fixture, const struct object *object)
{
    struct error err = { 0 };
    enum ingest_outcome outcome;
    CHECK_OK(object_store(fixture->archive, object, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_STORED);
}

void query_key(struct query *query, uint32_t tag, const char *value)
{
    struct error err = { 0 };
    CHECK_OK(query_add_key(query, &tag, 1, slice_text(value), &err), err);
}

struct query *query_by(struct fixture *fixture, enum level level, uint32_t tag, const char *value)
{
    struct query *query = query_new(fixture->archive, level);
    query_key(query, tag, value);
    return query;
}

const char *query_list(struct query *query, uint32_t tag)
{
    static char list[1 << 16];
    struct error err = { 0 };
    const struct dataset *match;
    size_t size = 0;
    list[0] = '\0';
    for (;;) {
        struct buffer text = buffer_up_to(4096);
        CHECK_OK(query_next(query, &match, &err), err);
        if (!match)
            break;
        dataset_text(match, tag, &text);
        size += (size_t)snprintf(list + size, sizeof(list) - size, "%s%s", size ? "," : "",
                                 buffer_text(&text));
        CHECK(size < sizeof(list));
        buffer_release(&text);
    }
    query_close(query);
    return list;
}

const char *counts_text(struct fixture *fixture)
{
    static char text[100];
    struct archive_counts counts;
    struct error err = { 0 };
    CHECK_OK(archive_count(fixture->archive, &counts, &err), err);
    snprintf(text, sizeof(text), "%d %d %d %d", (int)counts.patients, (int)counts.studies,
             (int)counts.series, (int)counts.instances);
    return text;
}
