/* SPDX-License-Identifier: MIT */
#include "archive/entry_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

struct wanted {
    struct identity place;
    int64_t series_number;
    int64_t number;
    char syntax[UID_SIZE];
};

static int compare(const void *a, const void *b)
{
    const struct wanted *first = a, *second = b;
    int order = strcmp(first->place.study, second->place.study);
    if (!order && first->series_number != second->series_number)
        return first->series_number < second->series_number ? -1 : 1;
    if (!order)
        order = strcmp(first->place.series, second->place.series);
    if (!order && first->number != second->number)
        return first->number < second->number ? -1 : 1;
    return order ? order : strcmp(first->place.instance, second->place.instance);
}

TEST(what_is_listed_in_any_order_comes_in_that_of_a_retrieval)
{
    enum { COUNT = 3000 };
    static struct wanted all[COUNT];
    struct entry_list list = entry_list_init();
    struct error err = { 0 };
    srand(1);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            struct wanted *one = &all[i];
            int series = rand() % 9;
            memset(one, 0, sizeof(*one));
            int study = rand() % 4;
            snprintf(one->place.study, UID_SIZE, "1.%d", study);
            snprintf(one->place.series, UID_SIZE, "1.%d.%d", study, series);
            snprintf(one->place.instance, UID_SIZE, "1.%d.%d.%d", study, series, i);
            one->series_number = series % 3 ? series / 3 : INT64_MAX;
            one->number = rand() % 5 ? rand() % 50 - 10 : INT64_MAX;
            /* more of them than are compared */
            snprintf(one->syntax, UID_SIZE, "1.2.840.10008.1.2.4.%d", rand() % 100);
            CHECK_OK(entry_list_add(&list, &one->place, one->series_number, one->number,
                                    one->syntax, &err),
                     err);
        }
        entry_list_sort(&list);
        qsort(all, COUNT, sizeof(all[0]), compare);
        CHECK_INT(entry_list_count(&list), COUNT);
        for (int i = 0; i < COUNT; i++) {
            struct identity place;
            entry_list_place(&list, (size_t)i, &place);
            CHECK_TEXT(place.study, all[i].place.study);
            CHECK_TEXT(place.series, all[i].place.series);
            CHECK_TEXT(place.instance, all[i].place.instance);
            CHECK_TEXT(place.sop_class, "");
            CHECK_TEXT(entry_list_syntax(&list, (size_t)i), all[i].syntax);
        }
        entry_list_clear(&list);
        CHECK_INT(entry_list_count(&list), 0);
    }
    entry_list_release(&list);
}
