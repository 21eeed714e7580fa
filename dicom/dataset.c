/* SPDX-License-Identifier: MIT */
#include "dicom/dataset.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/cursor.h"

static bool no_dataset(uint64_t position, const char *what, struct error *err)
{
    return error_set(err, ERROR_INVALID, "data set at offset %llu: %s",
                     (unsigned long long)position, what);
}

/* Elements of one data set or item, each of which costs more memory than its bytes; those below it
 * count by themselves. No SOP class comes near. */
enum { DIRECTORY_MAX = 100000 };

/* What was left out must lie in the data set, in order. */
static bool take_gaps(struct dataset *dataset, const struct elision *elisions, size_t count,
                      struct error *err)
{
    uint64_t before = 0;
    uint64_t last_end = dataset->base;
    for (size_t i = 0; i < count; i++) {
        if (elisions[i].offset < last_end || elisions[i].size > UINT64_MAX / 2 - before ||
            elisions[i].offset - dataset->base - before > dataset->bytes.size)
            return no_dataset(elisions[i].offset, "no value can be left out here", err);
        dataset->gaps[i] = (struct gap){ elisions[i].offset, elisions[i].size, before };
        before += elisions[i].size;
        last_end = elisions[i].offset + elisions[i].size;
    }
    dataset->gap_count = count;
    dataset->end = dataset->base + dataset->bytes.size + before;
    return true;
}

static struct dataset *add_entry(struct dataset *dataset, const struct entry *entry)
{
    if (dataset->entry_count == dataset->entry_capacity) {
        dataset->entry_capacity *= 2;
        dataset = mem_resize(dataset, sizeof(*dataset) +
                                          dataset->entry_capacity * sizeof(dataset->entries[0]));
    }
    dataset->entries[dataset->entry_count++] = *entry;
    return dataset;
}

/* One element of the top level, from the cursor to behind it. */
static const char *read_entry(struct cursor *cursor, struct entry *entry)
{
    struct element_header header;
    uint64_t end = cursor->dataset->end;
    if (!cursor_header(cursor, end, &header))
        return "no element header";
    if (header.tag >> 16 == 0xFFFE)
        return "item or delimiter where none is open";
    bool undefined = header.length == LENGTH_UNDEFINED;
    *entry = (struct entry){ header.tag,       header.vr,     undefined,
                             cursor->position, header.length, cursor->gap };
    if (!undefined)
        return cursor_skip(cursor, header.length, end) ? NULL : "value ends behind the end";
    bool skipped;
    if (element_has_fragments(header.tag, cursor->dataset->syntax->encapsulated)) {
        skipped = cursor_skip_fragments(cursor, end);
    } else {
        bool in_unknown = cursor->in_unknown;
        cursor->in_unknown = in_unknown || header.vr == VR_UN;
        skipped = cursor_skip_undefined(cursor, false, end);
        cursor->in_unknown = in_unknown;
    }
    entry->size = cursor->position - entry->offset;
    return skipped ? NULL : "sequence is broken";
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *first = a, *second = b;
    if (first->tag != second->tag)
        return first->tag < second->tag ? -1 : 1;
    return first->offset < second->offset ? -1 : first->offset > second->offset;
}

/* The directory of the top level. */
static bool read_entries(struct dataset **held, struct error *err)
{
    struct dataset *dataset = *held;
    bool ascending = true;
    uint32_t last_tag = 0;
    struct cursor cursor = { dataset, dataset->base, 0, dataset->in_unknown, 0 };
    while (cursor.position < dataset->end) {
        struct entry entry;
        uint64_t position = cursor.position;
        const char *fault = read_entry(&cursor, &entry);
        if (fault)
            return no_dataset(position, fault, err);
        if (dataset->entry_count == DIRECTORY_MAX)
            return error_set_tag(err, ERROR_LIMIT, entry.tag,
                                 "data set or item has more than %d elements", DIRECTORY_MAX);
        cursor.dataset = dataset = *held = add_entry(dataset, &entry);
        ascending = ascending && entry.tag >= last_tag;
        last_tag = entry.tag;
    }
    if (!ascending)
        qsort(dataset->entries, dataset->entry_count, sizeof(struct entry), compare_entries);
    return true;
}

