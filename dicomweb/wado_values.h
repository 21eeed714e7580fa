/* SPDX-License-Identifier: MIT */
#pragma once
/* Bulk values on their way out: in little endian whatever they are stored in (PS3.18 8.7.3.3.1). */

#include "archive/retrieve.h"
#include "dicomweb/routes.h"

/* Bytes that are swapped together in a value of the pixel data or of this VR. */
size_t pixel_unit_size(const struct dataset *header, uint32_t tag);
void value_swap(uint8_t *bytes, size_t size, size_t unit);

/* A stored frame that cannot be decoded, or is too large to be, is no fault of the request's but a
 * form in which the image is not to be had: ERROR_UNSUPPORTED, HTTP 406. Returns false. */
static inline bool value_is_undecodable(struct error *err)
{
    if (err->code == ERROR_INVALID || err->code == ERROR_LIMIT)
        err->code = ERROR_UNSUPPORTED;
    return false;
}

/* The frames answer, also for encapsulated pixel data asked for as bulk data: wado_frames.c */
void wado_answer_frames(struct request *request, struct response *response,
                        const struct path_uids *uids, const char *list);

/* One instance as one file, in the transfer syntax asked for ("": the default): wado.c */
bool wado_answer_instance(struct request *request, struct response *response,
                          const struct path_uids *uids, const char *asked, struct error *err);
