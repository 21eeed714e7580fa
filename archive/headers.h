/* SPDX-License-Identifier: MIT */
#pragma once
/* The headers of all instances of a study or a series, in the order of archive/retrieve: read with
 * one cursor for each series instead of one look-up for each instance. What is deleted meanwhile is
 * left out, what is stored meanwhile too. One thread at a time. */

#include "archive/archive.h"
#include "dicom/dataset.h"

struct headers;

/* The change number of a study, or of a series in it (NULL or empty: the study): another one after
 * every store and delete below it. 0 when there is none. */
bool headers_change(struct archive *archive, const char *study, const char *series,
                    uint64_t *change, struct error *err);

/* `memory`: bytes that the headers of one series may take; a series with more is looked up instance
 * by instance. */
bool headers_open(struct archive *archive, const char *study, const char *series, size_t memory,
                  struct headers **out, struct error *err);
/* The next one, or *header NULL at the end. Borrowed until the next call. */
bool headers_next(struct headers *headers, const struct identity **identity,
                  const struct dataset **header, struct error *err);
void headers_close(struct headers *headers);
