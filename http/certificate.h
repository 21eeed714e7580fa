/* SPDX-License-Identifier: MIT */
#pragma once
/* The certificate and key of the HTTPS port, as the text that the HTTP library takes. Immutable. */

#include "base/error.h"
#include "base/tls.h"

struct certificate {
    char *chain; /* PEM */
    char *key;   /* PEM */
};

/* Reads both files and looks whether they belong together. */
bool certificate_load(const struct tls_files *files, struct certificate *certificate,
                      struct error *err);
void certificate_release(struct certificate *certificate);
