/* SPDX-License-Identifier: MIT */
#include "dicom/render_lut.h"
#include "dicom/render_parts.h"

bool modality_find(const struct render_input *input, struct modality *modality, struct error *err)
{
    *modality = (struct modality){ .slope = 1 };
    struct group_item group = group_find(input, TAG_PIXEL_VALUE_TRANSFORMATION_SEQUENCE);
    const struct dataset *place = group.item ? group.item : input->header;
    number_of(place, TAG_RESCALE_SLOPE, &modality->slope);
    number_of(place, TAG_RESCALE_INTERCEPT, &modality->intercept);
    bool ok = group.item ||
              lut_find(input->header, TAG_MODALITY_LUT_SEQUENCE, input, &modality->lut, err);
    group_close(&group);
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
