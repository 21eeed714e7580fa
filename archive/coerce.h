/* SPDX-License-Identifier: MIT */
#pragma once
/* The archive's rules applied to a data set. */

#include "archive/archive.h"
#include "archive/coercion.h"
#include "dicom/coerce.h"

/* What the rules change in one data set. */
struct coercion_set {
    struct coercion coercions[COERCION_RULES_MAX]; /* values are borrowed from `values` */
    size_t count;
    struct buffer values[COERCION_RULES_MAX];
};

/* ERROR_INVALID when a value that must be changed cannot be. Release in any case. */
bool coercion_set_make(const struct coercion_rules *rules, const char *calling_ae,
                       const struct dataset *header, struct coercion_set *set, struct error *err);
void coercion_set_release(struct coercion_set *set);

/* Now, as (0400,0562) says it. */
void coercion_date_time(char date_time[27]);

bool coercion_rules_apply_to(const struct coercion_rules *rules, const char *calling_ae);
