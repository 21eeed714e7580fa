/* SPDX-License-Identifier: MIT */
#include "dicom/icc.h"

#include <lcms2.h>
#include <string.h>

#include "base/bytes.h"
#include "dicom/icc_profile.h"

enum {
    CREATED_AT = 24, /* year, month, day, hour, minute, second in the header of a profile */
    IDENTIFIER_AT = 84,
    IDENTIFIER_SIZE = 16,
    /* Of a profile with tables the library computes a table of 33 values in each direction first.
     * Smaller pictures go through the profile itself. */
    SMALL_PICTURE = 33 * 33 * 33,
};

/* --- The spaces. */

/* Curves of lcms2: 1 is x^g; 4 is (ax+b)^g from d on, and before it cx. */
struct colour_space {
    const char *name;
    cmsCIExyY white;
    cmsCIExyYTRIPLE primaries;
    cmsInt32Number curve;
    cmsFloat64Number parameters[5];
};

#define D65                                                                                        \
    {                                                                                              \
        0.3127, 0.3290, 1                                                                          \
    }
#define D50                                                                                        \
    {                                                                                              \
        0.3457, 0.3585, 1                                                                          \
    }

static const struct colour_space spaces[] = {
    [ICC_SRGB] = { "sRGB",
                   D65,
                   { { 0.64, 0.33, 1 }, { 0.30, 0.60, 1 }, { 0.15, 0.06, 1 } },
                   4,
                   { 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045 } },
    [ICC_ADOBE_RGB] = { "Adobe RGB (1998)",
                        D65,
                        { { 0.64, 0.33, 1 }, { 0.21, 0.71, 1 }, { 0.15, 0.06, 1 } },
                        1,
                        { 563.0 / 256 } },
    [ICC_ROMM_RGB] = { "ROMM RGB",
                       D50,
                       { { 0.7347, 0.2653, 1 }, { 0.1596, 0.8404, 1 }, { 0.0366, 0.0001, 1 } },
                       4,
                       { 1.8, 1, 0, 1.0 / 16, 1.0 / 32 } },
};

static cmsHPROFILE open_space(cmsContext context, enum icc_space which, bool grey)
{
    const struct colour_space *space = &spaces[which];
    cmsToneCurve *curve = cmsBuildParametricToneCurve(context, space->curve, space->parameters);
    cmsToneCurve *const curves[3] = { curve, curve, curve };
    cmsHPROFILE profile = NULL;
    if (curve && grey)
        profile = cmsCreateGrayProfileTHR(context, cmsD50_xyY(), curve);
    else if (curve)
        profile = cmsCreateRGBProfileTHR(context, &space->white, &space->primaries, curves);
    if (curve)
        cmsFreeToneCurve(curve);
    return profile;
}

static bool name_profile(cmsContext context, cmsHPROFILE profile, const char *name)
{
    cmsMLU *text = cmsMLUalloc(context, 1);
    bool ok = text && cmsMLUsetASCII(text, "en", "US", name) &&
              cmsWriteTag(profile, cmsSigProfileDescriptionTag, text);
    if (text)
        cmsMLUfree(text);
    return ok;
}

/* Pictures have an ETag: their profile must not tell the time at which it was made. */
static void make_timeless(uint8_t *profile)
{
    static const uint16_t created[] = { 2000, 1, 1, 0, 0, 0 };
    for (size_t i = 0; i < sizeof(created) / sizeof(created[0]); i++)
        put_u16be(profile + CREATED_AT + 2 * i, created[i]);
    memset(profile + IDENTIFIER_AT, 0, IDENTIFIER_SIZE); /* none was computed (ICC.1, 7.2.18) */
}

static bool save(cmsHPROFILE profile, struct buffer *out)
{
    cmsUInt32Number size = 0;
    if (!cmsSaveProfileToMem(profile, NULL, &size))
        return false;
    struct space space = buffer_reserve(out, size);
    if (!space.data || !cmsSaveProfileToMem(profile, space.data, &size))
        return false;
    make_timeless(space.data);
    buffer_advance(out, size);
    return true;
}

bool icc_write(enum icc_space space, bool grey, struct buffer *out, struct error *err)
{
    cmsContext context = cmsCreateContext(NULL, NULL);
    cmsHPROFILE profile = context ? open_space(context, space, grey) : NULL;
    bool ok = profile && name_profile(context, profile, spaces[space].name) && save(profile, out);
    if (profile)
        cmsCloseProfile(profile);
    if (context)
        cmsDeleteContext(context);
    return ok || error_set(err, ERROR_LIMIT, "no colour profile can be made");
}

/* --- From one to the other. */

/* NULL when the library makes no sense of it. */
static cmsHTRANSFORM open_transform(cmsContext context, const struct raster *raster,
                                    struct slice profile, enum icc_space space)
{
    bool is_small = (uint64_t)raster->rows * raster->columns < SMALL_PICTURE;
    struct buffer reduced = buffer_up_to(ICC_PROFILE_MAX + 256);
    cmsHPROFILE from = NULL;
    cmsHPROFILE to = open_space(context, space, false);
    cmsHTRANSFORM transform = NULL;
    if (!profile.size)
        from = open_space(context, ICC_SRGB, false);
    else if (icc_profile_reduce(profile, &reduced))
        from = cmsOpenProfileFromMemTHR(context, reduced.data, (cmsUInt32Number)reduced.size);
    if (from && to)
        transform = cmsCreateTransformTHR(context, from, TYPE_RGB_8, to, TYPE_RGB_8,
                                          INTENT_PERCEPTUAL, is_small ? cmsFLAGS_NOOPTIMIZE : 0);
    if (from)
        cmsCloseProfile(from);
    if (to)
        cmsCloseProfile(to);
    buffer_release(&reduced);
    return transform;
}

/* R, G and B of a grey are equal. */
static bool widen(struct raster *raster, struct error *err)
{
    struct raster wide;
    if (!raster_init(&wide, raster->rows, raster->columns, 3, err)) {
        raster_release(&wide);
        return false;
    }
    uint8_t *out = wide.bytes.data;
    for (size_t i = 0; i < raster->bytes.size; i++, out += 3)
        out[0] = out[1] = out[2] = raster->bytes.data[i];
    raster_release(raster);
    *raster = wide;
    return true;
}

static void convert_rows(cmsHTRANSFORM transform, struct raster *raster)
{
    size_t line = (size_t)raster->columns * 3;
    for (uint32_t y = 0; y < raster->rows; y++) {
        uint8_t *row = raster->bytes.data + y * line;
        cmsDoTransform(transform, row, row, raster->columns);
    }
}

bool icc_convert(struct raster *raster, struct slice profile, enum icc_space space,
                 struct error *err)
{
    if (raster->samples == 1) {
        if (!widen(raster, err))
            return false;
        profile = slice_of(NULL, 0);
    }
    if (!profile.size && space == ICC_SRGB)
        return true;
    cmsContext context = cmsCreateContext(NULL, NULL);
    cmsHTRANSFORM transform = context ? open_transform(context, raster, profile, space) : NULL;
    bool is_srgb = context && !transform; /* as good as without a profile */
    if (is_srgb && space != ICC_SRGB)
        transform = open_transform(context, raster, slice_of(NULL, 0), space);
    bool ok = transform || (is_srgb && space == ICC_SRGB);
    if (transform) {
        convert_rows(transform, raster);
        cmsDeleteTransform(transform);
    }
    if (context)
        cmsDeleteContext(context);
    return ok || error_set(err, ERROR_UNSUPPORTED, "the colours cannot be converted");
}
