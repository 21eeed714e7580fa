/* SPDX-License-Identifier: MIT */
#include "dicom/frame_selection.h"

#include <math.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "dicom/date_time.h"
#include "dicom/fold.h"

enum {
    NUMBERS_SIZE = 64 << 20, /* of a list of frame numbers */
    VALUE_SIZE = 4 << 20,
    TEXT_SIZE = 64 << 20,
};

struct frame_selection frame_selection_init(void)
{
    struct frame_selection list = { buffer_up_to(NUMBERS_SIZE), 0, buffer_up_to(VALUE_SIZE) };
    return list;
}

void frame_selection_release(struct frame_selection *list)
{
    buffer_release(&list->numbers);
    buffer_release(&list->value);
}

size_t frame_selection_count(const struct frame_selection *list)
{
    return list->numbers.size / sizeof(uint32_t);
}

uint32_t frame_selection_at(const struct frame_selection *list, size_t index)
{
    uint32_t number;
    memcpy(&number, list->numbers.data + index * sizeof(number), sizeof(number));
    return number;
}

static bool wrong(struct frame_selection *list, const char *why, struct error *err)
{
    return error_set_tag(err, ERROR_INVALID, list->key, "frames asked for by what %s", why);
}

/* Frames beyond the last one are not there, and no error as long as there is another. */
static void add(struct frame_selection *list, uint32_t number, uint32_t frames)
{
    if (number <= frames)
        buffer_append(&list->numbers, slice_of(&number, sizeof(number)));
}

/* PS3.4 Y.3.2.1.1 */
static bool select_simple(struct frame_selection *list, uint32_t frames, struct error *err)
{
    uint32_t before = 0;
    for (size_t at = 0; at + 4 <= list->value.size; at += 4) {
        uint32_t number = get_u32le(list->value.data + at);
        if (number <= before)
            return wrong(list, "does not ascend from 1", err);
        before = number;
        add(list, number, frames);
    }
    return true;
}

/* Triples of first frame, last frame and step (PS3.4 Y.3.2.1.2). */
static bool select_calculated(struct frame_selection *list, uint32_t frames, struct error *err)
{
    uint64_t before = 0;
    if (list->value.size % 12)
        return wrong(list, "is no list of triples", err);
    for (size_t at = 0; at < list->value.size; at += 12) {
        uint32_t first = get_u32le(list->value.data + at);
        uint32_t last = get_u32le(list->value.data + at + 4);
        uint32_t by = get_u32le(list->value.data + at + 8);
        if (first <= before || last < first || by == 0)
            return wrong(list, "does not ascend from 1", err);
        before = last;
        for (uint64_t number = first; number <= last && number <= frames; number += by)
            add(list, (uint32_t)number, frames);
    }
    return true;
}

static double double_at(struct slice value, size_t at)
{
    uint64_t bits = get_u64le(value.data + at);
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

/* From and to, in seconds after the Content Time (PS3.4 Y.3.2.1.3). */
static bool select_time(struct frame_selection *list, const struct dataset *header, uint32_t frames,
                        struct error *err)
{
    struct buffer times = buffer_up_to(NUMBERS_SIZE * 2);
    if (list->value.size != 2 * sizeof(double))
        return wrong(list, "is no range of times", err);
    double from = double_at(buffer_slice(&list->value), 0);
    double to = double_at(buffer_slice(&list->value), sizeof(double));
    if (!isfinite(from) || !isfinite(to) || to < from)
        return wrong(list, "is no range of times", err);
    bool ok = frame_times(header, frames, &times);
    for (uint32_t i = 0; ok && i < frames; i++) {
        double at;
        memcpy(&at, times.data + i * sizeof(at), sizeof(at));
        if (at >= from * 1000 - 1e-6 && at <= to * 1000 + 1e-6)
            add(list, i + 1, frames);
    }
    buffer_release(&times);
    return ok || error_set_tag(err, ERROR_MISMATCH, list->key,
                               "the image does not say the times of its frames");
}

static const uint32_t keys[] = { TAG_SIMPLE_FRAME_LIST, TAG_CALCULATED_FRAME_LIST, TAG_TIME_RANGE };
enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

bool frame_selection_is_asked(const struct dataset *identifier)
{
    struct element element;
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (dataset_find(identifier, keys[i], &element))
            return true;
    return false;
}

static bool find_key(struct frame_selection *list, const struct dataset *identifier,
                     struct error *err)
{
    struct element element;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (!dataset_find(identifier, keys[i], &element))
            continue;
        if (list->key)
            return wrong(list, "is not the only list", err);
        list->key = keys[i];
        buffer_append(&list->value, element.value);
    }
    if (!list->key)
        return error_set(err, ERROR_INVALID, "frames are asked for without a list of them");
    return (list->value.size && list->value.size % 4 == 0) || wrong(list, "is empty", err);
}

