/* SPDX-License-Identifier: MIT */
/* An ultrasound cine loop in JPEG baseline, and a secondary capture in RGB. */
#include "sample-data/compress.h"
#include "sample-data/instance.h"
#include "sample-data/phantom.h"
#include "sample-data/studies.h"

enum { COLUMNS = 160, ROWS = 120, FRAMES = 12, MAX_FRAME = 1 << 20 };
enum { CAPTURE_COLUMNS = 128, CAPTURE_ROWS = 96 };

static const struct patient patient = {
    .name = "PROBE^CARLA",
    .id = "HS-1002",
    .issuer = "NORTH HOSPITAL",
    .issuer_oid = "2.25.320411265748219375640183529468210735501",
    .birth_date = "19900704",
    .sex = "F",
    .institution = "North Hospital",
    .timezone = "+0100",
};

static const struct study study = {
    .patient = &patient,
    .label = "us-abdomen",
    .date = "20260115",
    .time = "110000",
    .accession = "A2026-0007",
    .id = "1003",
    .description = "US Abdomen with Doppler",
    .referring_physician = "REFERRER^NORA^^DR",
    .procedure = { "24558-9", "LN", "US Abdomen" },
};

static const struct series loop = {
    .study = &study,
    .number = 1,
    .sop_class = "1.2.840.10008.5.1.4.1.1.3.1",
    .modality = "US",
    .description = "Aorta, colour flow",
    .body_part = "ABDOMEN",
    .manufacturer = "Echo Samples",
    .model = "Sector 3",
    .station = "US02",
};

static const struct series capture = {
    .study = &study,
    .number = 2,
    .sop_class = "1.2.840.10008.5.1.4.1.1.7",
    .modality = "OT",
    .description = "Screen capture",
    .body_part = "ABDOMEN",
    .manufacturer = "Echo Samples",
    .model = "Workstation",
    .station = "WS11",
};

/* PS3.3 C.8.5.6, C.7.6.5, C.7.6.6 */
static void add_loop(struct attributes *instance, size_t compressed_size)
{
    static const uint8_t frame_time[] = { 0x18, 0x00, 0x63, 0x10 };
    attributes_texts(instance, (const struct text_attribute[]){
                                   { TAG_IMAGE_TYPE, VR_CS, "ORIGINAL\\PRIMARY\\ABDOMINAL\\0011" },
                                   { 0x00080022, VR_DA, study.date },
                                   { 0x00080032, VR_TM, study.time },
                                   { 0x00181063, VR_DS, "40" },
                                   { 0x00200020, VR_CS, "" },
                                   { TAG_LOSSY_IMAGE_COMPRESSION, VR_CS, "01" },
                                   { 0x00282114, VR_CS, "ISO_10918_1" },
                                   { 0 },
                               });
    attributes_bytes(instance, 0x00280009, VR_AT, slice_of(frame_time, sizeof(frame_time)));
    attributes_format(instance, TAG_NUMBER_OF_FRAMES, VR_IS, "%d", FRAMES);
    attributes_u16(instance, 0x00280014, 1);
    attributes_format(instance, 0x00282112, VR_DS, "%.2f",
                      (double)FRAMES * ROWS * COLUMNS * 3 / (double)compressed_size);
}

static void write_loop(const char *folder)
{
    static uint8_t pixels[ROWS * COLUMNS * 3];
    static const struct image image = { "YBR_FULL_422", ROWS, COLUMNS, 3, 8, 8, 0 };
    struct buffer jpegs[FRAMES];
    struct slice frames[FRAMES];
    size_t compressed_size = 0;
    for (unsigned i = 0; i < FRAMES; i++) {
        jpegs[i] = buffer_up_to(MAX_FRAME);
        phantom_ultrasound(pixels, COLUMNS, ROWS, (double)i / FRAMES, i);
        compress_jpeg(pixels, COLUMNS, ROWS, &jpegs[i]);
        frames[i] = buffer_slice(&jpegs[i]);
        compressed_size += frames[i].size;
    }
    struct attributes *instance = instance_new(&loop, 1);
    add_loop(instance, compressed_size);
    instance_add_image(instance, &image);
    attributes_frames(instance, frames, FRAMES);
    instance_write_take(instance, &loop, folder, "loop", UID_JPEG_BASELINE);
    for (unsigned i = 0; i < FRAMES; i++)
        buffer_release(&jpegs[i]);
}

static void write_capture(const char *folder)
{
    static uint8_t pixels[CAPTURE_ROWS * CAPTURE_COLUMNS * 3];
    static const struct image image = { "RGB", CAPTURE_ROWS, CAPTURE_COLUMNS, 3, 8, 8, 0 };
    struct attributes *instance = instance_new(&capture, 1);
    attributes_text(instance, TAG_IMAGE_TYPE, VR_CS, "DERIVED\\SECONDARY");
    attributes_text(instance, 0x00080064, VR_CS, "WSD");
    attributes_text(instance, 0x00200020, VR_CS, "");
    phantom_colours(pixels, CAPTURE_COLUMNS, CAPTURE_ROWS);
    instance_add_pixels(instance, &image, slice_of(pixels, sizeof(pixels)));
    instance_write_take(instance, &capture, folder, "capture", UID_EXPLICIT_LITTLE_ENDIAN);
}

void study_ultrasound(const char *folder)
{
    write_loop(folder);
    write_capture(folder);
}
