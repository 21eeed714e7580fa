/* SPDX-License-Identifier: MIT */
#pragma once
/* The files that `hounsfield send` has to send, and over which associations: combinations of SOP
 * class and transfer syntax are presentation contexts, of which an association has 128. */

#include "base/error.h"
#include "dicom/uid.h"

struct scu_file {
    char *path;
    uint64_t size;        /* of the data set */
    uint64_t offset;      /* of the data set in the file */
    uint32_t combination; /* of SOP class and transfer syntax */
    char instance[UID_SIZE];
};

struct scu_combination {
    char sop_class[UID_SIZE];
    char transfer_syntax[UID_SIZE];
};

struct scu_files {
    struct scu_file *files; /* by combination, else as they were found */
    size_t count;
    struct scu_combination *combinations;
    size_t combination_count;
    uint64_t bytes;
    uint64_t passed_over; /* that are no Part 10 files */
    uint64_t unreadable;
};

/* Adds a file, or all files of a folder. False when it is not there. */
bool scu_files_add(struct scu_files *files, const char *path, struct error *err);
/* After the last one. */
void scu_files_sort(struct scu_files *files);
void scu_files_release(struct scu_files *files);
