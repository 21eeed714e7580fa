/* SPDX-License-Identifier: MIT */
/* What is drawn over a picture stays within it and within its steps. Two bytes are its size, then
 * come lines, areas and texts with their places. */
#include <stdlib.h>

#include "dicom/canvas.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CORNERS_MAX = 40 };

struct reader {
    const uint8_t *data;
    size_t size;
};

static uint8_t take_byte(struct reader *reader)
{
    if (!reader->size)
        return 0;
    reader->size--;
    return *reader->data++;
}

/* Near the picture, far from it, or any double at all. */
static double take_number(struct reader *reader)
{
    double value = 0;
    uint8_t kind = take_byte(reader);
    if (kind < 200)
        return (double)kind - 60;
    if (kind < 240)
        return ((double)take_byte(reader) - 128) * (kind - 199) * 1e5;
    for (size_t i = 0; i < sizeof(value); i++)
        ((uint8_t *)&value)[i] = take_byte(reader);
    return value;
}

static struct point take_point(struct reader *reader)
{
    double x = take_number(reader);
    return (struct point){ x, take_number(reader) };
}

static void write_text(struct canvas *canvas, struct reader *reader)
{
    char text[256];
    size_t size = take_byte(reader);
    int width, height;
    for (size_t i = 0; i < size; i++)
        text[i] = (char)take_byte(reader);
    text[size] = '\0';
    unsigned dot = take_byte(reader) % 20 + 1u;
    int left = (int)take_byte(reader) * 10 - 1000;
    canvas_text_extent(text, dot, &width, &height);
    if (width < 0 || height <= 0)
        abort();
    canvas_text(canvas, left, (int)take_byte(reader) * 10 - 1000, dot, text);
}

static void draw(struct canvas *canvas, struct reader *reader)
{
    struct point corners[CORNERS_MAX];
    uint8_t kind = take_byte(reader);
    size_t count = take_byte(reader) % CORNERS_MAX;
    canvas->level = take_byte(reader);
    if (kind % 4 == 0) {
        write_text(canvas, reader);
        return;
    }
    for (size_t i = 0; i < count; i++)
        corners[i] = take_point(reader);
    if (kind % 4 == 1)
        for (size_t i = 0; i + 1 < count; i++)
            canvas_line(canvas, corners[i], corners[i + 1]);
    else
        canvas_fill(canvas, corners, count, kind % 4 == 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader reader = { data, size };
    struct raster raster;
    struct error err;
    uint32_t rows = take_byte(&reader) + 1u;
    uint32_t columns = take_byte(&reader) + 1u;
    if (!raster_init(&raster, rows, columns, size & 1 ? 3 : 1, &err))
        abort();
    memset(raster.bytes.data, 0, raster.bytes.size);
    struct canvas canvas = canvas_over(&raster);
    const uint64_t steps = canvas.steps;
    while (reader.size)
        draw(&canvas, &reader);
    if (canvas.steps > steps || raster.rows != rows || raster.columns != columns)
        abort();
    raster_release(&raster);
    return 0;
}
