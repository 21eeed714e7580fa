/* SPDX-License-Identifier: MIT */
#include "dicom/render.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dicom/render_parts.h"

bool number_of(const struct dataset *dataset, uint32_t tag, double *value)
{
    char text[64];
    char *end;
    if (!dataset_string(dataset, tag, text, sizeof(text)))
        return false;
    double number = strtod(text, &end);
    if (end == text || !(number > -1e300 && number < 1e300))
        return false;
    *value = number;
    return true;
}

static struct dataset *groups_of_frame(const struct render_input *input)
{
    if (input->frame_groups)
        return item_index_open(input->frame_groups, input->frame - 1);
    return dataset_item(input->header, TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, input->frame - 1);
}

struct group_item group_find(const struct render_input *input, uint32_t macro_tag)
{
    struct group_item found = { NULL, NULL };
    for (int shared = 0; shared < 2 && !found.item; shared++) {
        found.group = shared ? dataset_item(input->header, TAG_SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0)
                             : groups_of_frame(input);
        if (found.group)
            found.item = dataset_item(found.group, macro_tag, 0);
        if (!found.item)
            group_close(&found);
    }
    return found;
}

void group_close(struct group_item *group)
{
    dataset_close(group->item);
    dataset_close(group->group);
    *group = (struct group_item){ NULL, NULL };
}

bool sample_layout_of(const struct render_input *input, struct sample_layout *layout,
                      struct error *err)
{
    const struct pixel_format *format = input->format;
    int64_t high_bit = (int64_t)format->bits_stored - 1;
    unsigned allocated = format->bits_allocated;
    unsigned stored = format->bits_stored ? format->bits_stored : allocated;
    if (allocated != 8 && allocated != 16 && allocated != 32)
        return error_set_tag(err, ERROR_UNSUPPORTED, TAG_BITS_ALLOCATED,
                             "pixels of %u bits have no picture here", allocated);
    if (stored > allocated)
        stored = allocated;
    dataset_integer(input->header, TAG_HIGH_BIT, &high_bit);
    if (high_bit < (int64_t)stored - 1 || high_bit >= (int64_t)allocated)
        high_bit = (int64_t)stored - 1;
    layout->bytes = allocated / 8;
    layout->bits = stored;
    layout->shift = (unsigned)high_bit + 1 - stored;
    layout->is_signed = format->pixel_representation == 1;
    return true;
}

int64_t sample_value(const struct sample_layout *layout, const uint8_t *word)
{
    uint64_t value = layout->bytes == 1   ? word[0]
                     : layout->bytes == 2 ? get_u16le(word)
                                          : get_u32le(word);
    value = value >> layout->shift & (((uint64_t)1 << layout->bits) - 1);
    if (layout->is_signed && value >> (layout->bits - 1))
        return (int64_t)value - ((int64_t)1 << layout->bits);
    return (int64_t)value;
}

double render_pixel_height(const struct dataset *header)
{
    struct buffer text = buffer_up_to(256);
    double height = 1;
    if (dataset_text(header, TAG_PIXEL_ASPECT_RATIO, &text)) {
        char *end;
        double vertical = strtod(buffer_text(&text), &end);
        double horizontal = *end == '\\' ? strtod(end + 1, NULL) : 0;
        if (vertical > 0 && horizontal > 0)
            height = vertical / horizontal;
    }
    buffer_release(&text);
    return height;
}

uint32_t render_representative_frame(const struct dataset *header, uint32_t frames)
{
    int64_t number;
    if (dataset_integer(header, TAG_REPRESENTATIVE_FRAME_NUMBER, &number) && number >= 1 &&
        number <= frames)
        return (uint32_t)number;
    return frames ? (frames + 1) / 2 : 1;
}

static bool is_one_of(const char *text, const char *const *list)
{
    while (*list && strcmp(*list, text) != 0)
        list++;
    return *list != NULL;
}

bool render_frame(const struct render_input *input, struct raster *raster, struct error *err)
{
    static const char *const colours[] = {
        "RGB",     "YBR_FULL", "YBR_FULL_422",    "YBR_PARTIAL_422",
        "YBR_RCT", "YBR_ICT",  "YBR_PARTIAL_420", NULL
    };
    const char *photometric = input->format->photometric_interpretation;
    struct element element;
    *raster = (struct raster){ .bytes = buffer_up_to(RASTER_LIMIT) };
    if (!input->format->rows || !input->format->columns)
        return error_set_tag(err, ERROR_INVALID, TAG_ROWS, "the image has no rows or columns");
    if (dataset_find(input->header, TAG_FLOAT_PIXEL_DATA, &element))
        return render_float(input, false, raster, err);
    if (dataset_find(input->header, TAG_DOUBLE_FLOAT_PIXEL_DATA, &element))
        return render_float(input, true, raster, err);
    if (!strcmp(photometric, "PALETTE COLOR"))
        return render_palette(input, raster, err);
    if (input->format->samples_per_pixel == 3 && is_one_of(photometric, colours))
        return render_colour(input, raster, err);
    if (input->format->samples_per_pixel == 1 && !strncmp(photometric, "MONOCHROME", 10))
        return render_grey(input, raster, err);
    return error_set_tag(err, ERROR_UNSUPPORTED, TAG_PHOTOMETRIC_INTERPRETATION,
                         "images of %u samples and this photometric interpretation have no picture "
                         "here",
                         input->format->samples_per_pixel);
}
