/* SPDX-License-Identifier: MIT */
#pragma once
/* The DICOMDIR of a file-set (PS3.10 8, PS3.3 annex F): PATIENT, STUDY and SERIES records and one
 * for each instance, in the order in which instances are added. Memory is bounded whatever their
 * number. One thread at a time. */

#include "base/error.h"
#include "base/scratch.h"
#include "dicom/dataset.h"

struct dicomdir;

/* `uid`: the SOP Instance UID of the directory, copied; "" for a new one. `fd_take` as of
 * scratch_new. */
struct dicomdir *dicomdir_new(const char *uid, int fd_take);
void dicomdir_free(struct dicomdir *dicomdir);

/* An instance and where its file is. */
struct dicomdir_member {
    const char *file_id; /* components of PS3.10 8.5 with backslashes between: "DICOM\\I0000001" */
    const char *study;
    const char *series;
    const char *sop_class;
    const char *sop_instance;
    const char *transfer_syntax; /* of the file */
};

/* Instances of a series, and series of a study, come one after the other. What a record must have
 * and `header` does not is filled in: dates with 1900-01-01, a Patient ID with the Study Instance
 * UID, numbers with 0, other texts with UNKNOWN. */
bool dicomdir_add(struct dicomdir *dicomdir, const struct dataset *header,
                  const struct dicomdir_member *member, struct error *err);
/* No more come. *file is the whole file, borrowed; to ask again is no error. */
bool dicomdir_finish(struct dicomdir *dicomdir, struct scratch **file, struct error *err);

/* The type of the record of an instance: "IMAGE", "SR DOCUMENT" ... (PS3.3 F.4, F.5). */
const char *dicomdir_record_type(const struct dataset *header, const char *sop_class);
