/* SPDX-License-Identifier: MIT */
/* A profile of a peer: embedded in files, and used for a conversion. What is reduced is a profile
 * still, and no larger. */
#include <stdlib.h>

#include "dicom/icc.h"
#include "dicom/icc_profile.h"
#include "dicom/image_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct raster colours(void)
{
    static const uint8_t samples[] = { 0, 0, 0, 255, 255, 255, 255, 0, 0, 1, 128, 254 };
    struct raster raster;
    struct error err;
    if (!raster_init(&raster, 2, 2, 3, &err))
        abort();
    memcpy(raster.bytes.data, samples, sizeof(samples));
    return raster;
}

static void check_reduced(struct slice profile)
{
    struct buffer reduced = buffer_up_to(ICC_PROFILE_MAX + 256);
    struct slice again;
    if (icc_profile_reduce(profile, &reduced) &&
        (!icc_profile_check(buffer_slice(&reduced), 3, &again) || again.size != reduced.size))
        abort();
    buffer_release(&reduced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice profile;
    struct error err;
    if (!icc_profile_check(slice_of(data, size), 3, &profile))
        return 0;
    check_reduced(profile);
    struct raster raster = colours();
    struct buffer file = buffer_up_to(1 << 24);
    if (!image_write_jpeg(&raster, 90, profile, &file, &err) ||
        !image_write_png(&raster, profile, &file, &err))
        abort();
    if (!icc_convert(&raster, profile, ICC_SRGB, &err))
        abort();
    buffer_release(&file);
    raster_release(&raster);
    return 0;
}
