/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of presentation. */

#include "dicom/canvas.h"
#include "dicom/presentation.h"

/* The values of a numeric element, DS, FL, SL or any other, `most` of them at most. Returns how
 * many there are. */
size_t numbers_of(const struct dataset *dataset, uint32_t tag, double *values, size_t most);
/* Is an item of the state for this image and frame? */
bool presentation_applies(const struct dataset *item, const struct render_input *input);

/* Over the picture of the whole image: presentation_overlay.c */
bool presentation_shutters(const struct render_input *input, struct raster *raster,
                           struct error *err);
bool presentation_overlays(const struct render_input *input, struct raster *raster,
                           struct error *err);

/* The grey that a graphic layer recommends (PS3.3 C.10.7); white else: presentation_graphics.c */
uint8_t presentation_layer_level(const struct dataset *state, const char *layer);