static void fill(const struct dataset *dataset, const struct entry *entry, struct element *element)
{
    struct cursor cursor = { dataset, entry->offset, entry->gap, dataset->in_unknown, 0 };
    if (!cursor_element(&cursor, entry->tag, entry->vr, entry->size, entry->undefined_length,
                        element))
        element->value = slice_of(NULL, 0);
}

bool dataset_find(const struct dataset *dataset, uint32_t tag, struct element *element)
{
    size_t low = 0, high = dataset->entry_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (dataset->entries[middle].tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == dataset->entry_count || dataset->entries[low].tag != tag)
        return false;
    fill(dataset, &dataset->entries[low], element);
    return true;
}

const struct charset *charset_of(const struct element *specific, const struct charset *inherited)
{
    return specific->value.size ? charset_find(specific->value) : inherited;
}

/* What the reading of all other attributes depends on. */
static void read_context(struct dataset *dataset)
{
    struct element element;
    if (dataset_find(dataset, TAG_SPECIFIC_CHARACTER_SET, &element))
        dataset->charset = charset_of(&element, dataset->charset);
    int64_t representation;
    if (dataset_integer(dataset, TAG_PIXEL_REPRESENTATION, &representation))
        dataset->signed_pixels = representation == 1;
}

/* `outer` is the data set that the item stands in, or NULL. */
static bool open_part(struct slice bytes, uint64_t base, const struct transfer_syntax *syntax,
                      const struct dataset *outer, bool in_unknown, const struct elision *elisions,
                      size_t elision_count, struct dataset **out, struct error *err)
{
    enum { FEWEST = 8, MOST = 256, USUAL_ELEMENT = 20 };
    size_t capacity = bytes.size / USUAL_ELEMENT + FEWEST;
    if (capacity > MOST)
        capacity = MOST;
    struct dataset *dataset = mem_alloc(sizeof(*dataset) + capacity * sizeof(dataset->entries[0]));
    dataset->entry_capacity = capacity;
    dataset->bytes = bytes;
    dataset->base = base;
    dataset->syntax = syntax;
    dataset->in_unknown = in_unknown;
    dataset->charset = outer ? outer->charset : charset_find(slice_of(NULL, 0));
    dataset->signed_pixels = outer && outer->signed_pixels;
    dataset->gaps = elision_count ? mem_alloc_array(elision_count, sizeof(*dataset->gaps)) : NULL;
    if (!take_gaps(dataset, elisions, elision_count, err) || !read_entries(&dataset, err)) {
        dataset_close(dataset);
        return false;
    }
    read_context(dataset);
    *out = dataset;
    return true;
}

bool dataset_open(struct slice bytes, const struct transfer_syntax *syntax,
                  const struct elision *elisions, size_t elision_count, struct dataset **out,
                  struct error *err)
{
    *out = NULL;
    return open_part(bytes, 0, syntax, NULL, false, elisions, elisions ? elision_count : 0, out,
                     err);
}

void dataset_close(struct dataset *dataset)
{
    if (!dataset)
        return;
    free(dataset->gaps);
    free(dataset);
}

const struct transfer_syntax *dataset_syntax(const struct dataset *dataset)
{
    return dataset->syntax;
}

bool dataset_find_path(const struct dataset *dataset, const uint32_t *path, size_t depth,
                       struct element *element)
{
    struct dataset *item = NULL;
    for (size_t i = 0; i + 1 < depth && dataset; i++) {
        struct dataset *inner = dataset_item(dataset, path[i], 0);
        dataset_close(item);
        dataset = item = inner;
    }
    bool found = dataset && depth && dataset_find(dataset, path[depth - 1], element);
    dataset_close(item);
    return found;
}

struct dataset_items dataset_items(const struct dataset *dataset, uint32_t tag)
{
    struct element element;
    struct dataset_items items = { .dataset = dataset };
    if (!dataset_find(dataset, tag, &element) || element.vr != VR_SQ || element.elided)
        return items;
    items.position = element.offset;
    items.end = element.offset + element.size;
    items.elision = cursor_at(dataset, element.offset).gap;
    items.implicit = element.implicit;
    return items;
}

/* Where an item's content lies. */
struct content {
    uint64_t begin;
    uint64_t size;
    size_t gap;
    size_t gap_end;
};

