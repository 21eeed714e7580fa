/* SPDX-License-Identifier: MIT */
#include "sample-data/phantom.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

enum { MAX_12_BIT = 4095 };

/* In a frame of -1 to 1: x to the right, y down, z up. Whatever lies in it takes its value; a later
 * one covers an earlier one. */
struct ellipsoid {
    double x, y, z;
    double radius_x, radius_y, radius_z;
    double tilt; /* radians, in the plane of x and y */
    double value;
};

static double paint(const struct ellipsoid *ellipsoids, size_t count, double x, double y, double z,
                    double background)
{
    double value = background;
    for (size_t i = 0; i < count; i++) {
        const struct ellipsoid *e = &ellipsoids[i];
        double dx = x - e->x;
        double dy = y - e->y;
        double dz = (z - e->z) / e->radius_z;
        double c = cos(e->tilt);
        double s = sin(e->tilt);
        double u = (dx * c + dy * s) / e->radius_x;
        double v = (dy * c - dx * s) / e->radius_y;
        if (u * u + v * v + dz * dz <= 1)
            value = e->value;
    }
    return value;
}

/* -1 to 1, by a hash of position and seed: the same on every machine. */
static double noise(unsigned x, unsigned y, unsigned seed)
{
    uint32_t hash = x * 0x9E3779B1u ^ y * 0x85EBCA77u ^ seed * 0xC2B2AE3Du;
    hash ^= hash >> 15;
    hash *= 0x2C1B3C6Du;
    hash ^= hash >> 12;
    hash *= 0x297A2D39u;
    hash ^= hash >> 15;
    return (double)hash / 2147483648.0 - 1.0;
}

static uint16_t to_12_bit(double value)
{
    if (value < 0)
        return 0;
    return value > MAX_12_BIT ? MAX_12_BIT : (uint16_t)lround(value);
}

static double coordinate(unsigned index, unsigned count)
{
    return (2.0 * index + 1.0) / count - 1.0;
}

/* The ten ellipsoids of Shepp and Logan (IEEE Trans. Nucl. Sci. NS-21, 1974) with a third axis, in
 * HU of bone, brain, fluid and three lesions. */
static const struct ellipsoid head[] = {
    { 0, 0, 0, 0.69, 0.92, 0.95, 0, 1100 },
    { 0, 0.0184, 0, 0.6624, 0.874, 0.90, 0, 36 },
    { 0.22, 0, 0, 0.11, 0.31, 0.22, -0.314, 8 },
    { -0.22, 0, 0, 0.16, 0.41, 0.28, 0.314, 8 },
    { 0, -0.35, -0.15, 0.21, 0.25, 0.41, 0, 44 },
    { 0, -0.1, 0.25, 0.046, 0.046, 0.05, 0, 62 },
    { 0, 0.1, 0.25, 0.046, 0.046, 0.05, 0, 62 },
    { -0.08, 0.605, -0.1, 0.046, 0.023, 0.05, 0, 70 },
    { 0, 0.605, -0.1, 0.023, 0.023, 0.02, 0, 70 },
    { 0.06, 0.605, -0.1, 0.023, 0.046, 0.04, 0, 70 },
};
enum { HEAD_COUNT = sizeof(head) / sizeof(head[0]), AIR = -1000 };

void phantom_head(uint16_t *pixels, unsigned columns, unsigned rows, double height, unsigned seed)
{
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < columns; column++) {
            double x = coordinate(column, columns);
            double y = coordinate(row, rows);
            double value = paint(head, HEAD_COUNT, x, y, height, AIR);
            *pixels++ = to_12_bit(value - CT_INTERCEPT + 6 * noise(column, row, seed));
        }
    }
}

void phantom_head_side(uint16_t *pixels, unsigned columns, unsigned rows)
{
    enum { RAYS = 32 };
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < columns; column++) {
            double y = coordinate(column, columns);
            double z = -coordinate(row, rows);
            double sum = 0;
            for (unsigned ray = 0; ray < RAYS; ray++)
                sum += paint(head, HEAD_COUNT, coordinate(ray, RAYS), y, z, AIR);
            *pixels++ = to_12_bit(sum / RAYS - CT_INTERCEPT);
        }
    }
}

void phantom_knee(uint16_t *pixels, unsigned columns, unsigned rows, double contrast, unsigned seed)
{
    double fat = 1800 - 900 * contrast;
    double water = 300 + 1900 * contrast;
    const struct ellipsoid knee[] = {
        { 0, 0, 0, 0.62, 1.3, 1, 0, 0.5 * fat },      /* soft tissue */
        { 0.05, -0.65, 0, 0.30, 0.55, 1, 0.05, fat }, /* femur */
        { 0.05, 0.72, 0, 0.32, 0.60, 1, -0.05, fat }, /* tibia */
        { 0.03, 0.02, 0, 0.40, 0.09, 1, 0, water },   /* joint space */
        { -0.22, 0.03, 0, 0.10, 0.05, 1, 0.1, 120 },  /* menisci */
        { 0.28, 0.03, 0, 0.10, 0.05, 1, -0.1, 120 },
        { -0.50, -0.30, 0, 0.09, 0.24, 1, 0, 0.9 * fat }, /* patella */
    };
    double z = 0.08 * seed - 0.2;
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < columns; column++) {
            double value = paint(knee, sizeof(knee) / sizeof(knee[0]), coordinate(column, columns),
                                 coordinate(row, rows), z, 20);
            *pixels++ = to_12_bit(value + 18 * noise(column, row, seed));
        }
    }
}

