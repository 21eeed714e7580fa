/* SPDX-License-Identifier: MIT */
#include "dicom/zone.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/date_time.h"
#include "dicom/encode.h"
#include "dicom/fold.h"

enum { VALUE_SIZE = 32 }; /* of a DA or TM, punctuation and fraction included */
#define COPY_LIMIT ((size_t)512 << 20)

static const struct pair {
    uint32_t date;
    uint32_t time;
} pairs[] = {
    { 0x00080012, 0x00080013 }, /* Instance Creation */
    { 0x00080020, 0x00080030 }, /* Study */
    { 0x00080021, 0x00080031 }, /* Series */
    { 0x00080022, 0x00080032 }, /* Acquisition */
    { 0x00080023, 0x00080033 }, /* Content */
    { 0x00080024, 0x00080034 }, /* Overlay */
    { 0x00080025, 0x00080035 }, /* Curve */
    { 0x00181012, 0x00181014 }, /* Secondary Capture */
    { 0x0018700C, 0x0018700E }, /* Last Detector Calibration */
    { 0x00321000, 0x00321001 }, /* Scheduled Study Start */
    { 0x00321040, 0x00321041 }, /* Study Arrival */
    { 0x00321050, 0x00321051 }, /* Study Completion */
    { 0x00380020, 0x00380021 }, /* Admitting */
    { 0x00400002, 0x00400003 }, /* Scheduled Procedure Step Start */
    { 0x00400004, 0x00400005 }, /* Scheduled Procedure Step End */
    { 0x00400244, 0x00400245 }, /* Performed Procedure Step Start */
    { 0x00400250, 0x00400251 }, /* Performed Procedure Step End */
    { 0x00402004, 0x00402005 }, /* Issue of Imaging Service Request */
    { 0x0040A121, 0x0040A122 }, /* Date and Time of content items */
    { 0x00700082, 0x00700083 }, /* Presentation Creation */
    { 0x300A0006, 0x300A0007 }, /* RT Plan */
    { 0x30060008, 0x30060009 }, /* Structure Set */
    { 0x30080024, 0x30080025 }, /* Treatment Control Point */
    { 0x30080250, 0x30080251 }, /* Treatment */
};

/* A date or time of a pair, and the item that it stands in. */
struct moment {
    uint32_t item; /* 0: the top level; else items are counted as they come */
    uint32_t tag;
    size_t size;
    char text[VALUE_SIZE];
};

struct moving {
    const struct dataset *dataset;
    int64_t by_us;
    const char *offset;                    /* that a DT without one gets */
    struct buffer moments;                 /* struct moment each, by item and tag */
    uint32_t items[DATASET_MAX_DEPTH + 1]; /* the open ones, by depth */
    uint32_t item_count;
};

bool zone_init(struct zone *zone, struct slice offset)
{
    memset(zone, 0, sizeof(*zone));
    offset = fold_trim(offset);
    if (!zone_offset_parse(offset, &zone->us))
        return false;
    memcpy(zone->text, offset.data, offset.size < ZONE_SIZE ? offset.size : ZONE_SIZE - 1);
    return true;
}

void zone_copy_release(struct zone_copy *copy)
{
    dataset_close(copy->dataset);
    buffer_release(&copy->bytes);
    memset(copy, 0, sizeof(*copy));
}

static uint32_t partner_of(uint32_t tag)
{
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (pairs[i].date == tag)
            return pairs[i].time;
        if (pairs[i].time == tag)
            return pairs[i].date;
    }
    return 0;
}

/* In which item the walk is. */
static uint32_t follow(struct moving *moving, const struct walk *walk, enum walk_event event)
{
    if (event == WALK_ITEM)
        moving->items[walk->depth] = ++moving->item_count;
    return moving->items[walk->depth];
}

static int compare_moments(const void *a, const void *b)
{
    const struct moment *first = a, *second = b;
    if (first->item != second->item)
        return first->item < second->item ? -1 : 1;
    return first->tag < second->tag ? -1 : first->tag > second->tag;
}

static bool gather(struct moving *moving, struct error *err)
{
    struct walk walk = dataset_walk(moving->dataset);
    struct element element;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        uint32_t item = follow(moving, &walk, event);
        struct slice value = fold_trim(element.value);
        if (event != WALK_ELEMENT || element.elided || value.size > VALUE_SIZE ||
            !partner_of(element.tag))
            continue;
        struct moment moment = { .item = item, .tag = element.tag, .size = value.size };
        memcpy(moment.text, value.data ? value.data : (const uint8_t *)"", value.size);
        buffer_append(&moving->moments, slice_of(&moment, sizeof(moment)));
    }
    if (moving->moments.size)
        qsort(moving->moments.data, moving->moments.size / sizeof(struct moment),
              sizeof(struct moment), compare_moments);
    moving->item_count = 0;
    return buffer_check(&moving->moments, "list of dates", err);
}

