/* SPDX-License-Identifier: MIT */
/* A CT of the head: a localizer (deflated), the axial slices, and the dose report. */
#include <stdio.h>

#include "sample-data/instance.h"
#include "sample-data/phantom.h"
#include "sample-data/studies.h"

enum { SIZE = 128 };

const struct patient patient_first = {
    .name = "SAMPLE^ADA^MARIE^DR",
    .id = "HS-1001",
    .issuer = "NORTH HOSPITAL",
    .issuer_oid = "2.25.320411265748219375640183529468210735501",
    .other_id = "REG-77-1001",
    .birth_date = "19710315",
    .sex = "F",
    .institution = "North Hospital",
    .timezone = "+0100",
};

static const struct study study = {
    .patient = &patient_first,
    .label = "ct-head",
    .date = "20260112",
    .time = "091500",
    .accession = "A2026-0001",
    .id = "1001",
    .description = "CT Head without contrast",
    .referring_physician = "REFERRER^NORA^^DR",
    .procedure = { "30799-1", "LN", "CT Head WO contrast" },
};

static const struct series localizer = {
    .study = &study,
    .number = 1,
    .sop_class = "1.2.840.10008.5.1.4.1.1.2",
    .modality = "CT",
    .description = "Localizer",
    .body_part = "HEAD",
    .manufacturer = "Hounsfield Samples",
    .model = "Phantom CT",
    .station = "CT01",
};

static const struct series axial = {
    .study = &study,
    .number = 2,
    .sop_class = "1.2.840.10008.5.1.4.1.1.2",
    .modality = "CT",
    .description = "Head axial",
    .body_part = "HEAD",
    .manufacturer = "Hounsfield Samples",
    .model = "Phantom CT",
    .station = "CT01",
};

static const struct image image = { "MONOCHROME2", SIZE, SIZE, 1, 16, 12, 0 };

/* PS3.3 C.7.4.1, C.7.6.2, C.8.2.1 */
static struct attributes *ct_new(const struct series *series, unsigned number, const char *type)
{
    struct attributes *instance = instance_new(series, number);
    char frame[UID_SIZE];
    uid_of_frame(frame, &study);
    attributes_texts(instance, (const struct text_attribute[]){
                                   { TAG_IMAGE_TYPE, VR_CS, type },
                                   { 0x00080022, VR_DA, study.date },
                                   { 0x00080032, VR_TM, study.time },
                                   { 0x00180060, VR_DS, "120" },
                                   { 0x00180050, VR_DS, "2.5" },
                                   { 0x00180090, VR_DS, "250" },
                                   { TAG_PROTOCOL_NAME, VR_LO, "HEAD ROUTINE" },
                                   { 0x00181150, VR_IS, "1000" },
                                   { 0x00181151, VR_IS, "250" },
                                   { 0x00181152, VR_IS, "250" },
                                   { 0x00181210, VR_SH, "H30" },
                                   { 0x00185100, VR_CS, "HFS" },
                                   { 0x00200012, VR_IS, "1" },
                                   { 0x00200052, VR_UI, frame },
                                   { 0x00201040, VR_LO, "" },
                                   { 0x00281050, VR_DS, "40" },
                                   { 0x00281051, VR_DS, "80" },
                                   { 0x00281052, VR_DS, "-1024" },
                                   { 0x00281053, VR_DS, "1" },
                                   { 0x00281054, VR_LO, "HU" },
                                   { 0 },
                               });
    return instance;
}

static void write_localizer(const char *folder)
{
    static uint16_t pixels[SIZE * SIZE];
    struct attributes *instance = ct_new(&localizer, 1, "ORIGINAL\\PRIMARY\\LOCALIZER");
    attributes_texts(instance, (const struct text_attribute[]){
                                   { 0x00200032, VR_DS, "0\\-125\\125" },
                                   { 0x00200037, VR_DS, "0\\1\\0\\0\\0\\-1" },
                                   { 0x00280030, VR_DS, "1.953125\\1.953125" },
                                   /* a mean along each ray, most of it air */
                                   { 0x00281050, VR_DS, "-500" },
                                   { 0x00281051, VR_DS, "1000" },
                                   { 0 },
                               });
    phantom_head_side(pixels, SIZE, SIZE);
    instance_add_pixels(instance, &image, slice_of(pixels, sizeof(pixels)));
    instance_write_take(instance, &localizer, folder, "localizer", UID_DEFLATED_EXPLICIT);
}

static void write_slice(const char *folder, unsigned number, unsigned slices)
{
    static uint16_t pixels[SIZE * SIZE];
    struct attributes *instance = ct_new(&axial, number, "ORIGINAL\\PRIMARY\\AXIAL");
    double spacing = 160.0 / slices;
    double z = (number - 0.5 - slices / 2.0) * spacing;
    attributes_format(instance, 0x00200032, VR_DS, "-124.0234\\-124.0234\\%.4f", z);
    attributes_text(instance, 0x00200037, VR_DS, "1\\0\\0\\0\\1\\0");
    attributes_format(instance, 0x00201041, VR_DS, "%.4f", z);
    attributes_format(instance, 0x00180050, VR_DS, "%.4f", spacing);
    attributes_text(instance, 0x00280030, VR_DS, "1.953125\\1.953125");
    phantom_head(pixels, SIZE, SIZE, z / 80.0 * 0.9, number);
    instance_add_pixels(instance, &image, slice_of(pixels, sizeof(pixels)));
    char name[32];
    snprintf(name, sizeof(name), "axial-%04u", number);
    instance_write_take(instance, &axial, folder, name, UID_EXPLICIT_LITTLE_ENDIAN);
}

void study_ct_head(const char *folder, unsigned slices)
{
    write_localizer(folder);
    for (unsigned number = 1; number <= slices; number++)
        write_slice(folder, number, slices);
    dose_report_write(&axial, folder, slices);
}
