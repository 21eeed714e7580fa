/* SPDX-License-Identifier: MIT */
#pragma once
/* Encapsulated pixel data that are one stream for all frames: video (PS3.5 8.2.5 to 8.2.11). */

#include "archive/retrieve.h"
#include "dicomweb/routes.h"

bool wado_is_video(const struct instance *instance);

/* Appends the fragments of encapsulated pixel data as an array of struct fragment64, without the
 * Basic Offset Table. */
bool wado_find_fragments(struct instance *instance, const struct element *pixels,
                         struct buffer *fragments, struct error *err);

/* All of it in one part, as it is stored and by its transfer syntax. Takes the instance. */
void wado_answer_video_take(struct request *request, struct response *response,
                            struct instance *instance_take, const struct element *pixels);

/* What browsers call the stream, by what it begins with: the standard lets the same transfer syntax
 * stand in MP4 files and in MPEG transport streams (PS3.5 8.2.5 to 8.2.11). *type NULL: the
 * instance is no video. */
bool wado_video_type(struct instance *instance, const char **type, struct error *err);
/* The stream as such a file (PS3.18 8.7.4), or 304. Takes the instance, also when it fails. */
bool wado_answer_video_file_take(struct request *request, struct response *response,
                                 struct instance *instance_take, const char *type,
                                 struct error *err);