/* Empty when it is not there. */
static struct slice find_moment(const struct moving *moving, uint32_t item, uint32_t tag)
{
    struct moment wanted = { .item = item, .tag = tag };
    if (!moving->moments.size)
        return slice_of(NULL, 0);
    const struct moment *found = bsearch(&wanted, moving->moments.data,
                                         moving->moments.size / sizeof(struct moment),
                                         sizeof(struct moment), compare_moments);
    return found ? slice_of(found->text, found->size) : slice_of(NULL, 0);
}

/* Hours and minutes anew, as far as they are needed; what is finer does not move. */
static void write_time(struct slice old, int64_t us, char text[VALUE_SIZE + TIME_TEXT_SIZE])
{
    char digits[TIME_TEXT_SIZE];
    int64_t of_day = us % DAY_US + (us % DAY_US < 0 ? DAY_US : 0);
    time_format(of_day, digits);
    if (memchr(old.data, ':', old.size))
        snprintf(text, VALUE_SIZE + TIME_TEXT_SIZE, "%.6s", digits);
    else if (old.size <= 2 && memcmp(digits + 2, "00", 2) == 0)
        snprintf(text, VALUE_SIZE + TIME_TEXT_SIZE, "%.2s", digits);
    else
        snprintf(text, VALUE_SIZE + TIME_TEXT_SIZE, "%.4s%.*s", digits,
                 (int)(old.size > 4 ? old.size - 4 : 0),
                 old.size > 4 ? (const char *)old.data + 4 : "");
}

/* False when it stays as it is. */
static bool move_value(const struct moving *moving, uint32_t item, const struct element *element,
                       char text[VALUE_SIZE + TIME_TEXT_SIZE])
{
    uint32_t partner = partner_of(element->tag);
    struct time_span date = { 0, 0 }, time;
    struct slice value = fold_trim(element->value);
    if (!partner || !moving->by_us || !value.size)
        return false;
    struct slice other = find_moment(moving, item, partner);
    bool is_date = element->vr == VR_DA;
    if (!time_parse(is_date ? other : value, &time))
        return false;
    if (!date_parse(is_date ? value : other, &date) && (is_date || other.size))
        return false;
    int64_t moved_us = date.first_us + time.first_us + moving->by_us;
    if (is_date)
        date_format(moved_us, text);
    else
        write_time(value, moved_us, text);
    return true;
}

static void encode_date_time(const struct moving *moving, struct encoder *encoder,
                             const struct element *element)
{
    struct slice value = fold_trim(element->value);
    struct buffer text = buffer_up_to(element->value.size + ZONE_SIZE);
    buffer_append(&text, value);
    if (value.size && !memchr(value.data, '\\', value.size) && !date_time_has_offset(value))
        buffer_append_text(&text, moving->offset);
    encode_bytes(encoder, element->tag, VR_DT, buffer_slice(&text));
    buffer_release(&text);
}

static void encode_moved(const struct moving *moving, struct encoder *encoder, uint32_t item,
                         const struct element *element, const struct zone *stored,
                         const struct zone *said)
{
    char text[VALUE_SIZE + TIME_TEXT_SIZE];
    if (element->elided)
        return;
    if (item == 0 && element->tag == TAG_TIMEZONE_OFFSET_FROM_UTC) {
        if (stored)
            encode_text(encoder, element->tag, VR_SH, said->text);
    } else if (element->vr == VR_DT) {
        encode_date_time(moving, encoder, element);
    } else if (move_value(moving, item, element, text)) {
        encode_text(encoder, element->tag, element->vr, text);
    } else {
        encode_element(encoder, moving->dataset, element);
    }
}

static void encode_all(struct moving *moving, struct encoder *encoder, const struct zone *stored,
                       const struct zone *said)
{
    struct walk walk = dataset_walk(moving->dataset);
    struct element element;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        uint32_t item = follow(moving, &walk, event);
        if (event == WALK_ELEMENT)
            encode_moved(moving, encoder, item, &element, stored, said);
        else
            encode_structure(encoder, event, element.tag);
    }
}

bool zone_copy_make(struct zone_copy *copy, const struct dataset *dataset,
                    const struct zone *stored, const struct zone *said, struct error *err)
{
    struct zone own;
    struct buffer text = buffer_up_to(VALUE_SIZE);
    if (dataset_text(dataset, TAG_TIMEZONE_OFFSET_FROM_UTC, &text) &&
        zone_init(&own, buffer_slice(&text)))
        stored = &own;
    buffer_release(&text);
    struct moving moving = {
        .dataset = dataset,
        .by_us = stored ? said->us - stored->us : 0,
        .offset = stored ? stored->text : said->text,
        .moments = buffer_up_to(COPY_LIMIT),
    };
    zone_copy_release(copy);
    copy->bytes = buffer_up_to(COPY_LIMIT);
    struct encoder encoder = { &copy->bytes, true };
    bool ok = gather(&moving, err);
    if (ok)
        encode_all(&moving, &encoder, stored, said);
    ok = ok && buffer_check(&copy->bytes, "header in another zone", err) &&
         dataset_open(buffer_slice(&copy->bytes),
                      transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                      &copy->dataset, err);
    buffer_release(&moving.moments);
    return ok;
}
