/* SPDX-License-Identifier: MIT */
#include "archive/entry_list.h"

#include <stdlib.h>
#include <string.h>

enum { SYNTAXES_COMPARED = 64 }; /* of one study; a later one is kept twice */
#define LIST_SIZE ((size_t)512 << 20)

struct item {
    int64_t number;
    uint32_t series;
    uint32_t syntax;
    uint32_t uid; /* where it begins */
};

struct series {
    int64_t number;
    char study[UID_SIZE];
    char uid[UID_SIZE];
};

struct entry_list entry_list_init(void)
{
    return (struct entry_list){ buffer_up_to(LIST_SIZE), buffer_up_to(LIST_SIZE),
                                buffer_up_to(LIST_SIZE), buffer_up_to(LIST_SIZE) };
}

void entry_list_release(struct entry_list *list)
{
    buffer_release(&list->items);
    buffer_release(&list->series);
    buffer_release(&list->syntaxes);
    buffer_release(&list->uids);
}

void entry_list_clear(struct entry_list *list)
{
    buffer_clear(&list->items);
    buffer_clear(&list->series);
    buffer_clear(&list->syntaxes);
    buffer_clear(&list->uids);
}

static const struct item *item_at(const struct entry_list *list, size_t index)
{
    return (const struct item *)(const void *)list->items.data + index;
}

static const struct series *series_at(const struct entry_list *list, size_t index)
{
    return (const struct series *)(const void *)list->series.data + index;
}

static const char *uid_of(const struct entry_list *list, const struct item *item)
{
    return (const char *)list->uids.data + item->uid;
}

static const char *syntax_at(const struct entry_list *list, size_t index)
{
    return (const char *)list->syntaxes.data + index * UID_SIZE;
}

static uint32_t find_series(struct entry_list *list, const struct identity *place, int64_t number)
{
    size_t count = list->series.size / sizeof(struct series);
    const struct series *last = count ? series_at(list, count - 1) : NULL;
    if (last && last->number == number && !strcmp(last->uid, place->series) &&
        !strcmp(last->study, place->study))
        return (uint32_t)(count - 1);
    struct series series = { .number = number };
    memcpy(series.study, place->study, UID_SIZE);
    memcpy(series.uid, place->series, UID_SIZE);
    buffer_append(&list->series, slice_of(&series, sizeof(series)));
    return (uint32_t)count;
}

static uint32_t find_syntax(struct entry_list *list, const char *uid)
{
    char text[UID_SIZE] = { 0 };
    size_t count = list->syntaxes.size / UID_SIZE;
    for (size_t i = 0; i < count && i < SYNTAXES_COMPARED; i++)
        if (!strcmp(syntax_at(list, i), uid))
            return (uint32_t)i;
    memcpy(text, uid, strnlen(uid, UID_SIZE - 1));
    buffer_append(&list->syntaxes, slice_of(text, UID_SIZE));
    return (uint32_t)count;
}

bool entry_list_add(struct entry_list *list, const struct identity *place, int64_t series_number,
                    int64_t number, const char *transfer_syntax, struct error *err)
{
    struct item item = { .number = number,
                         .series = find_series(list, place, series_number),
                         .syntax = find_syntax(list, transfer_syntax),
                         .uid = (uint32_t)list->uids.size };
    buffer_append(&list->uids, slice_text(place->instance));
    buffer_append_byte(&list->uids, 0);
    buffer_append(&list->items, slice_of(&item, sizeof(item)));
    return buffer_check(&list->items, "list of instances", err) &&
           buffer_check(&list->series, "list of instances", err) &&
           buffer_check(&list->syntaxes, "list of instances", err) &&
           buffer_check(&list->uids, "list of instances", err);
}

static int compare_numbers(int64_t first, int64_t second)
{
    return first < second ? -1 : first > second;
}

static int compare(const void *a, const void *b, void *context)
{
    const struct entry_list *list = context;
    const struct item *first = a, *second = b;
    const struct series *first_series = series_at(list, first->series);
    const struct series *second_series = series_at(list, second->series);
    int order = 0;
    if (first_series != second_series) {
        order = strcmp(first_series->study, second_series->study);
        if (!order)
            order = compare_numbers(first_series->number, second_series->number);
        if (!order)
            order = strcmp(first_series->uid, second_series->uid);
    }
    if (!order)
        order = compare_numbers(first->number, second->number);
    return order ? order : strcmp(uid_of(list, first), uid_of(list, second));
}

void entry_list_sort(struct entry_list *list)
{
    if (list->items.size)
        qsort_r(list->items.data, entry_list_count(list), sizeof(struct item), compare, list);
}

size_t entry_list_count(const struct entry_list *list)
{
    return list->items.size / sizeof(struct item);
}

void entry_list_place(const struct entry_list *list, size_t index, struct identity *place)
{
    const struct item *item = item_at(list, index);
    const struct series *series = series_at(list, item->series);
    const char *uid = uid_of(list, item);
    memset(place, 0, sizeof(*place));
    memcpy(place->study, series->study, UID_SIZE);
    memcpy(place->series, series->uid, UID_SIZE);
    memcpy(place->instance, uid, strnlen(uid, UID_SIZE - 1));
}

const char *entry_list_syntax(const struct entry_list *list, size_t index)
{
    return syntax_at(list, item_at(list, index)->syntax);
}
