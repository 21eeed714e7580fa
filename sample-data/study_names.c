/* SPDX-License-Identifier: MIT */
/* Two studies whose names have three component groups (PS3.5 6.2.1.1, annexes H and I). */
#include <stdlib.h>

#include "sample-data/instance.h"
#include "sample-data/phantom.h"
#include "sample-data/studies.h"
#include "sample-data/text.h"

enum { COLUMNS = 96, ROWS = 128 };

/* PS3.3 C.8.1.1, C.8.1.2 */
static void write_hand(const struct series *series, const char *folder)
{
    static uint16_t pixels[ROWS * COLUMNS];
    static const struct image image = { "MONOCHROME1", ROWS, COLUMNS, 1, 16, 12, 0 };
    struct attributes *instance = instance_new(series, 1);
    attributes_texts(instance, (const struct text_attribute[]){
                                   { TAG_IMAGE_TYPE, VR_CS, "ORIGINAL\\PRIMARY" },
                                   { 0x00180060, VR_DS, "52" },
                                   { 0x00181164, VR_DS, "2\\2" },
                                   { 0x00185101, VR_CS, "AP" },
                                   { 0x00200020, VR_CS, "L\\F" },
                                   { 0 },
                               });
    phantom_hand(pixels, COLUMNS, ROWS);
    instance_add_pixels(instance, &image, slice_of(pixels, sizeof(pixels)));
    instance_write_take(instance, series, folder, "hand", UID_EXPLICIT_LITTLE_ENDIAN);
}

void study_japanese(const char *folder)
{
    char *name = text_japanese("Yamada^Tarou=山田^太郎=やまだ^たろう");
    char *referrer = text_japanese("Suzuki^Hanako=鈴木^花子=すずき^はなこ");
    char *description = text_japanese("右手 正面");
    const struct patient patient = {
        .character_set = "\\ISO 2022 IR 87",
        .name = name,
        .id = "JP-20001",
        .issuer = "EAST HOSPITAL",
        .issuer_oid = "2.25.207719953341068205572113485697030016729",
        .birth_date = "19640401",
        .sex = "M",
        .institution = "East Hospital",
        .timezone = "+0900",
    };
    const struct study study = {
        .patient = &patient,
        .label = "japanese",
        .date = "20260220",
        .time = "101112",
        .accession = "E-20001",
        .id = "20001",
        .description = description,
        .referring_physician = referrer,
        .procedure = { "HAND-R", "99EAST", "Hand right" },
    };
    const struct series series = {
        .study = &study,
        .number = 1,
        .sop_class = "1.2.840.10008.5.1.4.1.1.1",
        .modality = "CR",
        .description = "Hand AP",
        .body_part = "HAND",
        .laterality = "R",
        .manufacturer = "Plate Samples",
        .model = "Reader 12",
        .station = "CR-1",
    };
    write_hand(&series, folder);
    free(description);
    free(referrer);
    free(name);
}

void study_korean(const char *folder)
{
    char *name = text_korean("Hong^Gildong=洪^吉洞=홍^길동");
    char *description = text_korean("왼손 엑스선");
    const struct patient patient = {
        .character_set = "\\ISO 2022 IR 149",
        .name = name,
        .id = "KR-30001",
        .issuer = "WEST HOSPITAL",
        .issuer_oid = "2.25.94420610285537712260841395502718366487",
        .birth_date = "19830815",
        .sex = "O",
        .institution = "West Hospital",
        .timezone = "+0900",
    };
    const struct study study = {
        .patient = &patient,
        .label = "korean",
        .date = "20260221",
        .time = "131415",
        .accession = "W-30001",
        .id = "30001",
        .description = description,
        .referring_physician = "KIM^MINSU",
        .procedure = { "HAND-L", "99WEST", "Hand left" },
    };
    const struct series series = {
        .study = &study,
        .number = 1,
        .sop_class = "1.2.840.10008.5.1.4.1.1.1",
        .modality = "CR",
        .description = "Hand AP",
        .body_part = "HAND",
        .laterality = "L",
        .manufacturer = "Plate Samples",
        .model = "Reader 12",
        .station = "CR-1",
    };
    write_hand(&series, folder);
    free(description);
    free(name);
}
