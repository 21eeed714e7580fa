/* SPDX-License-Identifier: MIT */
#include "sample-data/instance.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dicom/part10.h"
#include "sample-data/compress.h"

enum { MAX_FILE = 256 << 20, MAX_PATH = 4096 };

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "sample_data: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

/* FNV-1a of 128 bits with the version and variant of a name-made UUID (RFC 9562, version 8) set. */
static unsigned __int128 hash_label(const char *label)
{
    const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;
    unsigned __int128 hash = (unsigned __int128)0x6c62272e07bb0142 << 64 | 0x62b821756295c58d;
    for (; *label; label++)
        hash = (hash ^ (uint8_t)*label) * prime;
    hash = (hash & ~((unsigned __int128)0xf << 76)) | (unsigned __int128)0x8 << 76;
    return (hash & ~((unsigned __int128)0x3 << 62)) | (unsigned __int128)0x2 << 62;
}

void uid_of(char uid[UID_SIZE], const char *format, ...)
{
    char label[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(label, sizeof(label), format, arguments);
    va_end(arguments);
    char digits[40];
    size_t first = sizeof(digits) - 1;
    digits[first] = '\0';
    for (unsigned __int128 number = hash_label(label); number; number /= 10)
        digits[--first] = (char)('0' + (int)(number % 10));
    snprintf(uid, UID_SIZE, "2.25.%s", digits + first);
}

void uid_of_frame(char uid[UID_SIZE], const struct study *study)
{
    uid_of(uid, "%s/frame of reference", study->label);
}

void uid_of_instance(char uid[UID_SIZE], const struct series *series, unsigned number)
{
    uid_of(uid, "%s/%u/%u", series->study->label, series->number, number);
}

/* PS3.3 C.7.1.1 */
static void add_patient(struct attributes *instance, const struct patient *patient)
{
    attributes_texts(instance, (const struct text_attribute[]){
                                   { TAG_PATIENT_NAME, VR_PN, patient->name },
                                   { TAG_PATIENT_ID, VR_LO, patient->id },
                                   { TAG_ISSUER_OF_PATIENT_ID, VR_LO, patient->issuer },
                                   { TAG_PATIENT_BIRTH_DATE, VR_DA, patient->birth_date },
                                   { TAG_PATIENT_SEX, VR_CS, patient->sex },
                                   { 0 },
                               });
    struct attributes *qualifiers = attributes_item(instance,
                                                    TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE);
    attributes_text(qualifiers, 0x00400032, VR_UT, patient->issuer_oid);
    attributes_text(qualifiers, 0x00400033, VR_CS, "ISO");
    if (patient->other_id) {
        struct attributes *other = attributes_item(instance, TAG_OTHER_PATIENT_IDS_SEQUENCE);
        attributes_text(other, TAG_PATIENT_ID, VR_LO, patient->other_id);
        attributes_text(other, TAG_ISSUER_OF_PATIENT_ID, VR_LO, "REGIONAL INDEX");
        attributes_text(other, 0x00100022, VR_CS, "TEXT");
    }
}

/* PS3.3 C.7.2.1 */
static void add_study(struct attributes *instance, const struct study *study)
{
    char uid[UID_SIZE];
    uid_of(uid, "%s", study->label);
    attributes_texts(instance,
                     (const struct text_attribute[]){
                         { TAG_STUDY_INSTANCE_UID, VR_UI, uid },
                         { TAG_STUDY_DATE, VR_DA, study->date },
                         { TAG_STUDY_TIME, VR_TM, study->time },
                         { TAG_ACCESSION_NUMBER, VR_SH, study->accession },
                         { TAG_REFERRING_PHYSICIAN_NAME, VR_PN, study->referring_physician },
                         { TAG_STUDY_ID, VR_SH, study->id },
                         { TAG_STUDY_DESCRIPTION, VR_LO, study->description },
                         { 0 },
                     });
    attributes_code(instance, TAG_PROCEDURE_CODE_SEQUENCE, study->procedure);
    struct attributes *issuer = attributes_item(instance, TAG_ISSUER_OF_ACCESSION_NUMBER_SEQUENCE);
    attributes_format(issuer, 0x00400032, VR_UT, "%s.1", study->patient->issuer_oid);
    attributes_text(issuer, 0x00400033, VR_CS, "ISO");
}

/* PS3.3 10.6; an SR document and an encapsulated one refer to their orders elsewhere. */
static void add_request(struct attributes *instance, const struct study *study)
{
    struct attributes *request = attributes_item(instance, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    attributes_format(request, TAG_REQUESTED_PROCEDURE_ID, VR_SH, "RP%s", study->id);
    attributes_format(request, TAG_SCHEDULED_PROCEDURE_STEP_ID, VR_SH, "SPS%s", study->id);
    attributes_text(request, 0x00400007, VR_LO, study->description);
}

/* PS3.3 C.7.3.1 */
static void add_series(struct attributes *instance, const struct series *series)
{
    char uid[UID_SIZE];
    uid_of(uid, "%s/%u", series->study->label, series->number);
    attributes_text(instance, TAG_SERIES_INSTANCE_UID, VR_UI, uid);
    attributes_text(instance, TAG_MODALITY, VR_CS, series->modality);
    attributes_format(instance, TAG_SERIES_NUMBER, VR_IS, "%u", series->number);
    attributes_text(instance, TAG_SERIES_DESCRIPTION, VR_LO, series->description);
    attributes_text(instance, TAG_SERIES_DATE, VR_DA, series->study->date);
    attributes_text(instance, TAG_SERIES_TIME, VR_TM, series->study->time);
    if (series->body_part)
        attributes_text(instance, TAG_BODY_PART_EXAMINED, VR_CS, series->body_part);
    if (series->laterality)
        attributes_text(instance, TAG_LATERALITY, VR_CS, series->laterality);
    if (strcmp(series->modality, "SR") == 0)
        return;
    add_request(instance, series->study);
    attributes_text(instance, TAG_PERFORMED_PROCEDURE_STEP_START_DATE, VR_DA, series->study->date);
    attributes_text(instance, TAG_PERFORMED_PROCEDURE_STEP_START_TIME, VR_TM, series->study->time);
    attributes_format(instance, 0x00400253, VR_SH, "PPS%s", series->study->id);
}

/* PS3.3 C.7.5.1, C.7.5.2 */
static void add_equipment(struct attributes *instance, const struct series *series)
{
    attributes_texts(instance,
                     (const struct text_attribute[]){
                         { TAG_MANUFACTURER, VR_LO, series->manufacturer },
                         { TAG_INSTITUTION_NAME, VR_LO, series->study->patient->institution },
                         { TAG_STATION_NAME, VR_SH, series->station },
                         { 0x00081090, VR_LO, series->model },
                         { 0x00181000, VR_LO, series->station },
                         { 0x00181020, VR_LO, "1.0" },
                         { 0 },
                     });
}

struct attributes *instance_new(const struct series *series, unsigned number)
{
    const struct study *study = series->study;
    struct attributes *instance = attributes_new();
    char uid[UID_SIZE];
    uid_of_instance(uid, series, number);
    if (study->patient->character_set)
        attributes_text(instance, TAG_SPECIFIC_CHARACTER_SET, VR_CS, study->patient->character_set);
    attributes_texts(instance,
                     (const struct text_attribute[]){
                         { TAG_SOP_CLASS_UID, VR_UI, series->sop_class },
                         { TAG_SOP_INSTANCE_UID, VR_UI, uid },
                         { 0x00080012, VR_DA, study->date },
                         { 0x00080013, VR_TM, study->time },
                         { TAG_CONTENT_DATE, VR_DA, study->date },
                         { TAG_CONTENT_TIME, VR_TM, study->time },
                         { TAG_TIMEZONE_OFFSET_FROM_UTC, VR_SH, study->patient->timezone },
                         { 0 },
                     });
    attributes_format(instance, TAG_INSTANCE_NUMBER, VR_IS, "%u", number);
    add_patient(instance, study->patient);
    add_study(instance, study);
    add_series(instance, series);
    add_equipment(instance, series);
    return instance;
}

void instance_add_image(struct attributes *instance, const struct image *image)
{
    attributes_u16(instance, TAG_SAMPLES_PER_PIXEL, image->samples);
    attributes_text(instance, TAG_PHOTOMETRIC_INTERPRETATION, VR_CS, image->photometric);
    if (image->samples > 1)
        attributes_u16(instance, TAG_PLANAR_CONFIGURATION, 0);
    attributes_u16(instance, TAG_ROWS, image->rows);
    attributes_u16(instance, TAG_COLUMNS, image->columns);
    attributes_u16(instance, TAG_BITS_ALLOCATED, image->bits_allocated);
    attributes_u16(instance, TAG_BITS_STORED, image->bits_stored);
    attributes_u16(instance, TAG_HIGH_BIT, (uint16_t)(image->bits_stored - 1));
    attributes_u16(instance, TAG_PIXEL_REPRESENTATION, image->pixel_representation);
}

void instance_add_pixels(struct attributes *instance, const struct image *image,
                         struct slice pixels)
{
    instance_add_image(instance, image);
    attributes_bytes(instance, TAG_PIXEL_DATA, image->bits_allocated > 8 ? VR_OW : VR_OB, pixels);
}

static void write_file(const char *path, struct slice bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes.data, 1, bytes.size, file) != bytes.size || fclose(file) != 0)
        die("%s: %s", path, strerror(errno));
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        die("%s: %s", path, strerror(errno));
}

