/* SPDX-License-Identifier: MIT */
#include "dicom/dicomdir.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/dicomdir_records.h"
#include "dicom/encode.h"
#include "dicom/part10.h"

enum {
    TAG_FILE_SET_ID = 0x00041130,
    TAG_OFFSET_OF_FIRST_ROOT_RECORD = 0x00041200,
    TAG_OFFSET_OF_LAST_ROOT_RECORD = 0x00041202,
    TAG_FILE_SET_CONSISTENCY_FLAG = 0x00041212,
    TAG_DIRECTORY_RECORD_SEQUENCE = 0x00041220,
    TAG_OFFSET_OF_NEXT_RECORD = 0x00041400,
    TAG_RECORD_IN_USE_FLAG = 0x00041410,
    TAG_OFFSET_OF_LOWER_LEVEL_ENTITY = 0x00041420,
    TAG_DIRECTORY_RECORD_TYPE = 0x00041430,
    TAG_REFERENCED_FILE_ID = 0x00041500,
    TAG_REFERENCED_SOP_CLASS_UID_IN_FILE = 0x00041510,
    TAG_REFERENCED_SOP_INSTANCE_UID_IN_FILE = 0x00041511,
    TAG_REFERENCED_TRANSFER_SYNTAX_UID_IN_FILE = 0x00041512,
    TAG_RELATIONSHIP_TYPE = 0x0040A010,
    TAG_VERIFICATION_DATE_TIME = 0x0040A030,
    TAG_VALUE_TYPE = 0x0040A040,
    TAG_CONCEPT_NAME_CODE_SEQUENCE = 0x0040A043,
    TAG_VERIFYING_OBSERVER_SEQUENCE = 0x0040A073,
    TAG_TEXT_VALUE = 0x0040A160,
    TAG_CONCEPT_CODE_SEQUENCE = 0x0040A168,
    TAG_CONTENT_SEQUENCE = 0x0040A730,

    IN_USE = 0xFFFF,
    LEVELS = 4,
    /* In an item (header of 8 bytes) stand UL, US, UL in the short form: headers of 8 bytes. */
    NEXT_OFFSET = 8 + 8,
    LOWER_OFFSET = NEXT_OFFSET + 4 + 8 + 2 + 8,

    MEMORY = 1 << 20,
    RECORD_SIZE = 1 << 20, /* a larger one refers to very many things */
};
#define UID_DICOMDIR "1.2.840.10008.1.3.10"

struct dicomdir {
    struct scratch *file;
    bool finished;
    uint64_t first;        /* offset of the first record */
    uint64_t last_field;   /* where the offset of the last root record stands */
    uint64_t open[LEVELS]; /* offset of the last record of each level, or 0 */
    char uid[UID_SIZE];
    char study[UID_SIZE];
    char series[UID_SIZE];
    struct buffer patient_id; /* of the last PATIENT record, as it was sent */
    struct buffer record;
    struct buffer text;
};

static void keep_uid(char uid[UID_SIZE], const char *text)
{
    size_t size = strnlen(text, UID_SIZE - 1);
    memcpy(uid, text, size);
    uid[size] = '\0';
}

struct dicomdir *dicomdir_new(const char *uid, int fd_take)
{
    struct dicomdir *dicomdir = mem_alloc(sizeof(*dicomdir));
    keep_uid(dicomdir->uid, uid);
    dicomdir->file = scratch_new(MEMORY, fd_take);
    dicomdir->patient_id = buffer_up_to(RECORD_SIZE);
    dicomdir->record = buffer_up_to(RECORD_SIZE);
    dicomdir->text = buffer_up_to(RECORD_SIZE);
    return dicomdir;
}

void dicomdir_free(struct dicomdir *dicomdir)
{
    if (!dicomdir)
        return;
    scratch_free(dicomdir->file);
    buffer_release(&dicomdir->patient_id);
    buffer_release(&dicomdir->record);
    buffer_release(&dicomdir->text);
    free(dicomdir);
}

const char *dicomdir_record_type(const struct dataset *header, const char *sop_class)
{
    return record_type_of_instance(header, sop_class)->name;
}

/* All before the first record (PS3.3 F.3.2.1, F.3.2.2). */
static bool write_head(struct dicomdir *dicomdir, struct error *err)
{
    struct file_meta meta = { .sop_class = UID_DICOMDIR,
                              .transfer_syntax = UID_EXPLICIT_LITTLE_ENDIAN };
    struct buffer *out = &dicomdir->record;
    struct encoder encoder = { out, .explicit_vr = true };
    if (*dicomdir->uid)
        keep_uid(meta.sop_instance, dicomdir->uid);
    else
        uid_make(meta.sop_instance);
    buffer_clear(out);
    file_meta_write(&meta, out);
    encode_text(&encoder, TAG_FILE_SET_ID, VR_CS, "");
    encode_u32(&encoder, TAG_OFFSET_OF_FIRST_ROOT_RECORD, 0);
    size_t first_field = out->size - sizeof(uint32_t);
    encode_u32(&encoder, TAG_OFFSET_OF_LAST_ROOT_RECORD, 0);
    dicomdir->last_field = out->size - sizeof(uint32_t);
    encode_u16(&encoder, TAG_FILE_SET_CONSISTENCY_FLAG, 0);
    encode_sequence_begin(&encoder, TAG_DIRECTORY_RECORD_SEQUENCE);
    dicomdir->first = out->size;
    put_u32le(out->data + first_field, (uint32_t)out->size);
    return scratch_append(dicomdir->file, buffer_slice(out), err);
}

