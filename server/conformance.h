/* SPDX-License-Identifier: MIT */
#pragma once
/* The conformance statement of this very server (PS3.2 annex N), at /conformance: made of the
 * settings that are in force and of the tables that associations and requests are answered with.
 * What the standard leaves open and no table says stands in docs/dicom-conformance.md. Thread-safe.
 */

#include "http/server.h"
#include "server/settings.h"

struct conformance;

struct conformance *conformance_new(void);
void conformance_free(struct conformance *conformance);
/* Borrows `conformance` as context. */
struct route_table conformance_routes(struct conformance *conformance);
/* Of these settings, which may go afterwards, and of these tables, whose routes may not. */
void conformance_update(struct conformance *conformance, const struct settings *settings,
                        const struct route_table *tables, size_t count);
/* The same tables; what no reload changes (ports, limits of HTTP) is as in `running`. */
void conformance_reload(struct conformance *conformance, const struct settings *settings,
                        const struct settings *running);
