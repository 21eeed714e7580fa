/* SPDX-License-Identifier: MIT */
/* A chest radiograph in MONOCHROME1 and its report as an encapsulated PDF. */
#include "sample-data/instance.h"
#include "sample-data/phantom.h"
#include "sample-data/studies.h"

enum { COLUMNS = 256, ROWS = 300, MAX_PDF = 1 << 20 };

const struct patient patient_second = {
    .name = "MUSTER^BORIS",
    .id = "0099812",
    .issuer = "SOUTH CLINIC",
    .issuer_oid = "2.25.118835497012266340759182640385579120664",
    .birth_date = "19580930",
    .sex = "M",
    .institution = "South Clinic",
    .timezone = "-0500",
};

static const struct study study = {
    .patient = &patient_second,
    .label = "cr-chest",
    .date = "20251128",
    .time = "223059",
    .accession = "S-551-77",
    .id = "77",
    .description = "Chest PA",
    .referring_physician = "ZUWEISER^OTTO",
    .procedure = { "24648-8", "LN", "XR Chest PA" },
};

static const struct series radiograph = {
    .study = &study,
    .number = 1,
    .sop_class = "1.2.840.10008.5.1.4.1.1.1",
    .modality = "CR",
    .description = "Chest PA",
    .body_part = "CHEST",
    .manufacturer = "Plate Samples",
    .model = "Reader 12",
    .station = "CR-EAST",
};

static const struct series report = {
    .study = &study,
    .number = 2,
    .sop_class = "1.2.840.10008.5.1.4.1.1.104.1",
    .modality = "DOC",
    .description = "Report",
    .manufacturer = "Paper Samples",
    .model = "Scanner",
    .station = "DESK-2",
};

/* PS3.3 C.8.1.1, C.8.1.2 */
static void write_radiograph(const char *folder)
{
    static uint16_t pixels[ROWS * COLUMNS];
    static const struct image image = { "MONOCHROME1", ROWS, COLUMNS, 1, 16, 12, 0 };
    struct attributes *instance = instance_new(&radiograph, 1);
    attributes_texts(instance, (const struct text_attribute[]){
                                   { TAG_IMAGE_TYPE, VR_CS, "ORIGINAL\\PRIMARY" },
                                   { 0x00080022, VR_DA, study.date },
                                   { 0x00080032, VR_TM, study.time },
                                   { 0x00180060, VR_DS, "125" },
                                   { TAG_PROTOCOL_NAME, VR_LO, "CHEST PA" },
                                   { 0x00181004, VR_LO, "P-0815" },
                                   { 0x00181110, VR_DS, "1800" },
                                   { 0x00181164, VR_DS, "1.4\\1.4" },
                                   { 0x00185101, VR_CS, "PA" },
                                   { 0x00200020, VR_CS, "L\\F" },
                                   { 0x00281050, VR_DS, "2048" },
                                   { 0x00281051, VR_DS, "4096" },
                                   { 0 },
                               });
    phantom_chest(pixels, COLUMNS, ROWS);
    instance_add_pixels(instance, &image, slice_of(pixels, sizeof(pixels)));
    instance_write_take(instance, &radiograph, folder, "chest-pa", UID_EXPLICIT_LITTLE_ENDIAN);
}

/* PS3.3 A.45.1, C.24.2 */
static void write_report(const char *folder)
{
    static const char *const lines[] = {
        "Chest PA, synthetic sample",
        "",
        "Lungs clear apart from a round shadow of 1 cm in the right middle field.",
        "Heart of normal size. No effusion.",
    };
    struct buffer pdf = buffer_up_to(MAX_PDF);
    struct attributes *instance = instance_new(&report, 1);
    char image[UID_SIZE];
    pdf_write(lines, sizeof(lines) / sizeof(lines[0]), &pdf);
    attributes_texts(instance, (const struct text_attribute[]){
                                   { 0x0008002A, VR_DT, "20251128223059-0500" },
                                   { 0x00080064, VR_CS, "WSD" },
                                   { 0x00280301, VR_CS, "NO" },
                                   { 0x00420010, VR_ST, "Radiology report" },
                                   { 0x00420012, VR_LO, "application/pdf" },
                                   { 0 },
                               });
    attributes_code(instance, 0x0040A043,
                    (struct code){ "18748-4", "LN", "Diagnostic imaging study" });
    struct attributes *source = attributes_item(instance, 0x00420013);
    uid_of_instance(image, &radiograph, 1);
    attributes_text(source, TAG_REFERENCED_SOP_CLASS_UID, VR_UI, radiograph.sop_class);
    attributes_text(source, TAG_REFERENCED_SOP_INSTANCE_UID, VR_UI, image);
    attributes_u32(instance, 0x00420015, (uint32_t)pdf.size);
    attributes_bytes(instance, 0x00420011, VR_OB, buffer_slice(&pdf));
    instance_write_take(instance, &report, folder, "report", UID_EXPLICIT_LITTLE_ENDIAN);
    buffer_release(&pdf);
}

void study_chest(const char *folder)
{
    write_radiograph(folder);
    write_report(folder);
}
