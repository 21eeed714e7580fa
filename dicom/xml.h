/* SPDX-License-Identifier: MIT */
#pragma once
/* The Native DICOM Model as XML (PS3.19 annex A), written straight from an encoded data set. */

#include "dicom/json.h"

/* Appends one document: declaration and <NativeDicomModel>. What is written is what
 * json_write_dataset writes of the same data set and options, with these differences: private
 * attributes name their Private Creator, and their tag is then (gggg,00ee), whatever block was
 * reserved (PS3.19 A.1.5); numbers are never strings, as all is text. Always well-formed XML 1.0 in
 * UTF-8: characters that it cannot hold become U+FFFD. An `xml` that overflows is no document: see
 * buffer_check. */
void xml_write_dataset(const struct dataset *dataset, const struct json_options *options,
                       struct buffer *xml);

/* Appends `text` with what XML wants escaped, for element content and attribute values. */
void xml_write_text(struct slice text, struct buffer *xml);
