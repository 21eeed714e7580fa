/* SPDX-License-Identifier: MIT */
#pragma once
/* One frame from its stored pixels to what a screen shows: modality, VOI and presentation
 * transforms of grey images (PS3.4 N.2, PS3.3 C.11.1, C.11.2, C.11.6), palettes and colour spaces
 * (PS3.3 C.7.6.3.1). Pure: bytes in, a picture out. Thread-safe. */

#include "dicom/codec.h"
#include "dicom/dataset.h"
#include "dicom/raster.h"
#include "dicom/value_source.h"

enum voi_function { VOI_LINEAR, VOI_LINEAR_EXACT, VOI_SIGMOID };

struct voi_window {
    double center;
    double width;
    enum voi_function function;
};

struct render_input {
    const struct dataset *header;
    const struct value_source *source;
    const struct pixel_format *format; /* of the pixels, as a decoder left them */
    struct slice pixels;               /* native, little endian */
    uint32_t frame;                    /* its number, from 1 */
    const struct voi_window *window;   /* NULL: that of the image */
    /* Of the Per-Frame Functional Groups Sequence, when many frames of one image are drawn; NULL:
     * the item of the frame is sought from the first on. */
    const struct item_index *frame_groups;
    /* A presentation state in place of what the image says of its grey values; NULL: none. */
    const struct dataset *state;
    const struct value_source *state_source;
    const char *instance; /* SOP Instance UID of the image, as the state names it */
};

/* ERROR_UNSUPPORTED for a photometric interpretation that has no picture, ERROR_INVALID when the
 * attributes contradict each other or the pixels are too few. */
bool render_frame(const struct render_input *input, struct raster *raster, struct error *err);

/* The ICC profile that a picture of so many samples has its colours by, checked; empty when it has
 * none that can be used: then they are sRGB. At most ICC_PROFILE_MAX bytes. */
bool render_has_profile(const struct render_input *input); /* there may be one to be read */
bool render_profile(const struct render_input *input, unsigned samples, struct buffer *profile,
                    struct error *err);

/* Height of a pixel in widths of it; 1 when nothing is said (PS3.3 C.7.6.3.1.7). */
double render_pixel_height(const struct dataset *header);
/* The frame that stands for the instance, from 1 (PS3.3 C.7.6.16.1.5: else the middle one). */
uint32_t render_representative_frame(const struct dataset *header, uint32_t frames);
