/* SPDX-License-Identifier: MIT */
/* What says which colours the numbers of an image are: its ICC profile, that of the optical path
 * it was taken by, or that of the presentation state that shows it (PS3.3 C.11.15, C.8.12.5). */
#include <string.h>

#include "dicom/icc.h"
#include "dicom/icc_profile.h"
#include "dicom/render_parts.h"

enum {
    TAG_ICC_PROFILE = 0x00282000,
    TAG_COLOR_SPACE = 0x00282002,
    TAG_OPTICAL_PATH_SEQUENCE = 0x00480105,
    TAG_OPTICAL_PATH_IDENTIFIER = 0x00480106,
    TAG_OPTICAL_PATH_IDENTIFICATION_SEQUENCE = 0x00480207,
    PATHS_MAX = 256,
};

static bool read_profile(const struct dataset *place, const struct value_source *source,
                         struct buffer *profile, struct error *err)
{
    struct element element;
    if (!dataset_find(place, TAG_ICC_PROFILE, &element) || element.size > ICC_PROFILE_MAX)
        return true;
    return value_read(&element, source, ICC_PROFILE_MAX, profile, err);
}

static bool is_path(const struct dataset *path, const char *identifier)
{
    char text[65];
    return !*identifier || (dataset_string(path, TAG_OPTICAL_PATH_IDENTIFIER, text, sizeof(text)) &&
                            !strcmp(text, identifier));
}

/* That of the frame's path, of the first one when the frame names none. */
static bool read_of_path(const struct render_input *input, struct buffer *profile,
                         struct error *err)
{
    char identifier[65] = "";
    struct group_item group = group_find(input, TAG_OPTICAL_PATH_IDENTIFICATION_SEQUENCE);
    if (group.item)
        dataset_string(group.item, TAG_OPTICAL_PATH_IDENTIFIER, identifier, sizeof(identifier));
    group_close(&group);
    struct dataset_items paths = dataset_items(input->header, TAG_OPTICAL_PATH_SEQUENCE);
    struct dataset *path;
    bool ok = true;
    for (int i = 0; ok && !profile->size && i < PATHS_MAX && (path = dataset_items_next(&paths));
         i++) {
        if (is_path(path, identifier))
            ok = read_profile(path, input->source, profile, err);
        dataset_close(path);
    }
    return ok;
}

/* A well-known space may be named alone (PS3.3 C.11.15.1.2); sRGB is what is meant anyway. */
static bool write_named(const struct dataset *header, struct buffer *profile, struct error *err)
{
    char name[17];
    if (!dataset_string(header, TAG_COLOR_SPACE, name, sizeof(name)))
        return true;
    if (!strcmp(name, "ADOBERGB"))
        return icc_write(ICC_ADOBE_RGB, false, profile, err);
    if (!strcmp(name, "ROMMRGB"))
        return icc_write(ICC_ROMM_RGB, false, profile, err);
    return true;
}

bool render_has_profile(const struct render_input *input)
{
    struct element element;
    return (input->state && dataset_find(input->state, TAG_ICC_PROFILE, &element)) ||
           dataset_find(input->header, TAG_ICC_PROFILE, &element) ||
           dataset_find(input->header, TAG_OPTICAL_PATH_SEQUENCE, &element);
}

bool render_profile(const struct render_input *input, unsigned samples, struct buffer *profile,
                    struct error *err)
{
    struct slice checked;
    if (samples == 1)
        return true; /* profiles of DICOM are for RGB */
    bool ok = !input->state || read_profile(input->state, input->state_source, profile, err);
    ok = ok && (profile->size || read_profile(input->header, input->source, profile, err));
    ok = ok && (profile->size || read_of_path(input, profile, err));
    if (!ok)
        return false;
    if (profile->size && icc_profile_check(buffer_slice(profile), samples, &checked)) {
        profile->size = checked.size;
        return true;
    }
    buffer_clear(profile);
    return write_named(input->header, profile, err);
}
