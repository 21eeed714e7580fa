/* SPDX-License-Identifier: MIT */
#pragma once
/* Data sets of the worklist as answers: in the encoding of the presentation context and, where all
 * of it can be said so, in the requester's character set. One thread at a time. */

#include "dicom/encode.h"
#include "dimse/session.h"

struct reply {
    struct charset_writer *charset; /* NULL: UTF-8 */
    struct buffer charset_name;
    bool explicit_vr;
};

/* The character set of the request's data set (NULL: it has none), else that of the peer table. */
void reply_init(const struct session *session, const struct message *request,
                const struct dataset *asked, struct reply *reply);
void reply_release(struct reply *reply);

/* The data set (Explicit VR Little Endian, UTF-8) as it is to go out, or only these attributes of
 * it, those that it has not with no value (`tags` ascending; NULL: all). Replaces. */
bool reply_encode(const struct reply *reply, const struct dataset *dataset, const uint32_t *tags,
                  size_t tag_count, struct buffer *out, struct error *err);
