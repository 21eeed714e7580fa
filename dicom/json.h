/* SPDX-License-Identifier: MIT */
#pragma once
/* The DICOM JSON model (PS3.18 annex F), written straight from an encoded data set. */

#include "base/buffer.h"
#include "dicom/dataset.h"

/* Which attributes to write, and how bulk data is referred to. */
struct json_options {
    /* BulkDataURI is this prefix followed by the path of the element, "00420011" or
     * "00540016.0.00540300" (sequence, number of the item from 0, ...); NULL: bulk data is left
     * out. */
    const char *bulk_data_prefix;
    size_t inline_binary_limit; /* bytes of a binary value that stand inline in base64, 0: 1024 */
    const uint32_t *tags;       /* only these top-level tags (ascending); NULL: all */
    size_t tag_count;
};

/* Appends one object {...}: keys ascending, no group lengths, no group 0002, UTF-8 and (0008,0005)
 * ISO_IR 192 when a character set was stated or is needed. Of several attributes with one tag the
 * first is written. Always valid JSON: what is no JSON number becomes a string (IS and DS that are
 * malformed or have more digits than a binary64, integers beyond 2^53, "NaN", "Infinity"), numbers
 * in bytes that are no whole number of units become UN. Values that the data set does not hold,
 * fragments, binary ones above the limit and Pixel Data get a BulkDataURI. Bytes that break off
 * end the document early but properly. A `json` that overflows is no JSON: see buffer_check. */
void json_write_dataset(const struct dataset *dataset, const struct json_options *options,
                        struct buffer *json);

/* The same of many data sets, of which each is much like the one before, as the instances of a
 * series are: what they have alike is copied. One thread at a time. */
struct json_writer;
struct json_writer *json_writer_new(void);
void json_writer_free(struct json_writer *writer);
void json_writer_put(struct json_writer *writer, const struct dataset *dataset,
                     const struct json_options *options, struct buffer *json);

/* Whether an element that a walk has found is referred to by a BulkDataURI when the options name a
 * prefix and no limit, and what follows the prefix then. */
bool json_is_bulk_data(const struct element *element);
void json_write_bulk_path(const struct walk *walk, uint32_t tag, struct buffer *path);

/* Appends `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_write_string(struct slice text, struct buffer *json);
