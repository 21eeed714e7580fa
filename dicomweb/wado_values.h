/* SPDX-License-Identifier: MIT */
#pragma once
/* Bulk values on their way out: in little endian whatever they are stored in (PS3.18 8.7.3.3.1). */

#include "archive/retrieve.h"
#include "dicomweb/routes.h"

/* Bytes that are swapped together in a value of the pixel data or of this VR. */
size_t pixel_unit_size(const struct dataset *header, uint32_t tag);
void value_swap(uint8_t *bytes, size_t size, size_t unit);

/* The frames answer, also for encapsulated pixel data asked for as bulk data: wado_frames.c */
void wado_answer_frames(struct request *request, struct response *response,
                        const struct path_uids *uids, const char *list);
