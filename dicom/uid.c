/* SPDX-License-Identifier: MIT */
#include "dicom/uid.h"

bool uid_is_safe(struct slice uid)
{
    if (uid.size == 0 || uid.size >= UID_SIZE)
        return false;
    bool component_is_empty = true;
    for (size_t i = 0; i < uid.size; i++) {
        if (uid.data[i] == '.') {
            if (component_is_empty)
                return false;
            component_is_empty = true;
        } else if (uid.data[i] >= '0' && uid.data[i] <= '9') {
            component_is_empty = false;
        } else {
            return false;
        }
    }
    return !component_is_empty;
}

bool uid_is_valid(const char *uid)
{
    if (!uid_is_safe(slice_text(uid)))
        return false;
    for (const char *component = uid;; component++) {
        if (component[0] == '0' && component[1] != '.' && component[1] != '\0')
            return false;
        component = strchr(component, '.');
        if (!component)
            return true;
    }
}

bool uid_copy(struct slice value, char uid[UID_SIZE])
{
    while (value.size && (value.data[value.size - 1] == 0 || value.data[value.size - 1] == ' '))
        value.size--;
    while (value.size && value.data[0] == ' ')
        value = slice_skip(value, 1);
    uid[0] = '\0';
    if (!uid_is_safe(value))
        return false;
    memcpy(uid, value.data, value.size);
    uid[value.size] = '\0';
    return true;
}
