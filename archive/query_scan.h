/* SPDX-License-Identifier: MIT */
#pragma once
/* For tests: a query that walks everything, which every index must agree with. */

#include "archive/query.h"

void query_use_no_index(struct query *query);
