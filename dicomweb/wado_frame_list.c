/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_frame_list.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/frames.h"

bool frame_list_parse(struct frame_list *list, const char *text, size_t most, struct error *err)
{
    size_t count = 1;
    for (const char *c = text; *c; c++)
        count += *c == ',';
    if (count > most)
        return error_set(err, ERROR_INVALID, "more than %zu frames are asked for", most);
    frame_list_release(list);
    list->numbers = mem_alloc_array(count, sizeof(list->numbers[0]));
    for (const char *c = text;; c++) {
        uint64_t number = 0;
        const char *start = c;
        while (isdigit((unsigned char)*c) && number <= UINT32_MAX)
            number = number * 10 + (uint64_t)(*c++ - '0');
        if (c == start || !number || number > UINT32_MAX || (*c && *c != ','))
            return error_set(err, ERROR_INVALID,
                             "frames are whole numbers from 1, with commas between them");
        list->numbers[list->count++] = (uint32_t)number;
        if (!*c)
            return true;
    }
}

bool frame_list_check(const struct frame_list *list, struct slice table, struct error *err)
{
    /* Where the last of all is, so are those before it. */
    if (!list->numbers)
        return !list->count || frame_table_check(table, frame_list_at(list, list->count - 1), err);
    for (size_t i = 0; i < list->count; i++)
        if (!frame_table_check(table, list->numbers[i], err))
            return false;
    return true;
}

void frame_list_release(struct frame_list *list)
{
    free(list->numbers);
    *list = (struct frame_list){ NULL, 0 };
}
