/* SPDX-License-Identifier: MIT */
#include "http/multipart_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

struct multipart_writer multipart_writer_new(void) {
    struct multipart_writer writer;
    uint64_t random[2];
    /* 16 bytes of a seeded generator come whole or not at all. */
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort();
    snprintf(writer.boundary, sizeof(writer.boundary), "%016llx%016llx",
             (unsigned long long)random[0], (unsigned long long)random[1]);
    return writer;
}

void multipart_write_type(const struct multipart_writer *writer, const char *inner,
                          struct buffer *text) {
    buffer_append_format(text, "multipart/related; type=\"%s\"; boundary=%s", inner,
                         writer->boundary);
}

void multipart_write_part(const struct multipart_writer *writer, const char *content_type,
                          const char *location, struct buffer *out) {
    buffer_append_format(out, "\r\n--%s\r\nContent-Type: %s\r\n", writer->boundary, content_type);
    if (location)
        buffer_append_format(out, "Content-Location: %s\r\n", location);
    buffer_append_text(out, "\r\n");
}

void multipart_write_end(const struct multipart_writer *writer, struct buffer *out) {
    buffer_append_format(out, "\r\n--%s--\r\n", writer->boundary);
}
