/* SPDX-License-Identifier: MIT */
#pragma once
/* Requests whose body is one data set in a model (application/dicom+json, application/json or
 * application/dicom+xml), gathered up to a limit; or none where that may be. The state of the
 * request. */

#include "dicom/dataset.h"
#include "http/server.h"

enum { DATASET_BODY_SIZE = 8 << 20 };

/* Functions of a route. A request without a body is let in: dataset_body_read tells. */
bool dataset_body_open(struct request *request, struct response *response);
bool dataset_body_piece(struct request *request, struct slice piece);
void dataset_body_close(struct request *request, bool complete);

/* JSON that is one data set, not in the array that PS3.18 F.2 wants, as it is answered to people
 * and written by them: put into one. `limit` is that of the bytes. */
bool dataset_body_wrap(struct buffer *bytes, size_t limit, struct error *err);

/* The data set, which lives as long as the request; *dataset NULL when there was no body.
 * ERROR_INVALID for anything else than one data set, ERROR_LIMIT. Once. */
bool dataset_body_read(struct request *request, const struct dataset **dataset, struct error *err);