bool frame_selection_select(struct frame_selection *list, const struct dataset *identifier,
                            const struct dataset *header, uint32_t frames, struct error *err)
{
    if (!find_key(list, identifier, err))
        return false;
    bool ok = list->key == TAG_SIMPLE_FRAME_LIST       ? select_simple(list, frames, err)
              : list->key == TAG_CALCULATED_FRAME_LIST ? select_calculated(list, frames, err)
                                                       : select_time(list, header, frames, err);
    if (!ok || !buffer_check(&list->numbers, "list of frames", err))
        return false;
    return list->numbers.size ||
           error_set_tag(err, ERROR_NOT_FOUND, list->key, "the image has none of the frames");
}

/* Times. */

static bool read_number(struct slice text, double *number)
{
    char copy[32] = "";
    char *end;
    text = fold_trim(text);
    if (!text.size || text.size >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.size);
    *number = strtod(copy, &end);
    return end != copy && !*end && isfinite(*number);
}

static bool number_of(const struct dataset *header, uint32_t tag, double *number)
{
    char text[32];
    return dataset_string(header, tag, text, sizeof(text)) && read_number(slice_text(text), number);
}

static void add_time(struct buffer *times, double at)
{
    buffer_append(times, slice_of(&at, sizeof(at)));
}

/* One increment for each frame, that of the first one being 0 (PS3.3 C.7.6.5). */
static bool times_of_vector(const struct dataset *header, uint32_t frames, double at,
                            struct buffer *times)
{
    struct buffer text = buffer_up_to(TEXT_SIZE);
    bool ok = dataset_text(header, TAG_FRAME_TIME_VECTOR, &text);
    struct slice rest = buffer_slice(&text);
    uint32_t count = 0;
    while (ok && rest.size && count < frames) {
        const uint8_t *end = memchr(rest.data, '\\', rest.size);
        size_t size = end ? (size_t)(end - rest.data) : rest.size;
        double increment;
        ok = read_number(slice_take(rest, size), &increment);
        at += increment;
        if (ok)
            add_time(times, at);
        count++;
        rest = slice_skip(rest, end ? size + 1 : size);
    }
    buffer_release(&text);
    return ok && count == frames;
}

static bool moment_of_frame(const struct dataset *frame, struct time_span *span)
{
    static const uint32_t moments[] = { TAG_FRAME_ACQUISITION_DATE_TIME,
                                        TAG_FRAME_REFERENCE_DATE_TIME };
    char text[32];
    for (size_t i = 0; i < 2; i++) {
        struct element element;
        uint32_t path[] = { TAG_FRAME_CONTENT_SEQUENCE, moments[i] };
        if (!dataset_find_path(frame, path, 2, &element) || element.value.size >= sizeof(text))
            continue;
        if (date_time_parse(fold_trim(element.value), span))
            return true;
    }
    return false;
}

static bool times_of_groups(const struct dataset *header, uint32_t frames, struct buffer *times)
{
    char date[16], time[32];
    struct time_span day, clock, moment;
    uint32_t count = 0;
    if (!dataset_string(header, TAG_CONTENT_DATE, date, sizeof(date)) ||
        !dataset_string(header, TAG_CONTENT_TIME, time, sizeof(time)) ||
        !date_parse(slice_text(date), &day) || !time_parse(slice_text(time), &clock))
        return false;
    struct dataset_items items = dataset_items(header, TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    for (struct dataset *frame; count < frames && (frame = dataset_items_next(&items)); count++) {
        bool ok = moment_of_frame(frame, &moment);
        dataset_close(frame);
        if (!ok)
            return false;
        add_time(times, (double)(moment.first_us - day.first_us - clock.first_us) / 1000);
    }
    return count == frames;
}

bool frame_times(const struct dataset *header, uint32_t frames, struct buffer *times)
{
    double delay = 0, step;
    number_of(header, TAG_FRAME_DELAY, &delay);
    bool ok = times_of_vector(header, frames, delay, times);
    if (!ok && number_of(header, TAG_FRAME_TIME, &step) && step > 0) {
        buffer_clear(times);
        for (uint32_t i = 0; i < frames; i++)
            add_time(times, delay + i * step);
        ok = true;
    }
    if (!ok) {
        buffer_clear(times);
        ok = times_of_groups(header, frames, times);
    }
    return ok && !times->overflowed;
}
