/* SPDX-License-Identifier: MIT */
#pragma once
/* A new instance of the frames that a request at the FRAME level asks for (PS3.4 Y.3.3, Y.4). It is
 * sent and not kept: it stands in a file without a name until it is closed. Immutable once made. */

#include "archive/spool.h"
#include "archive/transcoding.h"
#include "dicom/scan.h"

struct excerpt {
    char instance[UID_SIZE];
    const struct transfer_syntax *syntax;
    uint64_t size; /* of the data set */
    struct spool *spool;
    struct file_range range; /* of the data set in it */
    struct spool_share share;
    struct scan *scan; /* of the bytes in the file, with all that follows */
    struct dataset *header;
    struct buffer frames;
};

/* Of the one instance that is selected; *out NULL when there is none. ERROR_INVALID,
 * ERROR_MISMATCH, ERROR_NOT_FOUND as in dicom/frame_selection.h, ERROR_UNSUPPORTED and others as in
 * dicom/extract.h. */
bool excerpt_make(struct archive *archive, const struct selection *selection,
                  const struct dataset *identifier, struct excerpt **out, struct error *err);
void excerpt_close(struct excerpt *excerpt);

/* The status of such an error (PS3.4 table Y.4-1). */
uint16_t excerpt_status(const struct error *err);

bool excerpt_read(struct excerpt *excerpt, uint64_t offset, struct space space, struct error *err);
