/* SPDX-License-Identifier: MIT */
#include "dicom/uid.h"

#include <stdlib.h>
#include <sys/random.h>

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

/* `bytes` is used up. */
static void write_uuid(uint8_t bytes[UID_SEED_SIZE], uint8_t version, char uid[UID_SIZE])
{
    static const char prefix[] = "2.25.";
    char digits[40];
    size_t count = 0;
    bytes[6] = (uint8_t)((bytes[6] & 0x0F) | version << 4); /* RFC 9562 5 */
    bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80);
    /* Digits from the last one on: the number is divided by ten until the rest can be none. */
    for (bool is_zero = false; !is_zero; count++) {
        unsigned rest = 0;
        is_zero = true;
        for (size_t i = 0; i < UID_SEED_SIZE; i++) {
            unsigned value = rest << 8 | bytes[i];
            bytes[i] = (uint8_t)(value / 10);
            rest = value % 10;
            is_zero = is_zero && !bytes[i];
        }
        digits[count] = (char)('0' + rest);
    }
    memset(uid, 0, UID_SIZE);
    memcpy(uid, prefix, sizeof(prefix) - 1);
    for (size_t i = 0; i < count; i++)
        uid[sizeof(prefix) - 1 + i] = digits[count - 1 - i];
}

void uid_make(char uid[UID_SIZE])
{
    uint8_t bytes[UID_SEED_SIZE];
    /* 16 bytes come whole, once the system has its entropy. */
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        abort();
    write_uuid(bytes, 4, uid);
}

void uid_make_of(const uint8_t seed[UID_SEED_SIZE], char uid[UID_SIZE])
{
    uint8_t bytes[UID_SEED_SIZE];
    memcpy(bytes, seed, sizeof(bytes));
    write_uuid(bytes, 8, uid);
}
