/* SPDX-License-Identifier: MIT */
#pragma once
/* Which transfer syntax an instance is sent in (PS3.18 8.7.3): what the client asked for, against
 * what is stored. */

#include "archive/retrieve.h"
#include "http/negotiate.h"

enum { SYNTAX_IMPOSSIBLE, SYNTAX_AS_STORED, SYNTAX_TRANSCODED };

/* `asked`: a UID, "*" (as stored) or "" (the default: Explicit VR Little Endian, unless the object
 * is lossy or cannot be held in it). Implicit VR and Big Endian are never sent (8.7.3.5.2). Sets
 * *to when the answer is TRANSCODED. */
int wado_choose_syntax(const struct transfer_syntax *stored, const char *stored_uid,
                       const char *asked, const struct transfer_syntax **to);

/* Must who asks for the media type of a stored syntax name the syntax, or "*"? Without one the type
 * means its default (8.7.3.4); what cannot be decoded is what there is. */
bool wado_must_be_named(const struct transfer_syntax *syntax);

/* How many instances of a study or below can be given, before the first byte is sent. When that is
 * none: ERROR_UNSUPPORTED, and ERROR_GONE when there is no instance (PS3.18 10.4.3.1). */
bool wado_count_possible(const struct retrieve *retrieve, const char *asked, uint64_t *possible,
                         struct error *err);
