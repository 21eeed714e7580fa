/* SPDX-License-Identifier: MIT */
#pragma once
/* Reads bytes of a data set by their place, of values that its header leaves out. `space` is filled
 * whole. */

#include "dicom/dataset.h"

struct value_source {
    bool (*read)(void *context, uint64_t offset, struct space space, struct error *err);
    void *context;
};

/* The whole value, of the header or from where it stands; appends. ERROR_UNSUPPORTED when it has
 * more bytes than `most`. */
bool value_read(const struct element *element, const struct value_source *source, size_t most,
                struct buffer *bytes, struct error *err);
