/* SPDX-License-Identifier: MIT */
#pragma once
/* One instance on its way in: open, its bytes in order, commit. Nothing is seen by anybody before
 * the commit, and after an error or a close nothing was ever there. The bytes kept are the bytes
 * received, but for what rules of the archive change (archive/coercion.h). One thread at a time. */

#include "archive/archive.h"
#include "base/slice.h"

struct ingest_options {
    bool part10; /* the bytes begin with preamble and File Meta (STOW); else a bare data set
                    (C-STORE) */
    const char *transfer_syntax; /* of the bare data set */
    const char *sop_class;       /* what the command says; NULL: whatever the data set says */
    const char *sop_instance;    /* likewise */
    const char
        *study; /* the instance must belong to this study (STOW to /studies/{uid}); NULL: any */
    const char *source_ae; /* who sends it, for (0002,0016); NULL for none */
    bool amends; /* within the archive only: what is stored with other values of its patient */
};

struct ingest;

bool ingest_open(struct archive *archive, const struct ingest_options *options, struct ingest **out,
                 struct error *err);

/* Room to receive the next bytes into (at most `wanted`, at least one byte), so that they are
 * copied only once, from the socket. After an error every further call fails in the same way; the
 * caller drains its peer and goes on. */
bool ingest_space(struct ingest *ingest, size_t wanted, struct space *space, struct error *err);
bool ingest_advance(struct ingest *ingest, size_t size, struct error *err);
/* The same with bytes that are in memory already. */
bool ingest_write(struct ingest *ingest, struct slice bytes, struct error *err);

enum ingest_outcome {
    INGEST_STORED,
    INGEST_DUPLICATE, /* the same bytes were here already: success, one copy, no change */
    INGEST_DIFFERENT, /* within the archive only: not stored, as it was only to be compared */
    INGEST_REPLACED,  /* other bytes were here: they are a version now (archive_options) */
};

/* Returns when the instance is durable and every query, retrieve and follower sees it.
 * ERROR_INVALID the data set cannot be parsed; ERROR_MISMATCH UIDs missing or not those of the
 * command or study; ERROR_CONFLICT the same SOP Instance UID with other content that stays;
 * ERROR_UNSUPPORTED SOP class refused; ERROR_NO_SPACE; ERROR_LIMIT; ERROR_IO. */
bool ingest_commit(struct ingest *ingest, enum ingest_outcome *outcome, struct error *err);

/* After the commit: what the archive's rules changed before it was stored (PS3.4 B.4.1.3): the
 * tags, ascending, and Original Attributes Sequence alone, as a data set in Explicit VR Little
 * Endian; none when nothing was changed. Borrowed. */
const uint32_t *ingest_coerced(const struct ingest *ingest, size_t *count);
struct slice ingest_original_attributes(const struct ingest *ingest);

/* UIDs as far as they were read, "" where not: for reports of failures. Borrowed. */
const struct identity *ingest_identity(const struct ingest *ingest);
void ingest_close(struct ingest *ingest);
