/* SPDX-License-Identifier: MIT */
/* The index terms of an object: a function of its record, so that what changes is the difference of
 * those before and after. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/date_time.h"
#include "dicom/fold.h"
#include "dicom/match.h"
#include "worklist/core.h"
#include "worklist/kinds.h"

enum { TEXT_LIMIT = 1 << 20, VALUES_MAX = 256 /* of one attribute */ };

struct gather {
    const struct object *object;
    const struct object_kind_row *row;
    const struct dataset *dataset; /* NULL: none */
    char stamp[STAMP_SIZE];
    struct buffer text;
    struct buffer folded;
    struct buffer *list;
    size_t count;
    size_t values[32]; /* of each index so far */
};

static void add_term(struct gather *gather, char index, struct slice value)
{
    uint8_t bytes[TERM_KEY_SIZE];
    size_t size = 0;
    if (gather->count >= OBJECT_TERMS_MAX)
        return;
    gather->count++;
    value = slice_take(value, TERM_VALUE_SIZE);
    bytes[size++] = WORKLIST_BYTE;
    bytes[size++] = (uint8_t)gather->object->kind;
    bytes[size++] = (uint8_t)gather->object->shelf;
    bytes[size++] = (uint8_t)index;
    /* A NUL ends the value. */
    for (size_t i = 0; i < value.size; i++)
        bytes[size++] = value.data[i] ? value.data[i] : ' ';
    bytes[size++] = 0;
    memcpy(bytes + size, gather->stamp, STAMP_SIZE);
    size += STAMP_SIZE;
    size_t key_size = strlen(gather->object->key);
    memcpy(bytes + size, gather->object->key, key_size);
    size += key_size;
    buffer_append_u16le(gather->list, (uint16_t)size);
    buffer_append(gather->list, slice_of(bytes, size));
}

static struct slice first_value(struct slice text)
{
    const uint8_t *end = text.size ? memchr(text.data, '\\', text.size) : NULL;
    return fold_trim(end ? slice_take(text, (size_t)(end - text.data)) : text);
}

static bool text_at(struct gather *gather, const struct attribute_path *path, struct slice *text)
{
    struct element element;
    buffer_clear(&gather->text);
    if (!path->depth || !gather->dataset ||
        !dataset_find_path(gather->dataset, path->tags, path->depth, &element) ||
        !dataset_element_text(gather->dataset, &element, &gather->text))
        return false;
    *text = first_value(buffer_slice(&gather->text));
    return true;
}

/* Kept apart from those with a date: '~' is behind every digit. */
static void make_stamp(struct gather *gather)
{
    const struct object_kind_row *row = gather->row;
    struct slice text;
    struct time_span span;
    char digits[DATE_TIME_TEXT_SIZE];
    memset(gather->stamp, '~', STAMP_SIZE);
    if (!text_at(gather, &row->date, &text))
        return;
    if (!row->time.depth) {
        if (!date_time_parse(text, &span))
            return;
        date_time_format(span.first_us, digits);
        memcpy(gather->stamp, digits, STAMP_SIZE);
        return;
    }
    if (!date_parse(text, &span))
        return;
    date_format(span.first_us, digits);
    memset(gather->stamp, '0', STAMP_SIZE);
    memcpy(gather->stamp, digits, DATE_TEXT_SIZE - 1);
    if (!text_at(gather, &row->time, &text) || !time_parse(text, &span))
        return;
    time_format(span.first_us, digits);
    memcpy(gather->stamp + DATE_TEXT_SIZE - 1, digits, STAMP_SIZE - (DATE_TEXT_SIZE - 1));
}

static void add_values(struct gather *gather, size_t number, const struct element *element)
{
    const struct object_index *index = &gather->row->indexes[number];
    buffer_clear(&gather->text);
    if (!dataset_element_text(gather->dataset, element, &gather->text))
        return;
    struct match_terms terms = match_fold_terms(index->vr, buffer_slice(&gather->text));
    while (gather->values[number] < VALUES_MAX && match_terms_next(&terms, &gather->folded)) {
        gather->values[number]++;
        add_term(gather, index->id, buffer_slice(&gather->folded));
    }
}

/* Where the walk stands, as a path: the tags of the open sequences, and the element's. */
static void visit(struct gather *gather, const uint32_t *path, size_t depth,
                  const struct element *element)
{
    for (size_t i = 0; i < gather->row->index_count; i++) {
        const struct attribute_path *wanted = &gather->row->indexes[i].path;
        if (wanted->depth == depth && memcmp(wanted->tags, path, depth * sizeof(path[0])) == 0)
            add_values(gather, i, element);
    }
}

