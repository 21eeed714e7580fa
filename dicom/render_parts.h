/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of render. */

#include "dicom/render.h"

/* Stored sample values as numbers: where they lie in their words. */
struct sample_layout {
    unsigned bytes; /* of a word: 1, 2, 4 */
    unsigned shift; /* of the lowest stored bit */
    unsigned bits;  /* stored */
    bool is_signed;
};
bool sample_layout_of(const struct render_input *input, struct sample_layout *layout,
                      struct error *err);
int64_t sample_value(const struct sample_layout *layout, const uint8_t *word);

/* A decimal or binary number, the first value of the element; false when absent. */
bool number_of(const struct dataset *dataset, uint32_t tag, double *value);

bool render_grey(const struct render_input *input, struct raster *raster, struct error *err);
bool render_float(const struct render_input *input, bool is_double, struct raster *raster,
                  struct error *err);
bool render_palette(const struct render_input *input, struct raster *raster, struct error *err);
bool render_colour(const struct render_input *input, struct raster *raster, struct error *err);

/* The first item of a sequence of the presentation state that is for this image and frame
 * (presentation.c). NULL when there is none; close it. */
struct dataset *presentation_item(const struct render_input *input, uint32_t sequence_tag);

/* --- render_voi.c: from modality values to 0..255. By value; release it. */
struct voi {
    bool has_window;
    struct voi_window window;
    struct lut *lut; /* when it has no window */
    bool inverse;
    struct lut *presentation; /* goes behind both (PS3.3 C.11.6); NULL: none */
};
/* The transform that the call or the image asks for; has_window and lut stay empty when there is
 * none. */
bool voi_find(const struct render_input *input, struct voi *voi, struct error *err);
/* A linear one that shows everything from lowest to highest. */
void voi_show_all(struct voi *voi, double lowest, double highest);
uint8_t voi_apply(const struct voi *voi, double value);
void voi_release(struct voi *voi);

/* --- render_modality.c: from stored to modality values. */
struct modality {
    double slope;
    double intercept;
    struct lut *lut; /* goes before them */
    bool is_identity;
};
bool modality_find(const struct render_input *input, struct modality *modality, struct error *err);
double modality_apply(const struct modality *modality, int64_t stored);
void modality_release(struct modality *modality);

/* The item of a functional group macro that is for this frame, its own or that of all frames
 * (PS3.3 C.7.6.16.1). NULL when there is none; close it and what it stands in. */
struct group_item {
    struct dataset *group;
    struct dataset *item;
};
struct group_item group_find(const struct render_input *input, uint32_t macro_tag);
void group_close(struct group_item *group);
