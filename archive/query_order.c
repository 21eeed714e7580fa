/* SPDX-License-Identifier: MIT */
#include "archive/query_order.h"

#include <math.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/match.h"

enum { ORDER_KEY_SIZE = ORDER_MAX_TERMS * (ORDER_VALUE_SIZE + 2) };

struct ordered {
    uint8_t *key;
    size_t key_size;
    uint64_t seen; /* how many came before it */
    struct identity place;
};

void query_order_release(struct query_order *order)
{
    for (size_t i = 0; i < order->kept_count; i++)
        free(order->kept[i].key);
    free(order->kept);
    memset(order, 0, sizeof(*order));
}

bool query_order_add(struct query_order *order, uint32_t tag, bool descending, struct error *err)
{
    if (order->count == ORDER_MAX_TERMS)
        return error_set(err, ERROR_LIMIT, "matches are sorted by %d attributes at most",
                         ORDER_MAX_TERMS);
    order->terms[order->count++] = (struct order_term){ tag, descending };
    return true;
}

bool query_order_begin(struct query_order *order, uint64_t most, struct error *err)
{
    if (most > ORDER_MAX_KEPT)
        return error_set(err, ERROR_LIMIT, "a page that ends beyond match %d is not sorted",
                         ORDER_MAX_KEPT);
    order->most = (size_t)most;
    return true;
}

/* Sort keys: bytes whose order is that of the values, ended so that none begins another one. */

/* Of a binary64 the bits are in order when those of negative ones are inverted. */
static void append_number(struct buffer *key, struct slice text)
{
    char digits[64];
    size_t size = text.size < sizeof(digits) ? text.size : sizeof(digits) - 1;
    memcpy(digits, text.data, size);
    digits[size] = '\0';
    double number = strtod(digits, NULL);
    uint64_t bits;
    if (isnan(number) || number == 0)
        number = 0; /* also of -0 */
    memcpy(&bits, &number, sizeof(bits));
    bits = bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
    for (int shift = 56; shift >= 0; shift -= 8)
        buffer_append_byte(key, (uint8_t)(bits >> shift));
}

static void append_value(struct buffer *key, const struct order_term *term, struct slice value)
{
    uint16_t vr = dictionary_vr(term->tag);
    struct buffer folded = buffer_up_to(SIZE_MAX / 2);
    size_t begin = key->size + 1;
    match_fold(vr == VR_UN ? VR_LO : vr, value, &folded);
    /* What has no value comes last, whichever way it goes. */
    buffer_append_byte(key, folded.size ? 0 : 1);
    if (vr_is_number(vr) && folded.size)
        append_number(key, buffer_slice(&folded));
    else
        buffer_append(key, slice_take(buffer_slice(&folded), ORDER_VALUE_SIZE));
    buffer_append_byte(key, 0);
    for (size_t i = begin; term->descending && folded.size && i < key->size; i++)
        key->data[i] ^= 0xFF;
    buffer_release(&folded);
}

static bool make_key(const struct query_order *order, struct row *row, enum level level,
                     struct buffer *key, struct error *err)
{
    struct buffer text = buffer_up_to(ROW_TEXT_SIZE);
    bool ok = true;
    for (size_t i = 0; ok && i < order->count; i++) {
        ok = row_text(row, level, order->terms[i].tag, &text, err);
        if (ok)
            append_value(key, &order->terms[i], buffer_slice(&text));
    }
    buffer_release(&text);
    return ok && buffer_check(key, "sort key", err);
}

/* The heap: none comes later than the one above it. */

static int compare(const void *a, const void *b)
{
    const struct ordered *first = a, *second = b;
    int order = slice_compare(slice_of(first->key, first->key_size),
                              slice_of(second->key, second->key_size));
    return order ? order : first->seen < second->seen ? -1 : first->seen > second->seen;
}

static void swap(struct query_order *order, size_t a, size_t b)
{
    struct ordered other = order->kept[a];
    order->kept[a] = order->kept[b];
    order->kept[b] = other;
}

static void rise(struct query_order *order, size_t at)
{
    while (at && compare(&order->kept[at], &order->kept[(at - 1) / 2]) > 0) {
        swap(order, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void sink(struct query_order *order)
{
    for (size_t at = 0;;) {
        size_t largest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < order->kept_count &&
                compare(&order->kept[child], &order->kept[largest]) > 0)
                largest = child;
        if (largest == at)
            return;
        swap(order, at, largest);
        at = largest;
    }
}

static void drop_last(struct query_order *order)
{
    struct ordered *top = &order->kept[0];
    order->bytes -= sizeof(*top) + top->key_size;
    free(top->key);
    *top = order->kept[--order->kept_count];
    sink(order);
}

bool query_order_take(struct query_order *order, struct row *row, enum level level,
                      struct error *err)
{
    struct buffer key = buffer_up_to(ORDER_KEY_SIZE);
    bool ok = false;
    if (order->seen == ORDER_MAX_SEEN) {
        error_set(err, ERROR_LIMIT, "more than %d matches are not sorted: ask for fewer",
                  ORDER_MAX_SEEN);
        goto out;
    }
    if (!make_key(order, row, level, &key, err))
        goto out;
    struct ordered match = { key.data, key.size, order->seen++, row->place };
    ok = true;
    bool is_full = order->kept_count == order->most;
    if (!order->most || (is_full && compare(&match, &order->kept[0]) >= 0))
        goto out;
    if (is_full)
        drop_last(order);
    ok = order->bytes + sizeof(match) + key.size <= ORDER_MAX_BYTES;
    if (!ok) {
        error_set(err, ERROR_LIMIT, "so many matches are not sorted: ask for fewer");
        goto out;
    }
    match.key = mem_copy(key.data, key.size);
    order->bytes += sizeof(match) + key.size;
    if (order->kept_count == order->capacity) {
        order->capacity = order->capacity ? 2 * order->capacity : 64;
        order->kept = mem_resize_array(order->kept, order->capacity, sizeof(*order->kept));
    }
    order->kept[order->kept_count++] = match;
    rise(order, order->kept_count - 1);
out:
    buffer_release(&key);
    return ok;
}

void query_order_end(struct query_order *order)
{
    if (order->kept_count)
        qsort(order->kept, order->kept_count, sizeof(*order->kept), compare);
}

const struct identity *query_order_at(const struct query_order *order, uint64_t index)
{
    return index < order->kept_count ? &order->kept[index].place : NULL;
}
