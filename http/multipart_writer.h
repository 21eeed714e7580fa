/* SPDX-License-Identifier: MIT */
#pragma once
/* Writes what stands between the parts of a multipart/related body (RFC 2387, PS3.18 8.6.1.2). By
 * value; one thread at a time. */

#include "base/buffer.h"

struct multipart_writer {
    char boundary[33];      /* 128 random bits: occurs in no content */
    const char *inner_type; /* of the root part: "application/dicom"; borrowed */
};

struct multipart_writer multipart_writer_for(const char *inner_type);
/* multipart/related; type="application/dicom"; boundary=... */
void multipart_content_type(const struct multipart_writer *writer, struct buffer *text);
/* All before the content of a part, with the line end of the part before it: the delimiter and the
 * header. `location` (an absolute URL) may be NULL. */
void multipart_begin_part(const struct multipart_writer *writer, const char *content_type,
                          const char *location, struct buffer *text);
/* The closing delimiter. */
void multipart_end(const struct multipart_writer *writer, struct buffer *text);
