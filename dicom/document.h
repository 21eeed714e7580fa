/* SPDX-License-Identifier: MIT */
#pragma once
/* The content tree of an SR document (PS3.3 C.17.3) as people read it: a page of HTML, or plain
 * text. Pure. Thread-safe. */

#include "base/buffer.h"
#include "dicom/dataset.h"
#include "dicom/value_source.h"

enum document_form { DOCUMENT_HTML, DOCUMENT_TEXT };

/* Has it a content tree? */
bool document_is_there(const struct dataset *header);

/* Appends the page. `service` is the URL of the service, under which references are links; those
 * that the evidence (PS3.3 C.17.2) does not place are none. ERROR_LIMIT when the page, or a text in
 * it, is larger than `out` or than makes sense. */
bool document_write(const struct dataset *header, const struct value_source *source,
                    const char *service, enum document_form form, struct buffer *out,
                    struct error *err);