static bool next_content(struct dataset_items *items, struct content *content)
{
    const struct dataset *dataset = items->dataset;
    struct cursor cursor = { dataset, items->position, items->elision,
                             items->implicit && dataset->syntax->explicit_vr, 0 };
    struct element_header header;
    if (items->position >= items->end || !cursor_header(&cursor, items->end, &header) ||
        header.tag != TAG_ITEM)
        return false;
    *content = (struct content){ cursor.position, header.length, cursor.gap, 0 };
    if (header.length != LENGTH_UNDEFINED) {
        if (!cursor_skip(&cursor, header.length, items->end))
            return false;
    } else {
        if (!cursor_skip_undefined(&cursor, true, items->end))
            return false;
        content->size = cursor.position - content->begin - 8; /* without the delimiter */
    }
    content->gap_end = cursor.gap;
    items->position = cursor.position;
    items->elision = cursor.gap;
    return true;
}

static struct dataset *open_content(const struct dataset_items *items,
                                    const struct content *content)
{
    const struct dataset *dataset = items->dataset;
    size_t count = content->gap_end - content->gap;
    struct elision *elisions = count ? mem_alloc_array(count, sizeof(*elisions)) : NULL;
    uint64_t left_out = 0;
    for (size_t i = 0; i < count; i++) {
        const struct gap *gap = &dataset->gaps[content->gap + i];
        elisions[i] = (struct elision){ gap->offset, gap->size };
        left_out += gap->size;
    }
    struct cursor begin = { dataset, content->begin, content->gap, false, 0 };
    struct slice bytes = slice_of(cursor_bytes(&begin).data, (size_t)(content->size - left_out));
    struct dataset *item = NULL;
    open_part(bytes, content->begin, dataset->syntax, dataset,
              items->implicit && dataset->syntax->explicit_vr, elisions, count, &item, NULL);
    free(elisions);
    return item;
}

struct dataset *dataset_items_next(struct dataset_items *items)
{
    struct content content;
    return next_content(items, &content) ? open_content(items, &content) : NULL;
}

struct dataset *dataset_item(const struct dataset *dataset, uint32_t tag, size_t index)
{
    struct dataset_items items = dataset_items(dataset, tag);
    struct content content;
    for (size_t i = 0; i <= index; i++)
        if (!next_content(&items, &content))
            return NULL;
    return open_content(&items, &content);
}

size_t dataset_item_count(const struct dataset *dataset, uint32_t tag)
{
    struct dataset_items items = dataset_items(dataset, tag);
    struct content content;
    size_t count = 0;
    while (next_content(&items, &content))
        count++;
    return count;
}

/* A mark at every so many items is enough: an item has eight bytes at least, so that the marks take
 * an eighth of the header at most. */
enum { ITEMS_OF_MARK = 16 };

struct mark {
    uint64_t position;
    size_t elision;
};

struct item_index {
    struct dataset_items items;
    struct mark *marks; /* before item 0, 16, 32 ... */
    size_t count;
};

static void add_mark(struct item_index *index, size_t *capacity, const struct dataset_items *items)
{
    if (index->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 16;
        index->marks = mem_resize_array(index->marks, *capacity, sizeof(*index->marks));
    }
    index->marks[index->count++] = (struct mark){ items->position, items->elision };
}

struct item_index *item_index_new(const struct dataset *dataset, uint32_t tag)
{
    struct item_index *index = mem_alloc(sizeof(*index));
    struct content content;
    size_t number = 0, capacity = 0;
    index->items = dataset_items(dataset, tag);
    struct dataset_items items = index->items;
    do {
        if (number % ITEMS_OF_MARK == 0)
            add_mark(index, &capacity, &items);
        number++;
    } while (next_content(&items, &content));
    return index;
}

void item_index_free(struct item_index *index)
{
    if (!index)
        return;
    free(index->marks);
    free(index);
}

struct dataset *item_index_open(const struct item_index *index, size_t number)
{
    struct dataset_items items = index->items;
    struct content content;
    if (number / ITEMS_OF_MARK >= index->count)
        return NULL;
    items.position = index->marks[number / ITEMS_OF_MARK].position;
    items.elision = index->marks[number / ITEMS_OF_MARK].elision;
    for (size_t i = number % ITEMS_OF_MARK + 1; i; i--)
        if (!next_content(&items, &content))
            return NULL;
    return open_content(&items, &content);
}
