/* SPDX-License-Identifier: MIT */
/* An MR of the left knee of the first patient, a series in each of three transfer syntaxes:
 * implicit VR little endian, JPEG 2000 lossless, explicit VR big endian. */
#include <stdio.h>

#include "sample-data/compress.h"
#include "sample-data/instance.h"
#include "sample-data/phantom.h"
#include "sample-data/studies.h"

enum { COLUMNS = 112, ROWS = 128, SLICES = 5, MAX_CODESTREAM = 1 << 20 };

static const struct study study = {
    .patient = &patient_first,
    .label = "mr-knee",
    .date = "20260203",
    .time = "140210.25",
    .accession = "A2026-0042",
    .id = "1002",
    .description = "MR Knee left",
    .referring_physician = "REFERRER^NORA^^DR",
    .procedure = { "MRKNL", "99NORTH", "MR Knee left" },
};

/* How a series weighs its signal, and how it is written. */
struct weighting {
    const char *description;
    const char *file;
    const char *repetition_ms;
    const char *echo_ms;
    double contrast;
    const char *transfer_syntax;
};

static const struct weighting weightings[] = {
    { "T1 sagittal", "t1", "550", "12", 0.0, UID_IMPLICIT_LITTLE_ENDIAN },
    { "T2 sagittal", "t2", "4200", "96", 1.0, UID_JPEG_2000_LOSSLESS },
    { "PD sagittal", "pd", "2800", "28", 0.5, UID_EXPLICIT_BIG_ENDIAN },
};

/* PS3.3 C.8.3.1, C.7.6.2, C.7.4.1 */
static void add_mr(struct attributes *instance, const struct weighting *weighting, unsigned number)
{
    char frame[UID_SIZE];
    uid_of_frame(frame, &study);
    attributes_texts(instance, (const struct text_attribute[]){
                                   { TAG_IMAGE_TYPE, VR_CS, "ORIGINAL\\PRIMARY\\OTHER" },
                                   { 0x00080022, VR_DA, study.date },
                                   { 0x00080032, VR_TM, study.time },
                                   { 0x00180020, VR_CS, "SE" },
                                   { 0x00180021, VR_CS, "NONE" },
                                   { 0x00180022, VR_CS, "" },
                                   { 0x00180023, VR_CS, "2D" },
                                   { 0x00180050, VR_DS, "4" },
                                   { 0x00180080, VR_DS, weighting->repetition_ms },
                                   { 0x00180081, VR_DS, weighting->echo_ms },
                                   { 0x00180087, VR_DS, "1.5" },
                                   { 0x00180088, VR_DS, "4.4" },
                                   { 0x00180091, VR_IS, "1" },
                                   { TAG_PROTOCOL_NAME, VR_LO, weighting->description },
                                   { 0x00185100, VR_CS, "FFS" },
                                   { 0x00200012, VR_IS, "1" },
                                   { 0x00200037, VR_DS, "0\\1\\0\\0\\0\\-1" },
                                   { 0x00200052, VR_UI, frame },
                                   { 0x00201040, VR_LO, "" },
                                   { 0x00280030, VR_DS, "1.25\\1.25" },
                                   { 0 },
                               });
    attributes_format(instance, 0x00200032, VR_DS, "%.1f\\-70\\80", 40 + 4.4 * number);
}

static void add_pixels(struct attributes *instance, const struct weighting *weighting,
                       unsigned number)
{
    static uint16_t pixels[ROWS * COLUMNS];
    static const struct image image = { "MONOCHROME2", ROWS, COLUMNS, 1, 16, 12, 0 };
    phantom_knee(pixels, COLUMNS, ROWS, weighting->contrast, number);
    if (!transfer_syntax_or_private(slice_text(weighting->transfer_syntax))->encapsulated) {
        instance_add_pixels(instance, &image, slice_of(pixels, sizeof(pixels)));
        return;
    }
    struct buffer codestream = buffer_up_to(MAX_CODESTREAM);
    struct slice frame;
    compress_jpeg2000(pixels, COLUMNS, ROWS, image.bits_stored, &codestream);
    frame = buffer_slice(&codestream);
    instance_add_image(instance, &image);
    attributes_frames(instance, &frame, 1);
    buffer_release(&codestream);
}

void study_mr_knee(const char *folder)
{
    for (unsigned i = 0; i < sizeof(weightings) / sizeof(weightings[0]); i++) {
        const struct weighting *weighting = &weightings[i];
        const struct series series = {
            .study = &study,
            .number = i + 1,
            .sop_class = "1.2.840.10008.5.1.4.1.1.4",
            .modality = "MR",
            .description = weighting->description,
            .body_part = "KNEE",
            .laterality = "L",
            .manufacturer = "Hounsfield Samples",
            .model = "Phantom MR",
            .station = "MR01",
        };
        for (unsigned number = 1; number <= SLICES; number++) {
            struct attributes *instance = instance_new(&series, number);
            char name[32];
            snprintf(name, sizeof(name), "%s-%02u", weighting->file, number);
            add_mr(instance, weighting, number);
            add_pixels(instance, weighting, number);
            instance_write_take(instance, &series, folder, name, weighting->transfer_syntax);
        }
    }
}
