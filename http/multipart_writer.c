/* SPDX-License-Identifier: MIT */
#include "http/multipart_writer.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"

struct multipart_writer multipart_writer_for(const char *inner_type)
{
    static const char digits[] = "0123456789abcdef";
    struct multipart_writer writer = { .inner_type = inner_type };
    uint8_t random[16];
    /* 16 bytes come whole, once the system has its entropy (getrandom(2)). */
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        log_error("http: no random numbers from the system");
        abort();
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        writer.boundary[2 * i] = digits[random[i] >> 4];
        writer.boundary[2 * i + 1] = digits[random[i] & 15];
    }
    return writer;
}

void multipart_content_type(const struct multipart_writer *writer, struct buffer *text)
{
    buffer_append_format(text, "multipart/related; type=\"%s\"; boundary=%s", writer->inner_type,
                         writer->boundary);
}

void multipart_begin_part(const struct multipart_writer *writer, const char *content_type,
                          const char *location, struct buffer *text)
{
    buffer_append_format(text, "\r\n--%s\r\nContent-Type: %s\r\n", writer->boundary, content_type);
    if (location)
        buffer_append_format(text, "Content-Location: %s\r\n", location);
    buffer_append_text(text, "\r\n");
}

void multipart_end(const struct multipart_writer *writer, struct buffer *text)
{
    buffer_append_format(text, "\r\n--%s--\r\n", writer->boundary);
}
