/* SPDX-License-Identifier: MIT */
#include "archive/prepare.h"

#include "archive/document.h"
#include "dicom/frames.h"
#include "dicom/part10.h"
#include "storage/crc32c.h"

enum { OFFSET_TABLE_SIZE = 64 << 20 }; /* a larger Extended Offset Table is not believed */

void prepared_init(struct prepared *prepared)
{
    memset(prepared, 0, sizeof(*prepared));
    instance_record_init(&prepared->record);
    prepared->study_summary = summary_init();
    prepared->series_summary = summary_init();
    prepared->document = buffer_up_to(DOCUMENT_SIZE);
    prepared->frames = buffer_up_to(DOCUMENT_SIZE);
}

void prepared_release(struct prepared *prepared)
{
    dataset_close(prepared->header);
    scan_free(prepared->scan);
    instance_record_release(&prepared->record);
    summary_release(&prepared->study_summary);
    summary_release(&prepared->series_summary);
    buffer_release(&prepared->document);
    buffer_release(&prepared->frames);
}

bool prepare_header(struct prepared *prepared, struct scan *scan, struct error *err)
{
    size_t count;
    const char *syntax = prepared->record.transfer_syntax;
    if (!scan_finish(scan, err))
        return false;
    const struct elision *elisions = scan_elisions(scan, &count);
    if (!dataset_open(scan_header(scan), transfer_syntax_or_private(slice_text(syntax)), elisions,
                      count, &prepared->header, err))
        return false;
    document_encode(syntax, scan_header(scan), elisions, count, &prepared->document);
    return buffer_check(&prepared->document, "header", err);
}

static bool take_identifier(const struct dataset *header, uint32_t tag, char uid[UID_SIZE],
                            struct error *err)
{
    struct element element;
    struct buffer text = buffer_up_to(4096);
    bool has_value = dataset_find(header, tag, &element) && dataset_text(header, tag, &text);
    bool ok;
    if (!has_value)
        ok = error_set_tag(err, ERROR_MISMATCH, tag, "(%04X,%04X) is missing or empty", tag >> 16,
                           tag & 0xFFFF);
    else if (!uid_copy(buffer_slice(&text), uid))
        ok = error_set_tag(err, ERROR_INVALID, tag, "(%04X,%04X) is no UID", tag >> 16,
                           tag & 0xFFFF);
    else
        ok = true;
    buffer_release(&text);
    return ok;
}

bool prepare_identity(struct prepared *prepared, struct error *err)
{
    struct identity found = { 0 };
    if (!take_identifier(prepared->header, TAG_SOP_CLASS_UID, found.sop_class, err) ||
        !take_identifier(prepared->header, TAG_SOP_INSTANCE_UID, found.instance, err) ||
        !take_identifier(prepared->header, TAG_STUDY_INSTANCE_UID, found.study, err) ||
        !take_identifier(prepared->header, TAG_SERIES_INSTANCE_UID, found.series, err))
        return false;
    prepared->identity = found;
    return true;
}

/* The value of an offset table: it is too long for the header as a rule. */
static bool read_table(const struct prepared *prepared, uint32_t tag, struct buffer *value,
                       struct error *err)
{
    struct element element;
    if (!dataset_find(prepared->header, tag, &element) || element.size > OFFSET_TABLE_SIZE)
        return true;
    if (!element.elided) {
        buffer_append(value, element.value);
        return true;
    }
    struct space space = buffer_reserve(value, (size_t)element.size);
    if (!content_read(&prepared->content, element.offset, space, err))
        return false;
    buffer_advance(value, space.size);
    return true;
}

/* The offsets of a deflated data set are none of the stored bytes: its tables cannot be read here,
 * and it has no encapsulated pixel data (PS3.5 A.5). */
bool prepare_frames(struct prepared *prepared, const struct scan *scan, struct error *err)
{
    struct buffer offsets = buffer_up_to(OFFSET_TABLE_SIZE);
    struct buffer lengths = buffer_up_to(OFFSET_TABLE_SIZE);
    bool ok = true;
    if (!dataset_syntax(prepared->header)->deflated)
        ok = read_table(prepared, TAG_EXTENDED_OFFSET_TABLE, &offsets, err) &&
             read_table(prepared, TAG_EXTENDED_OFFSET_TABLE_LENGTHS, &lengths, err);
    if (ok)
        frame_table_build(prepared->header, scan_pixel_data(scan), buffer_slice(&offsets),
                          buffer_slice(&lengths), &prepared->frames);
    buffer_release(&offsets);
    buffer_release(&lengths);
    return ok;
}

void prepare_record(struct prepared *prepared)
{
    struct instance_record *record = &prepared->record;
    memcpy(record->sop_class, prepared->identity.sop_class, UID_SIZE);
    if (!dataset_integer(prepared->header, TAG_INSTANCE_NUMBER, &record->number))
        record->number = NUMBER_ABSENT;
    summary_build(&record->summary, LEVEL_INSTANCE, prepared->header, NULL);
}

