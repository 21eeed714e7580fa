/* SPDX-License-Identifier: MIT */
#pragma once
/* Patient IDs (CX): the number, who assigned it, and the other numbers of the same person. Pure. */

#include "hl7/mapping.h"

enum { HL7_ID_SIZE = 260 /* 64 characters in UTF-8, with the NUL */ };

struct hl7_person {
    char id[HL7_ID_SIZE];
    char issuer[HL7_ID_SIZE]; /* "" when none was named */
};

/* The ID of a field of CX (PID-3, MRG-1): of its repetitions the one of `authority` (NULL: any),
 * else the first one. Who is named as the assigner is the issuer: the namespace, else the universal
 * ID, else `authority`. False with a fault when there is none, or none that DICOM can say. */
bool hl7_person_read(const struct hl7_message *message, const struct hl7_segment *segment,
                     unsigned field, const char *authority, struct hl7_person *person,
                     struct hl7_fault *fault);

/* Sets Patient ID, Issuer of Patient ID with its qualifiers, and the other repetitions of PID-3
 * (and what PID-2 and PID-4 of older versions have) as Other Patient IDs. */
bool hl7_person_set(const struct hl7_message *message, const struct hl7_segment *pid,
                    const char *authority, struct draft *draft, struct hl7_person *person,
                    struct hl7_fault *fault);
