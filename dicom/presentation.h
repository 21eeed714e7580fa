/* SPDX-License-Identifier: MIT */
#pragma once
/* Softcopy presentation states (PS3.3 A.33, C.10, C.11.8; PS3.4 annex N): an image as somebody left
 * it. What a state says of grey values is applied by render_frame (render_input.state); here is
 * what follows: shutters and overlays, the displayed area, rotation and flip, and what is written
 * and drawn over it. Pure. Thread-safe. */

#include "dicom/render.h"

/* A state whose images can be shown: grayscale, color and XA/XRF grayscale ones. */
bool presentation_is_state(const struct dataset *header);

/* An image that a state is for. */
struct presentation_reference {
    char series[UID_SIZE];
    char instance[UID_SIZE];
    uint32_t frame; /* 0: all of them */
};
/* Appends those of a state, frame by frame, `most` of them at most. */
void presentation_references(const struct dataset *state, size_t most, struct buffer *references);
/* Is it for this image, and this frame of it? */
bool presentation_refers_to(const struct dataset *state, const char *instance, uint32_t frame);

/* What of the image is to be seen, and how it is turned. */
struct presentation_area {
    int64_t left; /* in pixels of the image; may be outside of it */
    int64_t top;
    uint32_t columns;
    uint32_t rows;
    double pixel_height; /* in widths of a pixel, as the state says, else the image */
    unsigned rotation;   /* clockwise, in quarters */
    bool flipped;        /* then, left to right */
};
/* ERROR_UNSUPPORTED for an area that is too large to be drawn. */
bool presentation_area_of(const struct render_input *input, struct presentation_area *area,
                          struct error *err);

/* Shutters and overlays go over the picture of the whole image, which becomes that of the area. */
bool presentation_place(const struct render_input *input, const struct presentation_area *area,
                        struct raster *raster, struct error *err);
/* Without a state: the overlays of the image itself, white. */
bool presentation_image_overlays(const struct render_input *input, struct raster *raster,
                                 struct error *err);
/* Graphics and text go over the view of the area, which `viewport` made of it. */
bool presentation_annotate(const struct render_input *input, const struct presentation_area *area,
                           const struct viewport *viewport, struct raster *view, struct error *err);
/* Height of a pixel in widths, of the area as it is turned. */
double presentation_pixel_height(const struct presentation_area *area);
