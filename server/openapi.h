/* SPDX-License-Identifier: MIT */
#pragma once
/* What the server offers over HTTP, made of the very tables that requests are matched with: as
 * OpenAPI at /openapi.json, and to OPTIONS of the DICOMweb service and of / (PS3.18 8.9) as WADL or
 * JSON. Thread-safe. */

#include "http/server.h"

struct openapi;

enum { OPENAPI_TABLES_MAX = 16 };

/* The tables are copied; what they point to is borrowed. */
struct openapi *openapi_new(const struct route_table *tables, size_t count,
                            const char *dicomweb_prefix, bool login);
void openapi_free(struct openapi *openapi);
/* Whether there are users now. */
void openapi_set_login(struct openapi *openapi, bool login);
/* Borrows `openapi` as context; it describes itself, too. */
struct route_table openapi_routes(struct openapi *openapi);
