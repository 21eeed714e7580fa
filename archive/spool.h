/* SPDX-License-Identifier: MIT */
#pragma once
/* Bytes that came before it is known what instance they belong to: kept in a file without a name
 * beside the segments, so that memory stays flat and nothing is left of them. One thread at a
 * time. */

#include "archive/archive.h"
#include "base/file_range.h"
#include "base/slice.h"

/* An empty file of that kind by itself, for who changes what stands in it; yours to close. */
bool spool_file(struct archive *archive, int *fd, struct error *err);

struct spool;

/* Nothing is opened before the first byte. */
struct spool *spool_new(struct archive *archive);
void spool_free(struct spool *spool);

/* ERROR_NO_SPACE when the disk is as full as it may be. */
bool spool_append(struct spool *spool, struct slice bytes, struct error *err);
uint64_t spool_size(const struct spool *spool);
/* All that was appended, valid until the next byte or the end of the spool. */
bool spool_range(struct spool *spool, struct file_range *range, struct error *err);
/* Fills `space` whole; ERROR_CORRUPT when there is less. */
bool spool_read(struct spool *spool, uint64_t offset, struct space space, struct error *err);
