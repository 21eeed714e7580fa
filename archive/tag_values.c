/* SPDX-License-Identifier: MIT */
#include "archive/tag_values.h"

#include "archive/query_key.h"
#include "archive/tag_terms.h"
#include "dicom/date_time.h"
#include "dicom/fold.h"

enum { ITEMS_MAX = 10000 /* of one tag in a data set; beyond, it has TAG_MANY */ };

const char *tag_fault_text(enum tag_fault fault)
{
    static const char *const texts[TAG_FAULT_COUNT] = {
        [TAG_FAULT_NONE] = "",
        [TAG_FAULT_DATE] = "a value is no date (DA)",
        [TAG_FAULT_TIME] = "a value is no time (TM)",
        [TAG_FAULT_DATE_TIME] = "a value is no date and time (DT)",
        [TAG_FAULT_NUMBER] = "a value is no number",
        [TAG_FAULT_UID] = "a value is no UID",
        [TAG_FAULT_VR] = "the attribute has another value representation",
        [TAG_FAULT_ELIDED] = "the value is too long for the index",
    };
    return fault < TAG_FAULT_COUNT ? texts[fault] : "unknown";
}

static enum tag_fault fault_of(uint16_t vr, struct slice value)
{
    struct time_span span;
    struct buffer number = buffer_up_to(SIZE_MAX / 2);
    enum tag_fault fault = TAG_FAULT_NONE;
    switch (vr) {
    case VR_DA:
        fault = date_parse(value, &span) ? TAG_FAULT_NONE : TAG_FAULT_DATE;
        break;
    case VR_TM:
        fault = time_parse(value, &span) ? TAG_FAULT_NONE : TAG_FAULT_TIME;
        break;
    case VR_DT:
        fault = date_time_parse(value, &span) ? TAG_FAULT_NONE : TAG_FAULT_DATE_TIME;
        break;
    case VR_IS:
    case VR_DS:
        fault = fold_number(value, &number) ? TAG_FAULT_NONE : TAG_FAULT_NUMBER;
        break;
    case VR_UI:
        fault = uid_is_safe(value) ? TAG_FAULT_NONE : TAG_FAULT_UID;
        break;
    default:
        break;
    }
    buffer_release(&number);
    return fault;
}

/* Of the values of a VR that has several, which does not look right. */
static enum tag_fault look_at(const struct query_tag *tag, const struct element *element,
                              struct slice text)
{
    if (element->vr != VR_UN && element->vr != tag->vr)
        return TAG_FAULT_VR;
    while (text.size && vr_is_multi_valued(tag->vr)) {
        const uint8_t *end = memchr(text.data, '\\', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        struct slice one = fold_trim(slice_take(text, size));
        enum tag_fault fault = one.size ? fault_of(tag->vr, one) : TAG_FAULT_NONE;
        if (fault)
            return fault;
        text = slice_skip(text, end ? size + 1 : size);
    }
    return TAG_FAULT_NONE;
}

static bool has_entry(const struct tag_values *values, struct slice entry)
{
    for (size_t at = values->begin; at + 3 <= values->entries->size;) {
        size_t size = 3 + (size_t)values->entries->data[at + 2];
        if (slice_equal(slice_of(values->entries->data + at, size), entry))
            return true;
        at += size;
    }
    return false;
}

static void add_entry(struct tag_values *values, struct slice value)
{
    uint8_t bytes[3 + KEY_VALUE_SIZE];
    value = slice_take(value, KEY_VALUE_SIZE);
    bytes[0] = (uint8_t)values->number;
    bytes[1] = (uint8_t)(values->number >> 8);
    bytes[2] = (uint8_t)value.size;
    if (value.size)
        memcpy(bytes + 3, value.data, value.size);
    struct slice entry = slice_of(bytes, 3 + value.size);
    if (has_entry(values, entry))
        return;
    buffer_append(values->entries, entry);
    values->count++;
}

static bool is_full(const struct tag_values *values)
{
    return values->count > TAG_VALUES_MAX;
}

/* The last one stands for all that follow. */
static void add_value(struct tag_values *values, struct slice value)
{
    if (values->count < TAG_VALUES_MAX)
        add_entry(values, value);
    else if (!is_full(values))
        add_entry(values, slice_text(TAG_MANY));
}

static void add_leaf(struct tag_values *values, const struct query_tag *tag,
                     const struct dataset *dataset, uint32_t leaf)
{
    struct buffer text = buffer_up_to(ROW_TEXT_SIZE);
    struct buffer term = buffer_up_to(SIZE_MAX / 2);
    struct element element;
    if (!dataset_find(dataset, leaf, &element))
        goto out;
    if (element.elided)
        values->fault = TAG_FAULT_ELIDED;
    if (!dataset_text(dataset, leaf, &text))
        goto out;
    if (!values->fault)
        values->fault = look_at(tag, &element, buffer_slice(&text));
    /* As the keys of queries are: of a private attribute the text as it is. */
    uint16_t vr = dictionary_vr(leaf);
    struct match_terms terms = match_fold_terms(vr == VR_UN ? VR_LO : vr, buffer_slice(&text));
    while (!is_full(values) && match_terms_next(&terms, &term))
        add_value(values, buffer_slice(&term));
out:
    buffer_release(&term);
    buffer_release(&text);
}

/* As deep as the tag, which has a limit. */
static void add_level(struct tag_values *values, const struct query_tag *tag, size_t at,
                      const struct dataset *dataset, uint32_t stands_at)
{
    if (at + 1 == tag->depth) {
        add_leaf(values, tag, dataset, stands_at);
        return;
    }
    struct dataset_items items = dataset_items(dataset, stands_at);
    struct dataset *item;
    for (size_t i = 0; i < QUERY_MAX_ITEMS && !is_full(values); i++) {
        if (!(item = dataset_items_next(&items)))
            break;
        if (values->items++ < ITEMS_MAX)
            add_level(values, tag, at + 1, item, tag->path[at + 1]);
        dataset_close(item);
    }
}

void tag_values_gather(struct tag_values *values, const struct query_tag *tag,
                       const struct dataset *dataset)
{
    uint32_t here = tag->path[0];
    const struct row_creator creator = { (here & 0xFFFF0000) | (here >> 8 & 0xFF),
                                         slice_text(tag->creator) };
    values->begin = values->entries->size;
    if (!tag->creator[0] || row_private_tag(dataset, &creator, tag->path[0], &here))
        add_level(values, tag, 0, dataset, here);
    if (values->items > ITEMS_MAX && !is_full(values))
        add_entry(values, slice_text(TAG_MANY));
}
