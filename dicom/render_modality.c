/* SPDX-License-Identifier: MIT */
#include "dicom/render_lut.h"
#include "dicom/render_parts.h"

/* A state says all of it: what it leaves out is the identity (PS3.4 N.2.1). */
static bool find_in_state(const struct render_input *input, struct modality *modality,
                          struct error *err)
{
    struct render_input of_state = *input;
    of_state.source = input->state_source;
    number_of(input->state, TAG_RESCALE_SLOPE, &modality->slope);
    number_of(input->state, TAG_RESCALE_INTERCEPT, &modality->intercept);
    return lut_find(input->state, TAG_MODALITY_LUT_SEQUENCE, &of_state, &modality->lut, err);
}

static bool find_in_image(const struct render_input *input, struct modality *modality,
                          struct error *err)
{
    struct group_item group = group_find(input, TAG_PIXEL_VALUE_TRANSFORMATION_SEQUENCE);
    const struct dataset *place = group.item ? group.item : input->header;
    number_of(place, TAG_RESCALE_SLOPE, &modality->slope);
    number_of(place, TAG_RESCALE_INTERCEPT, &modality->intercept);
    bool ok = group.item ||
              lut_find(input->header, TAG_MODALITY_LUT_SEQUENCE, input, &modality->lut, err);
    group_close(&group);
    return ok;
}

bool modality_find(const struct render_input *input, struct modality *modality, struct error *err)
{
    *modality = (struct modality){ .slope = 1 };
    bool ok = input->state ? find_in_state(input, modality, err)
                           : find_in_image(input, modality, err);
    if (modality->slope == 0)
        modality->slope = 1; /* it would make all pixels alike */
    modality->is_identity = !modality->lut && modality->slope == 1 && modality->intercept == 0;
    return ok;
}

double modality_apply(const struct modality *modality, int64_t stored)
{
    if (modality->lut)
        return lut_value(modality->lut, stored);
    return modality->slope * (double)stored + modality->intercept;
}

void modality_release(struct modality *modality)
{
    lut_free(modality->lut);
    modality->lut = NULL;
}