static void walk_attributes(struct gather *gather)
{
    struct walk walk = dataset_walk(gather->dataset);
    uint32_t path[INDEX_DEPTH] = { 0 };
    struct element element;
    size_t depth = 0;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if ((event == WALK_ELEMENT || event == WALK_SEQUENCE) && depth < INDEX_DEPTH)
            path[depth] = element.tag;
        if (event == WALK_ELEMENT && depth < INDEX_DEPTH)
            visit(gather, path, depth + 1, &element);
        if (event == WALK_SEQUENCE)
            depth++;
        else if (event == WALK_SEQUENCE_END)
            depth--;
    }
}

static void add_links(struct gather *gather)
{
    struct slice links = buffer_slice(&gather->object->links);
    while (links.size >= 2 && links.size - 2 >= links.data[1]) {
        size_t size = links.data[1];
        add_term(gather, (char)links.data[0], slice_take(slice_skip(links, 2), size));
        links = slice_skip(links, 2 + size);
    }
}

bool object_terms(const struct object *object, struct buffer *list, struct error *err)
{
    struct gather gather = { .object = object,
                             .row = object_kind_row(object->kind),
                             .text = buffer_up_to(TEXT_LIMIT),
                             .folded = buffer_up_to(4 * TEXT_LIMIT),
                             .list = list };
    struct dataset *dataset = NULL;
    if (!gather.row)
        return error_set(err, ERROR_INVALID, "no such kind of object");
    if (object->dataset.size && !object_dataset(object, &dataset, err))
        return false;
    gather.dataset = dataset;
    make_stamp(&gather);
    add_term(&gather, ALL_OBJECTS, slice_of(NULL, 0));
    add_links(&gather);
    if (dataset)
        walk_attributes(&gather);
    dataset_close(dataset);
    buffer_release(&gather.text);
    buffer_release(&gather.folded);
    return buffer_check(list, "index terms", err);
}

bool object_terms_next(struct slice *list, struct slice *term)
{
    if (list->size < 2)
        return false;
    size_t size = get_u16le(list->data);
    *term = slice_take(slice_skip(*list, 2), size);
    *list = slice_skip(*list, 2 + size);
    return true;
}

struct sorted {
    struct slice *items;
    size_t count;
};

static int compare(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Each once. An object may have thousands, and all others wait for the turn. */
static struct sorted sort_terms(struct slice list)
{
    struct sorted sorted = { .count = 0 };
    struct slice term;
    size_t count = 0;
    for (struct slice rest = list; object_terms_next(&rest, &term);)
        count++;
    sorted.items = mem_alloc_array(count + 1, sizeof(*sorted.items));
    while (object_terms_next(&list, &term))
        sorted.items[sorted.count++] = term;
    qsort(sorted.items, sorted.count, sizeof(*sorted.items), compare);
    count = 0;
    for (size_t i = 0; i < sorted.count; i++)
        if (!count || slice_compare(sorted.items[count - 1], sorted.items[i]) != 0)
            sorted.items[count++] = sorted.items[i];
    sorted.count = count;
    return sorted;
}

void object_terms_write(struct transaction *transaction, struct slice before, struct slice after)
{
    struct sorted old = sort_terms(before), new = sort_terms(after);
    for (size_t i = 0, k = 0; i < old.count || k < new.count;) {
        int order = i == old.count   ? 1
                    : k == new.count ? -1
                                     : slice_compare(old.items[i], new.items[k]);
        if (order < 0)
            transaction_delete(transaction, TABLE_TERM, old.items[i]);
        else if (order > 0)
            transaction_put(transaction, TABLE_TERM, new.items[k], slice_of(NULL, 0));
        i += order <= 0;
        k += order >= 0;
    }
    free(old.items);
    free(new.items);
}

bool object_term_split(struct slice term, size_t value_size, struct slice *stamp, struct slice *key)
{
    enum { HEADER = 4 };
    if (term.size < HEADER)
        return false;
    struct slice rest = slice_skip(term, HEADER);
    if (value_size == SIZE_MAX) {
        const uint8_t *end = rest.size ? memchr(rest.data, 0, rest.size) : NULL;
        if (!end)
            return false;
        value_size = (size_t)(end - rest.data);
    }
    rest = slice_skip(rest, value_size + 1);
    if (rest.size <= STAMP_SIZE || rest.size - STAMP_SIZE >= OBJECT_KEY_SIZE)
        return false;
    *stamp = slice_take(rest, STAMP_SIZE);
    *key = slice_skip(rest, STAMP_SIZE);
    return true;
}
