/* SPDX-License-Identifier: MIT */
#pragma once
/* Which resource an identifier names: mapped resources refer to each other by identifier alone
 * (logical references, R4 2.3.0.2), and get literal references when it is known where the target
 * stands. One thread at a time. */

#include "cast/json.h"

struct links;

struct links *links_new(void);
void links_free(struct links *links);

size_t links_count(const struct links *links);

/* The resource of this type and identifier is `reference` ("Observation/7", "urn:uuid:..."). False
 * when one is there already: the first one stays. `ours`: a reference to it needs no identifier any
 * more. */
bool links_add(struct links *links, const char *type, const cJSON *identifier,
               const char *reference, bool ours);
/* NULL when it is not known. Borrowed. */
const char *links_find(const struct links *links, const char *type, const cJSON *identifier);
/* Every logical reference in `resource` that is known becomes a literal one. Tells whether
 * there was any. */
bool links_apply(const struct links *links, cJSON *resource);
