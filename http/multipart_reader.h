/* SPDX-License-Identifier: MIT */
#pragma once
/* Reads multipart bodies (RFC 2046 5.1) of any size as they arrive, cut anywhere: bytes are fed,
 * events pulled. Content is handed on in place, in pieces as large as they came. One thread at a
 * time. */

#include "base/error.h"
#include "base/slice.h"

enum { MULTIPART_BOUNDARY_SIZE = 71 }; /* 70 characters and a NUL */

struct multipart_reader;

struct multipart_limits {
    size_t header_bytes; /* of one part, 0: 16 KiB */
    uint64_t parts;      /* 0: 100,000 */
};

enum multipart_event_kind {
    MULTIPART_MORE,     /* nothing more in what was fed */
    MULTIPART_PART,     /* a part begins: its header fields can be asked for until its end */
    MULTIPART_CONTENT,  /* bytes of it */
    MULTIPART_PART_END, /* it is complete */
    MULTIPART_END,      /* the closing delimiter was there; what follows is ignored */
};

struct multipart_event {
    enum multipart_event_kind kind;
    struct slice content; /* borrowed until the next call on the reader */
};

/* 1 to 70 legal characters, the last no space (RFC 2046 5.1.1). */
bool multipart_boundary_is_valid(const char *boundary);

/* The boundary must be valid. `limits` may be NULL. */
struct multipart_reader *multipart_reader_new(const char *boundary,
                                              const struct multipart_limits *limits);
void multipart_reader_free(struct multipart_reader *reader);

/* Borrows `bytes` until MULTIPART_MORE says that they are used up; only then feed more. */
void multipart_feed(struct multipart_reader *reader, struct slice bytes);
/* The body has ended. Events go on; instead of MULTIPART_MORE there is then an error when the
 * closing delimiter was not seen. */
void multipart_finish(struct multipart_reader *reader);
/* The next event. ERROR_INVALID for what is no multipart body, ERROR_LIMIT past a limit; both are
 * final. */
bool multipart_next(struct multipart_reader *reader, struct multipart_event *event,
                    struct error *err);
/* Of the present part, any case; NULL when absent. Borrowed until the part's end. */
const char *multipart_part_header(const struct multipart_reader *reader, const char *name);