static bool has_value(const struct dataset *header, uint32_t tag)
{
    struct element element;
    return dataset_find(header, tag, &element) && element.size && !element.elided;
}

/* The content items that modify what the title says (PS3.3 F.5.19: HAS CONCEPT MOD), without what
 * they contain themselves. */
static void write_modifiers(struct encoder *encoder, const struct dataset *header)
{
    static const uint32_t tags[] = { TAG_RELATIONSHIP_TYPE, TAG_VALUE_TYPE,
                                     TAG_CONCEPT_NAME_CODE_SEQUENCE, TAG_TEXT_VALUE,
                                     TAG_CONCEPT_CODE_SEQUENCE };
    struct dataset_items items = dataset_items(header, TAG_CONTENT_SEQUENCE);
    struct dataset *item;
    bool begun = false;
    while ((item = dataset_items_next(&items))) {
        char relationship[17];
        dataset_string(item, TAG_RELATIONSHIP_TYPE, relationship, sizeof(relationship));
        if (!strcmp(relationship, "HAS CONCEPT MOD")) {
            if (!begun)
                encode_sequence_begin(encoder, TAG_CONTENT_SEQUENCE);
            begun = true;
            encode_item_begin(encoder);
            for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
                encode_copy(encoder, item, tags[i]);
            encode_item_end(encoder);
        }
        dataset_close(item);
    }
    if (begun)
        encode_sequence_end(encoder);
}

/* When the document was verified last: the first observer has it (PS3.3 C.17.2). */
static void write_verification(struct encoder *encoder, const struct dataset *header)
{
    struct dataset *observer = dataset_item(header, TAG_VERIFYING_OBSERVER_SEQUENCE, 0);
    if (observer && has_value(observer, TAG_VERIFICATION_DATE_TIME))
        encode_copy(encoder, observer, TAG_VERIFICATION_DATE_TIME);
    dataset_close(observer);
}

static const char *fallback_of(const struct record_attribute *attribute,
                               const struct dicomdir_member *member)
{
    if (attribute->tag == TAG_SERIES_INSTANCE_UID)
        return member->series;
    return attribute->fallback ? attribute->fallback : member->study;
}

static void write_attribute(struct encoder *encoder, const struct dataset *header,
                            const struct record_attribute *attribute,
                            const struct dicomdir_member *member)
{
    uint16_t vr = dictionary_vr(attribute->tag);
    if (attribute->tag == TAG_CONTENT_SEQUENCE) {
        write_modifiers(encoder, header);
    } else if (attribute->tag == TAG_VERIFICATION_DATE_TIME) {
        write_verification(encoder, header);
    } else if (has_value(header, attribute->tag)) {
        encode_copy(encoder, header, attribute->tag);
    } else if (attribute->presence == RECORD_REQUIRED) {
        encode_text(encoder, attribute->tag, vr, fallback_of(attribute, member));
    } else if (attribute->presence == RECORD_EMPTY) {
        encode_text(encoder, attribute->tag, vr, "");
    }
}

static void write_record(struct buffer *out, enum record_level level,
                         const struct record_type *type, const struct dataset *header,
                         const struct dicomdir_member *member)
{
    struct encoder encoder = { out, .explicit_vr = true };
    buffer_append_u16le(out, (uint16_t)(TAG_ITEM >> 16));
    buffer_append_u16le(out, (uint16_t)TAG_ITEM);
    buffer_append_u32le(out, 0);
    encode_u32(&encoder, TAG_OFFSET_OF_NEXT_RECORD, 0);
    encode_u16(&encoder, TAG_RECORD_IN_USE_FLAG, IN_USE);
    encode_u32(&encoder, TAG_OFFSET_OF_LOWER_LEVEL_ENTITY, 0);
    encode_text(&encoder, TAG_DIRECTORY_RECORD_TYPE, VR_CS, type->name);
    if (level == RECORD_OF_INSTANCE) {
        encode_text(&encoder, TAG_REFERENCED_FILE_ID, VR_CS, member->file_id);
        encode_text(&encoder, TAG_REFERENCED_SOP_CLASS_UID_IN_FILE, VR_UI, member->sop_class);
        encode_text(&encoder, TAG_REFERENCED_SOP_INSTANCE_UID_IN_FILE, VR_UI, member->sop_instance);
        encode_text(&encoder, TAG_REFERENCED_TRANSFER_SYNTAX_UID_IN_FILE, VR_UI,
                    member->transfer_syntax);
    }
    /* Values are copied in UTF-8, whatever they were in. */
    if (has_value(header, TAG_SPECIFIC_CHARACTER_SET))
        encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    for (size_t i = 0; i < RECORD_MAX_ATTRIBUTES && type->attributes[i].tag; i++)
        write_attribute(&encoder, header, &type->attributes[i], member);
}

