/* SPDX-License-Identifier: MIT */
#pragma once
/* multipart/related messages written (RFC 2387, RFC 2046 5.1.1, PS3.18 8.6.1.2). By value, nothing
 * to release. */

#include "base/buffer.h"

struct multipart_writer {
    char boundary[40]; /* 128 random bits in hex: it does not occur in the content */
};

struct multipart_writer multipart_writer_new(void);

/* Appends "multipart/related; type="INNER"; boundary=...". */
void multipart_write_type(const struct multipart_writer *writer, const char *inner,
                          struct buffer *text);
/* Appends what stands before the content of a part: the delimiter and its header lines. location
 * may be NULL. */
void multipart_write_part(const struct multipart_writer *writer, const char *content_type,
                          const char *location, struct buffer *out);
/* Appends the closing delimiter. */
void multipart_write_end(const struct multipart_writer *writer, struct buffer *out);
