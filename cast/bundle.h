/* SPDX-License-Identifier: MIT */
#pragma once
/* A transaction (R4 3.1.0.11): all entries or none. The order is that of the calls, for servers
 * that heed it: Patient, Endpoint, ImagingStudy. */

#include "cast/json.h"

struct bundle;

/* `base` is the server's URL: an update is named by its whole URL, so that its relative references
 * can be resolved. */
struct bundle *bundle_new(const char *base);
void bundle_free(struct bundle *bundle);

/* POST with ifNoneExist, under a urn:uuid made from the resource's first identifier: the same
 * resource has the same one in every bundle. Not `conditional`: a plain POST. `beside`: an
 * identifier that the one which is there must have, too; or NULL. Takes the resource. The result is
 * the reference to it within this bundle, borrowed. */
const char *bundle_create_take(struct bundle *bundle, cJSON *resource, bool conditional,
                               const cJSON *beside);
/* PUT with If-Match of the version that was read (none when the server gave none). Takes the
 * resource, which has its id and meta. */
void bundle_update_take(struct bundle *bundle, cJSON *resource);

/* DELETE of what was read, with If-Match. */
void bundle_delete(struct bundle *bundle, const cJSON *resource);

size_t bundle_count(const struct bundle *bundle);
void bundle_print(const struct bundle *bundle, struct buffer *text);

/* "W/\"3\"" of meta.versionId into `etag`, "" when there is none. */
enum { ETAG_SIZE = 128 };
void bundle_etag(const cJSON *resource, char etag[ETAG_SIZE]);

/* What the server says about the bundle's entries. */
enum bundle_answer {
    BUNDLE_WRITTEN,
    BUNDLE_EXISTED, /* a conditional create found somebody else's: ours was not stored */
};
/* ERROR_INVALID: the answer is none of a transaction with so many entries; nothing may be assumed.
 */
bool bundle_check(const struct bundle *bundle, struct slice answer, enum bundle_answer *result,
                  struct error *err);