static bool set_offset(struct dicomdir *dicomdir, uint64_t field, uint64_t offset,
                       struct error *err)
{
    uint8_t bytes[4];
    put_u32le(bytes, (uint32_t)offset);
    return scratch_patch(dicomdir->file, field, slice_of(bytes, sizeof(bytes)), err);
}

/* The record before on the level, or the one above, points at the one that comes now. Those of the
 * levels below are then other entities'. */
static bool link_record(struct dicomdir *dicomdir, enum record_level level, uint64_t offset,
                        struct error *err)
{
    uint64_t before = dicomdir->open[level];
    uint64_t above = level ? dicomdir->open[level - 1] : 0;
    bool ok = true;
    if (before)
        ok = set_offset(dicomdir, before + NEXT_OFFSET, offset, err);
    else if (above)
        ok = set_offset(dicomdir, above + LOWER_OFFSET, offset, err);
    dicomdir->open[level] = offset;
    for (size_t below = level + 1; below < LEVELS; below++)
        dicomdir->open[below] = 0;
    return ok;
}

static bool add_record(struct dicomdir *dicomdir, enum record_level level,
                       const struct record_type *type, const struct dataset *header,
                       const struct dicomdir_member *member, struct error *err)
{
    struct buffer *out = &dicomdir->record;
    uint64_t offset = scratch_size(dicomdir->file);
    buffer_clear(out);
    write_record(out, level, type, header, member);
    if (!buffer_check(out, "a record of the DICOMDIR", err))
        return false;
    if (offset + out->size > UINT32_MAX - 8)
        return error_set(err, ERROR_LIMIT, "the DICOMDIR would be larger than 4 GiB");
    put_u32le(out->data + 4, (uint32_t)(out->size - 8));
    return link_record(dicomdir, level, offset, err) &&
           scratch_append(dicomdir->file, buffer_slice(out), err);
}

static bool add_level(struct dicomdir *dicomdir, enum record_level level,
                      const struct dataset *header, const struct dicomdir_member *member,
                      struct error *err)
{
    return add_record(dicomdir, level, record_type_of_level(level), header, member, err);
}

static bool add_study(struct dicomdir *dicomdir, const struct dataset *header,
                      const struct dicomdir_member *member, struct error *err)
{
    buffer_clear(&dicomdir->text);
    dataset_text(header, TAG_PATIENT_ID, &dicomdir->text);
    bool same = dicomdir->open[RECORD_OF_PATIENT] && dicomdir->text.size &&
                slice_equal(buffer_slice(&dicomdir->text), buffer_slice(&dicomdir->patient_id));
    if (!same && !add_level(dicomdir, RECORD_OF_PATIENT, header, member, err))
        return false;
    buffer_clear(&dicomdir->patient_id);
    buffer_append(&dicomdir->patient_id, buffer_slice(&dicomdir->text));
    return add_level(dicomdir, RECORD_OF_STUDY, header, member, err);
}

bool dicomdir_add(struct dicomdir *dicomdir, const struct dataset *header,
                  const struct dicomdir_member *member, struct error *err)
{
    if (!dicomdir->first && !write_head(dicomdir, err))
        return false;
    bool new_study = strcmp(dicomdir->study, member->study) != 0;
    bool new_series = new_study || strcmp(dicomdir->series, member->series) != 0;
    if (new_study && !add_study(dicomdir, header, member, err))
        return false;
    if (new_series && !add_level(dicomdir, RECORD_OF_SERIES, header, member, err))
        return false;
    keep_uid(dicomdir->study, member->study);
    keep_uid(dicomdir->series, member->series);
    return add_record(dicomdir, RECORD_OF_INSTANCE,
                      record_type_of_instance(header, member->sop_class), header, member, err);
}

bool dicomdir_finish(struct dicomdir *dicomdir, struct scratch **file, struct error *err)
{
    struct buffer *out = &dicomdir->record;
    struct encoder encoder = { out, .explicit_vr = true };
    *file = dicomdir->file;
    if (dicomdir->finished)
        return true;
    if (!dicomdir->first && !write_head(dicomdir, err))
        return false;
    /* Of a directory of nothing both offsets are zero. */
    uint64_t last = dicomdir->open[RECORD_OF_PATIENT];
    if (!set_offset(dicomdir, dicomdir->last_field, last, err) ||
        (!last && !set_offset(dicomdir, dicomdir->last_field - 12, 0, err)))
        return false;
    buffer_clear(out);
    encode_sequence_end(&encoder);
    dicomdir->finished = true;
    return scratch_append(dicomdir->file, buffer_slice(out), err);
}
