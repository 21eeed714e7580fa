/* SPDX-License-Identifier: MIT */
#pragma once
/* Keys of a query as people write them, made into an identifier (PS3.4 C.4.1.1.3):
 * "PatientName=DOE*", "0020,000D=1.2.3", "ModalitiesInStudy" (to be returned), and inside sequences
 * "RequestAttributesSequence.RequestedProcedureID=". One thread at a time. */

#include "base/buffer.h"
#include "base/error.h"

enum { CLIENT_KEYS = 512, CLIENT_KEY_DEPTH = 4 };

struct client_key {
    uint32_t tags[CLIENT_KEY_DEPTH];
    size_t depth;
    const char *value; /* borrowed; "" for none */
};

struct client_keys {
    struct client_key keys[CLIENT_KEYS];
    size_t count;
};

/* One key; `text` is borrowed. ERROR_INVALID says what is wrong with it. */
bool client_keys_add(struct client_keys *keys, const char *text, struct error *err);
/* The same unless this top-level attribute is there already. */
void client_keys_default(struct client_keys *keys, uint32_t tag, const char *value);
/* The value of a top-level attribute; NULL: it is not there. */
const char *client_keys_value(const struct client_keys *keys, uint32_t tag);
/* Appends the data set. Texts are UTF-8, and said to be where they are more than ASCII. */
bool client_keys_encode(struct client_keys *keys, bool explicit_vr, struct buffer *out,
                        struct error *err);
