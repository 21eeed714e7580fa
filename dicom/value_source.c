/* SPDX-License-Identifier: MIT */
#include "dicom/value_source.h"

bool value_read(const struct element *element, const struct value_source *source, size_t most,
                struct buffer *bytes, struct error *err)
{
    if (element->size > most)
        return error_set_tag(err, ERROR_UNSUPPORTED, element->tag, "a value is too long");
    if (!element->elided)
        return buffer_append(bytes, element->value) || buffer_check(bytes, "a value", err);
    struct space space = buffer_reserve(bytes, (size_t)element->size);
    if (!space.data)
        return !element->size || buffer_check(bytes, "a value", err);
    if (!source->read(source->context, element->offset, space, err))
        return false;
    buffer_advance(bytes, space.size);
    return true;
}
