/* SPDX-License-Identifier: MIT */
#pragma once
/* PN (PS3.5 6.2.1) as HumanName: up to three component groups, each a name of its own. */

#include "cast/json.h"

/* Appends a HumanName for each group that says something: alphabetic, ideographic, phonetic, the
 * last two marked so (iso21090-EN-representation). `use` may be NULL. A placeholder such as UNKNOWN
 * is no name; a value with more components or groups than PN has is kept as text. */
void human_name_append(cJSON *names, const char *pn, const char *use);
/* The first group as people read it, for Reference.display. False when there is no name. */
bool human_name_text(const char *pn, char *text, size_t size);
