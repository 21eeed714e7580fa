/* SPDX-License-Identifier: MIT */
#pragma once
/* The frame list of a path, "3,1,2": whole numbers from 1 with commas between (PS3.18 10.4.1.1.1).
 * By value, zeroed before the first use; release it. */

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct frame_list {
    uint32_t *numbers; /* NULL: 1 to count, which may be thousands of millions */
    size_t count;
};

/* ERROR_INVALID for what is no such list, or of more than `most`. */
bool frame_list_parse(struct frame_list *list, const char *text, size_t most, struct error *err);
static inline uint32_t frame_list_at(const struct frame_list *list, size_t index)
{
    return list->numbers ? list->numbers[index] : (uint32_t)index + 1;
}
/* Is each of them in the table (dicom/frames.h)? */
bool frame_list_check(const struct frame_list *list, struct slice table, struct error *err);
void frame_list_release(struct frame_list *list);
