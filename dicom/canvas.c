/* SPDX-License-Identifier: MIT */
#include "dicom/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/fold.h"

enum {
    STEPS = 1 << 26, /* of one picture */
    CELL_COLUMNS = CANVAS_GLYPH_COLUMNS + 1,
    CELL_ROWS = CANVAS_GLYPH_ROWS + 2,
    TEXT_MAX = 8192,
};

struct canvas canvas_over(struct raster *raster)
{
    return (struct canvas){ raster, UINT8_MAX, STEPS, false };
}

static bool spend(struct canvas *canvas, uint64_t steps)
{
    if (canvas->steps < steps)
        canvas->exhausted = true;
    canvas->steps = canvas->exhausted ? 0 : canvas->steps - steps;
    return !canvas->exhausted;
}

/* `count` pixels of a row; what is outside of the picture is left out. */
static void put(struct canvas *canvas, int64_t x, int64_t y, int64_t count, uint8_t level)
{
    const struct raster *raster = canvas->raster;
    if (y < 0 || y >= (int64_t)raster->rows)
        return;
    if (x < 0) {
        count += x;
        x = 0;
    }
    if (count > (int64_t)raster->columns - x)
        count = (int64_t)raster->columns - x;
    if (count > 0)
        memset(raster->bytes.data + ((uint64_t)y * raster->columns + (uint64_t)x) * raster->samples,
               level, (uint64_t)count * raster->samples);
}

/* Moves the ends to where the line enters and leaves the picture (Liang and Barsky). False when it
 * does not. */
static bool clip(const struct raster *raster, struct point *from, struct point *to)
{
    double dx = to->x - from->x;
    double dy = to->y - from->y;
    const double slope[4] = { -dx, dx, -dy, dy };
    const double room[4] = { from->x + 1, raster->columns - from->x, from->y + 1,
                             raster->rows - from->y };
    double enter = 0;
    double leave = 1;
    for (int i = 0; i < 4; i++) {
        if (slope[i] == 0) {
            if (room[i] < 0)
                return false;
            continue;
        }
        double at = room[i] / slope[i];
        if (slope[i] < 0 && at > enter)
            enter = at;
        else if (slope[i] > 0 && at < leave)
            leave = at;
    }
    if (!(enter <= leave))
        return false;
    const struct point begin = *from;
    *from = (struct point){ begin.x + enter * dx, begin.y + enter * dy };
    *to = (struct point){ begin.x + leave * dx, begin.y + leave * dy };
    return true;
}

static bool is_place(struct point point)
{
    return fabs(point.x) < 1e9 && fabs(point.y) < 1e9; /* false for what is no number, too */
}

void canvas_line(struct canvas *canvas, struct point from, struct point to)
{
    if (!spend(canvas, 16) || !is_place(from) || !is_place(to) || !clip(canvas->raster, &from, &to))
        return;
    double length = fmax(fabs(to.x - from.x), fabs(to.y - from.y));
    int64_t steps = (int64_t)ceil(length);
    if (!spend(canvas, (uint64_t)steps))
        return;
    for (int64_t i = 0; i <= steps; i++) {
        double share = steps ? (double)i / (double)steps : 0;
        put(canvas, (int64_t)floor(from.x + share * (to.x - from.x)),
            (int64_t)floor(from.y + share * (to.y - from.y)), 1, canvas->level);
    }
}

static int compare_doubles(const void *a, const void *b)
{
    const double *first = a, *second = b;
    return *first < *second ? -1 : *first > *second;
}

/* Where the closed line crosses the middle of a row, ascending. */
static size_t find_crossings(const struct point *corners, size_t count, double y, double *crossings)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        struct point a = corners[i];
        struct point b = corners[(i + 1) % count];
        if ((a.y <= y) != (b.y <= y))
            crossings[found++] = a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x);
    }
    qsort(crossings, found, sizeof(*crossings), compare_doubles);
    return found;
}

/* The pixels whose middle lies between. */
static void fill_between(struct canvas *canvas, double from, double to, int64_t y)
{
    double columns = canvas->raster->columns;
    int64_t first = (int64_t)ceil(fmin(fmax(from, 0), columns) - 0.5);
    int64_t end = (int64_t)ceil(fmin(fmax(to, 0), columns) - 0.5);
    put(canvas, first, y, end - first, canvas->level);
}

