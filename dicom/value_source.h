/* SPDX-License-Identifier: MIT */
#pragma once
/* Reads bytes of a data set by their place, of values that its header leaves out. `space` is filled
 * whole. */

#include "base/error.h"
#include "base/slice.h"

struct value_source {
    bool (*read)(void *context, uint64_t offset, struct space space, struct error *err);
    void *context;
};
