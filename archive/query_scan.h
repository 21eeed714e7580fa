/* SPDX-License-Identifier: MIT */
#pragma once
/* For tests: a query that walks everything (0), which every index must agree with, or that gives an
 * index up after so many candidates. */

#include "archive/query.h"

void query_limit_index(struct query *query, size_t gather_max);
