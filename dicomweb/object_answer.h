/* SPDX-License-Identifier: MIT */
#pragma once
/* GET of one object of the worklist: its data set in a model (PS3.18 8.7.3), with an ETag. */

#include "http/server.h"
#include "worklist/objects.h"

/* As what it is to be answered. False: the response is filled. */
bool object_answer_choose(struct request *request, struct response *response, const char **type);
/* 200, 304 for who has it, or why not. `tags` (ascending): only these attributes of the top level;
 * NULL: all. */
void object_answer(struct request *request, struct response *response, const struct object *object,
                   const char *type, const uint32_t *tags, size_t tag_count);
