/* SPDX-License-Identifier: MIT */
#pragma once
/* Which frames of a multi-frame image are asked for (PS3.4 Y.3.2), and when each of them begins.
 * One thread at a time. */

#include "base/buffer.h"
#include "base/error.h"
#include "dicom/dataset.h"

struct frame_selection {
    struct buffer numbers; /* uint32_t each, from 1, ascending, each once, none beyond the last */
    uint32_t key;          /* the attribute that asked for them */
    struct buffer value;   /* its value, little endian */
};
struct frame_selection frame_selection_init(void);
void frame_selection_release(struct frame_selection *list);
size_t frame_selection_count(const struct frame_selection *list);
uint32_t frame_selection_at(const struct frame_selection *list, size_t index);
/* Is one of the keys in the identifier? */
bool frame_selection_is_asked(const struct dataset *identifier);

/* By the Simple Frame List, Calculated Frame List or Time Range of an identifier, of which there
 * must be one. `header` and the number of frames are those of the image. ERROR_INVALID for keys
 * that are wrong; ERROR_MISMATCH for times of an image that says none of its frames;
 * ERROR_NOT_FOUND when it has none of the frames. */
bool frame_selection_select(struct frame_selection *list, const struct dataset *identifier,
                            const struct dataset *header, uint32_t frames, struct error *err);

/* When each frame begins, in milliseconds from the Content Time: by Frame Time or Frame Time Vector
 * (with Frame Delay), or by what the frames say of themselves. Appends a double for each. False
 * when that is not told. */
bool frame_times(const struct dataset *header, uint32_t frames, struct buffer *times);
