/* SPDX-License-Identifier: MIT */
#pragma once
/* UIDs (PS3.5 9.1), transfer syntaxes (PS3.5 annex A) and SOP classes (PS3.4 annex B, PS3.6 annex
 * A) as tables. All immutable, thread-safe. */

#include <stdbool.h>

#include "base/slice.h"

enum { UID_SIZE = 65 }; /* 64 characters and a NUL */

#define UID_VERIFICATION           "1.2.840.10008.1.1"
#define UID_IMPLICIT_LITTLE_ENDIAN "1.2.840.10008.1.2"
#define UID_EXPLICIT_LITTLE_ENDIAN "1.2.840.10008.1.2.1"
#define UID_DEFLATED_EXPLICIT      "1.2.840.10008.1.2.1.99"
#define UID_EXPLICIT_BIG_ENDIAN    "1.2.840.10008.1.2.2"
#define UID_JPEG_BASELINE          "1.2.840.10008.1.2.4.50"
#define UID_JPEG_LOSSLESS_SV1      "1.2.840.10008.1.2.4.70"
#define UID_JPEG_LS_LOSSLESS       "1.2.840.10008.1.2.4.80"
#define UID_JPEG_2000_LOSSLESS     "1.2.840.10008.1.2.4.90"
#define UID_HTJ2K_LOSSLESS         "1.2.840.10008.1.2.4.201"
#define UID_HTJ2K_LOSSLESS_RPCL    "1.2.840.10008.1.2.4.202"
#define UID_RLE_LOSSLESS           "1.2.840.10008.1.2.5"
#define UID_APPLICATION_CONTEXT    "1.2.840.10008.3.1.1.1"
#define UID_PATIENT_ROOT_FIND      "1.2.840.10008.5.1.4.1.2.1.1"
#define UID_PATIENT_ROOT_MOVE      "1.2.840.10008.5.1.4.1.2.1.2"
#define UID_STUDY_ROOT_FIND        "1.2.840.10008.5.1.4.1.2.2.1"
#define UID_STUDY_ROOT_MOVE        "1.2.840.10008.5.1.4.1.2.2.2"
#define UID_PATIENT_ROOT_GET       "1.2.840.10008.5.1.4.1.2.1.3"
#define UID_STUDY_ROOT_GET         "1.2.840.10008.5.1.4.1.2.2.3"
#define UID_WITHOUT_BULK_GET       "1.2.840.10008.5.1.4.1.2.5.3"
#define UID_COMPOSITE_ROOT_MOVE    "1.2.840.10008.5.1.4.1.2.4.2"
#define UID_COMPOSITE_ROOT_GET     "1.2.840.10008.5.1.4.1.2.4.3"
#define UID_PATIENT_STUDY_FIND     "1.2.840.10008.5.1.4.1.2.3.1" /* retired, and used */
#define UID_PATIENT_STUDY_MOVE     "1.2.840.10008.5.1.4.1.2.3.2"
#define UID_PATIENT_STUDY_GET      "1.2.840.10008.5.1.4.1.2.3.3"
#define UID_STORAGE_SERVICE_CLASS  "1.2.840.10008.4.2"
#define UID_STORAGE_COMMITMENT     "1.2.840.10008.1.20.1"
#define UID_COMMITMENT_INSTANCE    "1.2.840.10008.1.20.1.1"
#define UID_MODALITY_WORKLIST_FIND "1.2.840.10008.5.1.4.31"
#define UID_MPPS                   "1.2.840.10008.3.1.2.3.3"
#define UID_MPPS_RETRIEVE          "1.2.840.10008.3.1.2.3.4"
#define UID_MPPS_NOTIFICATION      "1.2.840.10008.3.1.2.3.5"
#define UID_INSTANCE_AVAILABILITY  "1.2.840.10008.5.1.4.33"
#define UID_UPS_PUSH               "1.2.840.10008.5.1.4.34.6.1"
#define UID_UPS_WATCH              "1.2.840.10008.5.1.4.34.6.2"
#define UID_UPS_PULL               "1.2.840.10008.5.1.4.34.6.3"
#define UID_UPS_EVENT              "1.2.840.10008.5.1.4.34.6.4"
#define UID_UPS_QUERY              "1.2.840.10008.5.1.4.34.6.5"
#define UID_UPS_GLOBAL             "1.2.840.10008.5.1.4.34.5"
#define UID_UPS_FILTERED           "1.2.840.10008.5.1.4.34.5.1"

/* Ours. The root is a UUID-derived one (PS3.5 B.2). */
#define UID_IMPLEMENTATION_CLASS    "2.25.262838247031523487625317936472145903417"
#define IMPLEMENTATION_VERSION_NAME "HOUNSFIELD_0_1"

/* Digits and dots, no empty component, no leading zero, 1 to 64 characters (PS3.5 9.1). */
bool uid_is_valid(const char *uid);
/* As uid_is_valid, but components may begin with zero: illegal, safe, and met in the field. */
bool uid_is_safe(struct slice uid);
/* Takes a UI value off its padding (NULs, spaces) into `uid`. False when what is left is not safe
 * or too long. */
bool uid_copy(struct slice value, char uid[UID_SIZE]);
/* A new one, made of a random UUID (PS3.5 B.2). */
void uid_make(char uid[UID_SIZE]);
/* The same for the same bytes, which are of a digest. */
enum { UID_SEED_SIZE = 16 };
void uid_make_of(const uint8_t seed[UID_SEED_SIZE], char uid[UID_SIZE]);

struct transfer_syntax {
    const char *uid;
    const char *name;
    bool explicit_vr;
    bool big_endian;
    bool deflated;
    bool encapsulated;      /* pixel data in fragments (PS3.5 A.4) */
    bool lossy;             /* may have lost information */
    const char *media_type; /* of a frame: "image/jpeg" ..., NULL when native (PS3.18 8.7.3) */
};

/* NULL for one that is not in PS3.6. */
const struct transfer_syntax *transfer_syntax_find(struct slice uid);
/* As find; for an unknown one the rules of PS3.5 A.4: explicit VR little endian, encapsulated.
 * Never NULL. */
const struct transfer_syntax *transfer_syntax_or_private(struct slice uid);
const struct transfer_syntax *transfer_syntax_all(size_t *count);

enum sop_class_kind {
    SOP_CLASS_UNKNOWN,
    SOP_CLASS_VERIFICATION,
    SOP_CLASS_STORAGE,
    SOP_CLASS_STORAGE_RETIRED,
    SOP_CLASS_QUERY_RETRIEVE,
    SOP_CLASS_OTHER, /* in PS3.6, and no storage class */
};
struct sop_class {
    const char *uid;
    const char *name;
    enum sop_class_kind kind;
};
const struct sop_class *sop_class_find(struct slice uid); /* NULL when unknown or private */
const struct sop_class *sop_class_all(size_t *count);
/* An SR document (PS3.3 A.35; Key Object Selection is one), by its UID. */
bool sop_class_is_structured_document(const char *uid);
/* An encapsulated PDF or CDA document (PS3.3 A.45). */
bool sop_class_is_encapsulated_document(const char *uid);
