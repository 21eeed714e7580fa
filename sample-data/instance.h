/* SPDX-License-Identifier: MIT */
#pragma once
/* What all instances have in common: patient, study, series, equipment, SOP common (PS3.3 C.7,
 * C.12.1), pixels and the file. All identities follow from labels: the same program makes the same
 * bytes every time. What cannot go on ends the program with a message. */

#include "base/slice.h"
#include "dicom/uid.h"
#include "sample-data/attributes.h"

struct patient {
    const char *character_set; /* NULL: the default repertoire */
    const char *name;
    const char *id;
    const char *issuer;
    const char *issuer_oid;
    const char *other_id; /* NULL for none */
    const char *birth_date;
    const char *sex;
    const char *institution;
    const char *timezone; /* +0100 */
};

struct study {
    const struct patient *patient;
    const char *label; /* its UID follows from it, and the folder it is written to */
    const char *date;
    const char *time;
    const char *accession;
    const char *id;
    const char *description;
    const char *referring_physician;
    struct code procedure;
};

struct series {
    const struct study *study;
    unsigned number;
    const char *sop_class;
    const char *modality;
    const char *description;
    const char *body_part;  /* NULL for none */
    const char *laterality; /* NULL for none */
    const char *manufacturer;
    const char *model;
    const char *station;
};

/* An image as the Image Pixel module tells it (PS3.3 C.7.6.3), little endian. */
struct image {
    const char *photometric;
    uint16_t rows;
    uint16_t columns;
    uint16_t samples;
    uint16_t bits_allocated;
    uint16_t bits_stored;
    uint16_t pixel_representation;
};

/* 2.25 and a number made of the label (PS3.5 B.2). */
void uid_of(char uid[UID_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Frame of Reference of a study, and the SOP Instance UID of an instance. */
void uid_of_frame(char uid[UID_SIZE], const struct study *study);
void uid_of_instance(char uid[UID_SIZE], const struct series *series, unsigned number);

struct attributes *instance_new(const struct series *series, unsigned number);
void instance_add_image(struct attributes *instance, const struct image *image);
void instance_add_pixels(struct attributes *instance, const struct image *image,
                         struct slice pixels);

/* Writes FOLDER/study/name.dcm and frees the instance. */
void instance_write_take(struct attributes *instance, const struct series *series,
                         const char *folder, const char *name, const char *transfer_syntax);

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
