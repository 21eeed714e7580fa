/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/render_lut.h"
#include "dicom/render_parts.h"

static bool read_table(const struct render_input *input, struct modality *modality,
                       struct error *err)
{
    bool found = false;
    struct lut lut;
    struct dataset *item = dataset_item(input->header, TAG_MODALITY_LUT_SEQUENCE, 0);
    if (!item)
        return true;
    bool ok = lut_read(item, TAG_LUT_DESCRIPTOR, TAG_LUT_DATA, 0,
                       input->format->pixel_representation == 1, input->source, &lut, &found, err);
    dataset_close(item);
    if (ok && found) {
        modality->lut = mem_alloc(sizeof(lut));
        *modality->lut = lut;
    }
    return ok;
}

bool modality_find(const struct render_input *input, struct modality *modality, struct error *err)
{
    *modality = (struct modality){ .slope = 1 };
    struct group_item group = group_find(input, TAG_PIXEL_VALUE_TRANSFORMATION_SEQUENCE);
    const struct dataset *place = group.item ? group.item : input->header;
    number_of(place, TAG_RESCALE_SLOPE, &modality->slope);
    number_of(place, TAG_RESCALE_INTERCEPT, &modality->intercept);
    bool ok = group.item || read_table(input, modality, err);
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
    if (modality->lut)
        lut_release(modality->lut);
    free(modality->lut);
    modality->lut = NULL;
}
