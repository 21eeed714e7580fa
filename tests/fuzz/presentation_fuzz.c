/* SPDX-License-Identifier: MIT */
/* A presentation state over an image, both of peers: one byte says what the pixels are, three more
 * what of the picture is asked for, two how long the state is; then come the state and the header
 * of the image. Every picture has the bytes that its size says. */
#include "dicom/image_file.h"
#include "dicom/presentation.h"
#include "tests/fuzz/scanned_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 19, COLUMNS = 23, HEAD = 6, MOST = 50 };

#define IMAGE "1.2.3"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_references(const struct dataset *state)
{
    struct buffer references = buffer_up_to(MOST * sizeof(struct presentation_reference));
    presentation_references(state, MOST, &references);
    require(!references.overflowed && references.size % sizeof(struct presentation_reference) == 0);
    const struct presentation_reference *list =
        (const struct presentation_reference *)(const void *)references.data;
    for (size_t i = 0; i < references.size / sizeof(*list); i++) {
        require(memchr(list[i].series, '\0', UID_SIZE) && memchr(list[i].instance, '\0', UID_SIZE));
        presentation_refers_to(state, list[i].instance, list[i].frame);
    }
    buffer_release(&references);
}

static void require_whole(const struct raster *raster)
{
    require(raster->bytes.size == (size_t)raster->rows * raster->columns * raster->samples);
}

static void show(const struct render_input *input, const uint8_t *head,
                 const struct presentation_area *area, struct raster *raster)
{
    struct viewport viewport = { .width = head[1] + 1u, .height = head[2] + 1u };
    struct raster view;
    struct error err;
    viewport.has_region = head[3] & 1;
    viewport.left = head[3] >> 1 & 3;
    viewport.top = head[3] >> 3 & 3;
    viewport.region_width = (head[3] & 32 ? -1.0 : 1.0) * (raster->columns - viewport.left);
    viewport.region_height = (head[3] & 64 ? -1.0 : 1.0) * (raster->rows - viewport.top);
    if (!raster_view(raster, &viewport, presentation_pixel_height(area), &view, &err))
        return;
    require_whole(&view);
    if (presentation_annotate(input, area, &viewport, &view, &err))
        require_whole(&view);
    raster_release(&view);
}

static void draw(const struct render_input *input, const uint8_t *head)
{
    struct presentation_area area;
    struct raster raster;
    struct error err;
    if (!presentation_area_of(input, &area, &err))
        return;
    require(area.columns && area.rows && area.rotation < 4 && area.pixel_height > 0);
    if ((uint64_t)area.columns * area.rows > 1 << 22) /* time is better spent on others */
        return;
    if (render_frame(input, &raster, &err)) {
        require_whole(&raster);
        if (presentation_place(input, &area, &raster, &err)) {
            require_whole(&raster);
            show(input, head, &area, &raster);
        }
    }
    raster_release(&raster);
}

static void draw_image_alone(struct render_input input)
{
    struct raster raster;
    struct error err;
    input.state = NULL;
    if (render_frame(&input, &raster, &err) && presentation_image_overlays(&input, &raster, &err))
        require_whole(&raster);
    raster_release(&raster);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t pixels[ROWS * COLUMNS * 3];
    struct scanned_input state;
    struct scanned_input image;
    if (size < HEAD)
        return 0;
    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (uint8_t)(i * 37);
    struct slice rest = slice_of(data + HEAD, size - HEAD);
    size_t state_size = data[4] | (size_t)data[5] << 8;
    if (!scanned_input_open(&state, slice_take(rest, state_size)))
        return 0;
    if (scanned_input_open(&image, slice_skip(rest, state_size))) {
        struct pixel_format format = { .rows = ROWS,
                                       .columns = COLUMNS,
                                       .samples_per_pixel = data[0] & 1 ? 3 : 1,
                                       .bits_allocated = data[0] & 3 ? 8 : 16,
                                       .bits_stored = data[0] & 3 ? 8 : 12 };
        strcpy(format.photometric_interpretation, data[0] & 1 ? "RGB" : "MONOCHROME2");
        const struct render_input input = {
            .header = image.header,
            .source = &image.source,
            .format = &format,
            .pixels = slice_of(pixels, sizeof(pixels)),
            .frame = data[0] >> 4 & 3 ? data[0] >> 4 & 3 : 1,
            .state = state.header,
            .state_source = &state.source,
            .instance = IMAGE,
        };
        check_references(state.header);
        draw(&input, data);
        draw_image_alone(input);
        scanned_input_close(&image);
    }
    scanned_input_close(&state);
    return 0;
}
