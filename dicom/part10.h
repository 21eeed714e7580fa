/* SPDX-License-Identifier: MIT */
#pragma once
/* The Part 10 file: preamble, "DICM" and File Meta Information (PS3.10 7.1). */

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "dicom/uid.h"

enum { PART10_PREAMBLE_SIZE = 128 };

struct file_meta {
    char sop_class[UID_SIZE];
    char sop_instance[UID_SIZE];
    char transfer_syntax[UID_SIZE];
    char source_ae[17]; /* (0002,0016), "" for none */
    size_t size;        /* bytes from the start of the file to the data set */
};

/* Writes preamble (zeroes), prefix and group 0002 with our implementation UID. */
void file_meta_write(const struct file_meta *meta, struct buffer *out);

/* Reads them from the start of a file. *complete false: more bytes are needed (at most
 * PART10_META_LIMIT). */
enum { PART10_META_LIMIT = 64 << 10 };
bool file_meta_read(struct slice bytes, struct file_meta *meta, bool *complete, struct error *err);