void canvas_fill(struct canvas *canvas, const struct point *corners, size_t count, bool inverse)
{
    const struct raster *raster = canvas->raster;
    for (size_t i = 0; i < count; i++)
        if (!is_place(corners[i]))
            return;
    if (count < 3 || !spend(canvas, (uint64_t)raster->rows * (count * 4 + raster->columns / 16)))
        return;
    double *crossings = mem_alloc_array(count, sizeof(*crossings));
    for (uint32_t y = 0; y < raster->rows; y++) {
        size_t found = find_crossings(corners, count, y + 0.5, crossings);
        double end = 0;
        for (size_t i = 0; i + 1 < found; i += 2) {
            if (inverse)
                fill_between(canvas, end, crossings[i], y);
            else
                fill_between(canvas, crossings[i], crossings[i + 1], y);
            end = crossings[i + 1];
        }
        if (inverse)
            fill_between(canvas, end, raster->columns, y);
    }
    free(crossings);
}

/* One ASCII character for each of the text. Accents come off by the folding of names, which makes
 * small letters: the case is that of the original where it is ASCII. */
static size_t to_ascii(const char *text, char ascii[TEXT_MAX])
{
    size_t count = 0;
    const uint8_t *at = (const uint8_t *)text;
    while (*at && count + 1 < TEXT_MAX) {
        if (*at < 0x80) {
            ascii[count++] = (char)*at++;
            continue;
        }
        size_t size = 1;
        while ((at[size] & 0xC0) == 0x80)
            size++;
        struct buffer folded = buffer_up_to(16);
        fold_text(slice_of(at, size), &folded);
        ascii[count++] = folded.size && folded.data[0] < 0x80 ? (char)folded.data[0] : '?';
        buffer_release(&folded);
        at += size;
    }
    ascii[count] = '\0';
    return count;
}

static void draw_glyph(struct canvas *canvas, int64_t left, int64_t top, unsigned size, char letter,
                       int64_t margin, uint8_t level)
{
    unsigned index = (unsigned)(uint8_t)letter - ' ';
    const uint8_t *glyph = canvas_font[index < CANVAS_GLYPHS ? index : '?' - ' '];
    int64_t side = (int64_t)size + 2 * margin;
    for (int64_t row = 0; row < CANVAS_GLYPH_ROWS; row++)
        for (int64_t column = 0; column < CANVAS_GLYPH_COLUMNS; column++) {
            if (!(glyph[row] >> (CANVAS_GLYPH_COLUMNS - 1 - column) & 1))
                continue;
            for (int64_t line = 0; line < side; line++)
                put(canvas, left + column * size - margin, top + row * size - margin + line, side,
                    level);
        }
}

void canvas_text(struct canvas *canvas, int left, int top, unsigned size, const char *text)
{
    char ascii[TEXT_MAX];
    size_t count = to_ascii(text, ascii);
    uint8_t edge = canvas->level >= 128 ? 0 : UINT8_MAX;
    uint64_t cost = (uint64_t)CELL_COLUMNS * CELL_ROWS * 2 * (size + 2);
    for (int pass = 0; pass < 2; pass++) {
        int64_t x = left;
        int64_t y = top;
        for (size_t i = 0; i < count && spend(canvas, cost); i++) {
            if (ascii[i] == '\n') {
                x = left;
                y += CELL_ROWS * (int64_t)size;
            } else if (ascii[i] >= ' ') {
                draw_glyph(canvas, x, y, size, ascii[i], pass ? 0 : 1, pass ? canvas->level : edge);
                x += CELL_COLUMNS * (int64_t)size;
            }
        }
    }
}

void canvas_text_extent(const char *text, unsigned size, int *width, int *height)
{
    char ascii[TEXT_MAX];
    int lines = 1;
    int columns = 0;
    int widest = 0;
    size_t count = to_ascii(text, ascii);
    for (size_t i = 0; i < count; i++) {
        lines += ascii[i] == '\n';
        columns = ascii[i] == '\n' ? 0 : columns + (ascii[i] >= ' ');
        widest = columns > widest ? columns : widest;
    }
    *width = widest * CELL_COLUMNS * (int)size;
    *height = lines * CELL_ROWS * (int)size;
}
