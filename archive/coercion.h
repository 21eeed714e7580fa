/* SPDX-License-Identifier: MIT */
#pragma once
/* Rules by which attributes of what is received are changed before it is stored (PS3.4 B.4.1.3),
 * by who sends it. Immutable once made, thread-safe. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Of a text attribute (AE, CS, LO, PN, SH) of the top level. */
struct coercion_rule {
    const char *const *calling_ae_titles; /* NULL-terminated; NULL or empty: everybody, STOW too */
    uint32_t tag;
    const char *set;    /* the new value, ASCII; or NULL: */
    const char *prefix; /* is put before the value, unless that begins with it or is empty */
    bool if_empty;      /* `set` only where there is no value */
};

enum { COERCION_RULES_MAX = 32 };

/* Whether an attribute can be worked upon by a rule. */
bool coercion_is_possible(uint32_t tag);

struct coercion_rules;

/* Copies. ERROR_INVALID. */
bool coercion_rules_new(const struct coercion_rule *rules, size_t count,
                        struct coercion_rules **out, struct error *err);
void coercion_rules_free(struct coercion_rules *rules);