static void encode_file(const struct attributes *instance, const char *transfer_syntax,
                        struct buffer *file)
{
    const struct transfer_syntax *syntax = transfer_syntax_or_private(slice_text(transfer_syntax));
    struct file_meta meta = { .source_ae = "SAMPLE_DATA" };
    attributes_get_text(instance, TAG_SOP_CLASS_UID, meta.sop_class, UID_SIZE);
    attributes_get_text(instance, TAG_SOP_INSTANCE_UID, meta.sop_instance, UID_SIZE);
    snprintf(meta.transfer_syntax, UID_SIZE, "%s", transfer_syntax);
    file_meta_write(&meta, file);
    struct encoding encoding = { syntax->explicit_vr, syntax->big_endian };
    if (syntax->deflated) {
        struct buffer plain = buffer_up_to(MAX_FILE);
        attributes_encode(instance, encoding, &plain);
        compress_deflate(buffer_slice(&plain), file);
        buffer_release(&plain);
    } else {
        attributes_encode(instance, encoding, file);
    }
    if (file->overflowed)
        die("an instance exceeds %d bytes", MAX_FILE);
}

void instance_write_take(struct attributes *instance, const struct series *series,
                         const char *folder, const char *name, const char *transfer_syntax)
{
    struct buffer file = buffer_up_to(MAX_FILE);
    char path[MAX_PATH];
    make_folder(folder);
    snprintf(path, sizeof(path), "%s/%s", folder, series->study->label);
    make_folder(path);
    snprintf(path, sizeof(path), "%s/%s/%s.dcm", folder, series->study->label, name);
    encode_file(instance, transfer_syntax, &file);
    write_file(path, buffer_slice(&file));
    buffer_release(&file);
    attributes_free(instance);
}