void prepare_summaries(struct prepared *prepared)
{
    summary_build(&prepared->study_summary, LEVEL_STUDY, prepared->header, NULL);
    summary_build(&prepared->series_summary, LEVEL_SERIES, prepared->header, NULL);
    prepared->has_summaries = true;
}

bool prepared_is_taken(const struct prepared *prepared, struct transaction *transaction,
                       struct identity *place, bool *taken, struct error *err)
{
    struct key key;
    struct buffer value = buffer_up_to(KEY_SIZE);
    term_instance_key(&key, prepared->identity.instance);
    bool ok = transaction_get(transaction, TABLE_TERM, key_slice(&key), &value, taken, err);
    if (ok && *taken)
        ok = key_split_place(buffer_slice(&value), place) ||
             error_set(err, ERROR_CORRUPT, "the place of an instance cannot be read");
    buffer_release(&value);
    return ok;
}

bool prepared_rival(const struct prepared *prepared, struct transaction *transaction,
                    struct instance_record *rival, struct error *err)
{
    const struct identity *identity = &prepared->identity;
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found;
    key_place(&key, RECORD_INSTANCE, identity->study, identity->series, identity->instance);
    bool ok = transaction_get(transaction, TABLE_RECORD, key_slice(&key), &bytes, &found, err) &&
              (found || error_set(err, ERROR_CORRUPT, "an instance has a place and no record")) &&
              instance_record_decode(buffer_slice(&bytes), rival, err);
    buffer_release(&bytes);
    return ok;
}

bool prepared_replace(struct prepared *prepared, struct tree *tree,
                      const struct instance_record *rival, size_t kept, struct error *err)
{
    const struct addition addition = {
        .identity = &prepared->identity,
        .header = prepared->header,
        .instance = &prepared->record,
        .document = buffer_slice(&prepared->document),
        .frames = buffer_slice(&prepared->frames),
        .study_present = summary_presence(prepared->header, LEVEL_STUDY),
        .series_present = summary_presence(prepared->header, LEVEL_SERIES),
        .study_summary = prepared->has_summaries ? &prepared->study_summary : NULL,
        .series_summary = prepared->has_summaries ? &prepared->series_summary : NULL,
    };
    return rival ? tree_replace(tree, &addition, rival, kept, err) : tree_add(tree, &addition, err);
}

bool prepared_add(struct prepared *prepared, struct tree *tree, struct error *err)
{
    return prepared_replace(prepared, tree, NULL, 0, err);
}

/* The first piece must hold the File Meta Information: it is much smaller. */
static bool begin_dataset(struct prepared *prepared, struct slice bytes, struct error *err)
{
    struct file_meta meta;
    bool complete;
    if (!file_meta_read(bytes, &meta, &complete, err))
        return false;
    if (!complete)
        return error_set(err, ERROR_INVALID, "the file ends in its File Meta Information");
    memcpy(prepared->record.transfer_syntax, meta.transfer_syntax, UID_SIZE);
    memcpy(prepared->record.source_ae, meta.source_ae, sizeof(meta.source_ae));
    prepared->record.dataset_offset = meta.size;
    prepared->scan = scan_new(transfer_syntax_or_private(slice_text(meta.transfer_syntax)),
                              &scan_default_limits);
    return scan_write(prepared->scan, slice_skip(bytes, meta.size), err);
}

/* A piece at a time. What is no DICOM is read to its end all the same: whether it is as it was
 * written comes first. */
static bool scan_blob(struct prepared *prepared, struct blob *blob, const struct blob_id *id,
                      struct space bytes, struct error *err)
{
    struct error refusal = { 0 };
    uint32_t crc32c = 0;
    bool ok = id->size > 0 || error_set(&refusal, ERROR_INVALID, "the file is empty");
    for (uint64_t at = 0; at < id->size;) {
        uint64_t left = id->size - at;
        struct space space = { bytes.data, left < bytes.size ? (size_t)left : bytes.size };
        if (!blob_read(blob, at, space, err))
            return false;
        struct slice piece = slice_of(space.data, space.size);
        crc32c = crc32c_extend(crc32c, piece);
        if (ok)
            ok = at ? scan_write(prepared->scan, piece, &refusal)
                    : begin_dataset(prepared, piece, &refusal);
        at += space.size;
    }
    if (crc32c != id->crc32c)
        return error_set(err, ERROR_CORRUPT, "the bytes do not fit their checksum");
    if (!ok && err)
        *err = refusal;
    return ok;
}

bool prepare_from_blob(struct prepared *prepared, struct blob *blob, const struct blob_id *id,
                       struct space bytes, struct error *err)
{
    prepared->record.blob = *id;
    if (!scan_blob(prepared, blob, id, bytes, err) ||
        !prepare_header(prepared, prepared->scan, err) || !prepare_identity(prepared, err))
        return false;
    uint64_t offset = prepared->record.dataset_offset;
    prepared->content =
        (struct content){ .blob = blob, .offset = offset, .size = id->size - offset };
    prepare_record(prepared);
    bool ok = prepare_frames(prepared, prepared->scan, err);
    prepared->content.blob = NULL;
    return ok;
}
