/* SPDX-License-Identifier: MIT */
#pragma once
/* Colours of pictures by ICC profiles (PS3.3 C.11.15, PS3.18 8.3.5.1.5). Door: Little CMS, icc.c.
 * Thread-safe. */

#include "dicom/raster.h"

/* Well-known colour spaces: IEC 61966-2-1, Adobe RGB (1998), ISO 22028-2 (ROMM RGB). */
enum icc_space { ICC_SRGB, ICC_ADOBE_RGB, ICC_ROMM_RGB };

/* The profile of the space, or of greys with its curve, the same bytes each time. Appends. */
bool icc_write(enum icc_space space, bool grey, struct buffer *out, struct error *err);

/* Turns the picture's colours into those of the space; greys become RGB. `profile`, that they are
 * described by, has passed icc_profile_check; what makes no sense of it, and an empty one, mean
 * sRGB. */
bool icc_convert(struct raster *raster, struct slice profile, enum icc_space space,
                 struct error *err);
