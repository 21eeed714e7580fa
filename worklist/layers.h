/* SPDX-License-Identifier: MIT */
#pragma once
/* Data sets laid over one another: how an object's data set becomes another one. Pure. */

#include "dicom/encode.h"

enum { LAYERS_MAX = 4 };
struct layers {
    const struct dataset
        *of[LAYERS_MAX];     /* a later one hides what an earlier one has; NULL: none */
    const uint32_t *without; /* attributes that are left out */
    size_t without_count;
};

/* Appends the attributes of all in order, in UTF-8 without (0008,0005). */
void layers_encode(const struct layers *layers, struct encoder *encoder);
/* A whole data set of them in Explicit VR Little Endian, that says it is in UTF-8. Replaces. */
bool layers_write(const struct layers *layers, struct buffer *out, struct error *err);
