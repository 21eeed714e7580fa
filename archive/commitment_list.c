/* SPDX-License-Identifier: MIT */
#include "archive/commitment_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int compare(const void *a, const void *b)
{
    const struct reference *x = a;
    const struct reference *y = b;
    int order = strcmp(x->sop_class, y->sop_class);
    return order ? order : strcmp(x->sop_instance, y->sop_instance);
}

void references_write(struct reference *references, size_t count, struct buffer *text)
{
    const struct reference *before = NULL;
    qsort(references, count, sizeof(*references), compare);
    for (size_t i = 0; i < count; before = &references[i++]) {
        const struct reference *reference = &references[i];
        if (before && compare(before, reference) == 0)
            continue;
        if (!before || strcmp(before->sop_class, reference->sop_class) != 0) {
            buffer_append_byte(text, '=');
            buffer_append_text(text, reference->sop_class);
            buffer_append_byte(text, '\n');
        }
        buffer_append_text(text, reference->sop_instance);
        buffer_append_byte(text, '\n');
    }
}

bool references_next(struct slice *text, struct reference *reference)
{
    while (text->size) {
        const uint8_t *end = memchr(text->data, '\n', text->size);
        size_t size = end ? (size_t)(end - text->data) : text->size;
        struct slice line = slice_take(*text, size);
        *text = slice_skip(*text, end ? size + 1 : size);
        if (line.size && line.data[0] == '=')
            uid_copy(slice_skip(line, 1), reference->sop_class);
        else if (uid_copy(line, reference->sop_instance))
            return true;
    }
    return false;
}

size_t references_count(struct slice text)
{
    struct reference reference = { "", "" };
    size_t count = 0;
    while (references_next(&text, &reference))
        count++;
    return count;
}

bool references_read(const struct dataset *request, struct buffer *text, size_t *count,
                     struct error *err)
{
    struct dataset_items items = dataset_items(request, TAG_REFERENCED_SOP_SEQUENCE);
    struct reference *references = NULL;
    struct dataset *item;
    bool ok = true;
    *count = 0;
    while (ok && (item = dataset_items_next(&items))) {
        if (*count == COMMITMENT_REFERENCES)
            ok = error_set(err, ERROR_LIMIT, "more than %d references", COMMITMENT_REFERENCES);
        if (ok && *count % 256 == 0)
            references = mem_resize_array(references, *count + 256, sizeof(*references));
        if (ok) {
            struct reference *reference = &references[(*count)++];
            memset(reference, 0, sizeof(*reference));
            ok = (dataset_uid(item, TAG_REFERENCED_SOP_CLASS_UID, reference->sop_class) &&
                  dataset_uid(item, TAG_REFERENCED_SOP_INSTANCE_UID, reference->sop_instance)) ||
                 error_set_tag(err, ERROR_INVALID, TAG_REFERENCED_SOP_SEQUENCE,
                               "a reference without its UIDs");
        }
        dataset_close(item);
    }
    if (ok && !*count)
        ok = error_set_tag(err, ERROR_INVALID, TAG_REFERENCED_SOP_SEQUENCE,
                           "Referenced SOP Sequence is missing or empty");
    if (ok) {
        references_write(references, *count, text);
        *count = references_count(buffer_slice(text));
        ok = buffer_check(text, "references", err);
    }
    free(references);
    return ok;
}