static void paint_monochrome1(uint16_t *pixels, unsigned columns, unsigned rows,
                              const struct ellipsoid *ellipsoids, size_t count)
{
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < columns; column++) {
            double density = paint(ellipsoids, count, coordinate(column, columns),
                                   coordinate(row, rows), 0, 100);
            *pixels++ = to_12_bit(MAX_12_BIT - density + 10 * noise(column, row, 1));
        }
    }
}

void phantom_chest(uint16_t *pixels, unsigned columns, unsigned rows)
{
    static const struct ellipsoid chest[] = {
        { 0, 0.1, 0, 0.92, 1.05, 1, 0, 2200 },
        { 0, -0.95, 0, 0.24, 0.25, 1, 0, 2200 },
        { -0.42, -0.1, 0, 0.34, 0.62, 1, 0.06, 700 },
        { 0.42, -0.1, 0, 0.34, 0.62, 1, -0.06, 700 },
        { 0.12, 0.18, 0, 0.30, 0.32, 1, 0.5, 2600 },
        { 0, -0.1, 0, 0.07, 0.9, 1, 0, 3200 },
        { -0.45, -0.62, 0, 0.40, 0.04, 1, 0.15, 2900 },
        { 0.45, -0.62, 0, 0.40, 0.04, 1, -0.15, 2900 },
        { -0.52, -0.05, 0, 0.05, 0.05, 1, 0, 1900 },
    };
    paint_monochrome1(pixels, columns, rows, chest, sizeof(chest) / sizeof(chest[0]));
}

void phantom_hand(uint16_t *pixels, unsigned columns, unsigned rows)
{
    static const struct ellipsoid hand[] = {
        { 0, 0.35, 0, 0.42, 0.42, 1, 0, 1500 },
        { 0, 0.85, 0, 0.22, 0.35, 1, 0, 1500 },
        { -0.55, 0.2, 0, 0.10, 0.36, 1, -0.9, 1500 },
        { -0.28, -0.35, 0, 0.10, 0.50, 1, -0.15, 1500 },
        { -0.05, -0.42, 0, 0.10, 0.55, 1, 0, 1500 },
        { 0.17, -0.36, 0, 0.10, 0.50, 1, 0.12, 1500 },
        { 0.38, -0.2, 0, 0.09, 0.42, 1, 0.25, 1500 },
        { -0.55, 0.2, 0, 0.04, 0.30, 1, -0.9, 3300 },
        { -0.28, -0.35, 0, 0.04, 0.42, 1, -0.15, 3300 },
        { -0.05, -0.42, 0, 0.04, 0.46, 1, 0, 3300 },
        { 0.17, -0.36, 0, 0.04, 0.42, 1, 0.12, 3300 },
        { 0.38, -0.2, 0, 0.04, 0.34, 1, 0.25, 3300 },
        { -0.1, 0.8, 0, 0.07, 0.35, 1, 0, 3300 },
        { 0.1, 0.8, 0, 0.06, 0.35, 1, 0, 3300 },
    };
    paint_monochrome1(pixels, columns, rows, hand, sizeof(hand) / sizeof(hand[0]));
}

void phantom_ultrasound(uint8_t *pixels, unsigned columns, unsigned rows, double phase,
                        unsigned seed)
{
    double beat = 0.18 + 0.06 * cos(2 * 3.14159265358979 * phase);
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < columns; column++, pixels += 3) {
            double x = coordinate(column, columns);
            double y = (row + 0.5) / rows;
            double depth = sqrt(x * x + y * y);
            bool outside = fabs(x) > 0.8 * y || depth > 0.95 || depth < 0.1;
            double echo = 90 + 60 * noise(column, row, seed) - 40 * depth;
            double from_vessel = hypot(x, y - 0.55);
            bool flow = from_vessel < beat;
            pixels[0] = outside ? 0 : flow ? 200 : (uint8_t)fmax(echo, 0);
            pixels[1] = outside ? 0 : flow ? (uint8_t)(200 * from_vessel / beat) : pixels[0];
            pixels[2] = outside || flow ? 0 : pixels[0];
        }
    }
}

void phantom_colours(uint8_t *pixels, unsigned columns, unsigned rows)
{
    static const uint8_t bars[8][3] = {
        { 255, 255, 255 }, { 255, 255, 0 }, { 0, 255, 255 }, { 0, 255, 0 },
        { 255, 0, 255 },   { 255, 0, 0 },   { 0, 0, 255 },   { 0, 0, 0 },
    };
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < columns; column++, pixels += 3) {
            bool ramp = row >= rows * 3 / 4;
            const uint8_t *bar = bars[column * 8 / columns];
            uint8_t level = (uint8_t)(column * 255 / (columns - 1));
            for (int i = 0; i < 3; i++)
                pixels[i] = ramp ? level : bar[i];
        }
    }
}
