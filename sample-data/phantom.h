/* SPDX-License-Identifier: MIT */
#pragma once
/* Pixels that are recognized at a glance: ellipsoids and a little noise, the same every time.
 * `pixels` holds columns * rows values, and is filled. */

#include <stdint.h>

/* A head as Shepp and Logan drew it, in stored values of a CT: HU + 1024, 12 bits. `height` runs
 * from -1 (neck) to 1 (vertex); `seed` tells the noise. */
enum { CT_INTERCEPT = -1024 };
void phantom_head(uint16_t *pixels, unsigned columns, unsigned rows, double height, unsigned seed);
/* The same head seen from the side, for planning. */
void phantom_head_side(uint16_t *pixels, unsigned columns, unsigned rows);

/* A knee from the side, 12 bits; `contrast` 0 to 1: from bright fat to bright water. */
void phantom_knee(uint16_t *pixels, unsigned columns, unsigned rows, double contrast,
                  unsigned seed);

/* A chest and a hand, 12 bits, MONOCHROME1: bone is dark in the values and white on the screen. */
void phantom_chest(uint16_t *pixels, unsigned columns, unsigned rows);
void phantom_hand(uint16_t *pixels, unsigned columns, unsigned rows);

/* RGB. A sector with a beating circle and a colour flow; and bars of colour over a ramp. */
void phantom_ultrasound(uint8_t *pixels, unsigned columns, unsigned rows, double phase,
                        unsigned seed);
void phantom_colours(uint8_t *pixels, unsigned columns, unsigned rows);
