/* SPDX-License-Identifier: MIT */
#include "archive/keys.h"

#include <stdio.h>

#include "archive/core.h"

void key_add(struct key *key, struct slice bytes)
{
    bytes = slice_take(bytes, KEY_SIZE - key->size);
    if (bytes.size)
        memcpy(key->bytes + key->size, bytes.data, bytes.size);
    key->size += bytes.size;
}

void key_add_byte(struct key *key, uint8_t byte)
{
    key_add(key, slice_of(&byte, 1));
}

void key_start(struct key *key, char kind)
{
    key->size = 0;
    key_add_byte(key, (uint8_t)kind);
}

static void add_uid(struct key *key, const char *uid)
{
    key_add(key, slice_take(slice_text(uid), UID_SIZE - 1));
}

void key_place(struct key *key, char kind, const char *study, const char *series,
               const char *instance)
{
    key_start(key, kind);
    add_uid(key, study);
    if (is_empty_text(series))
        return;
    key_add_byte(key, 0);
    add_uid(key, series);
    if (is_empty_text(instance))
        return;
    key_add_byte(key, 0);
    add_uid(key, instance);
}

void key_children(struct key *key, char kind, const char *study, const char *series)
{
    key_place(key, kind, study, series, NULL);
    key_add_byte(key, 0);
}

static bool take_part(struct slice *rest, char uid[UID_SIZE])
{
    const uint8_t *end = rest->size ? memchr(rest->data, 0, rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    if (size >= UID_SIZE)
        return false;
    if (size)
        memcpy(uid, rest->data, size);
    uid[size] = '\0';
    *rest = slice_skip(*rest, end ? size + 1 : size);
    return true;
}

bool key_split_place(struct slice place, struct identity *identity)
{
    return take_part(&place, identity->study) && take_part(&place, identity->series) &&
           take_part(&place, identity->instance) && !place.size;
}

/* An identifier that is too long for a key keeps its beginning and a hash of the whole (FNV-1a). */
static void add_identifier(struct key *key, struct slice value)
{
    enum { HASH_TEXT_SIZE = 17 };
    if (value.size <= KEY_PATIENT_SIZE) {
        key_add(key, value);
        return;
    }
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < value.size; i++)
        hash = (hash ^ value.data[i]) * 0x100000001b3u;
    char text[HASH_TEXT_SIZE];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
    key_add(key, slice_take(value, KEY_PATIENT_SIZE - (HASH_TEXT_SIZE - 1)));
    key_add(key, slice_text(text));
}

void key_patient(struct key *key, struct slice patient_id, struct slice issuer, const char *study)
{
    key_start(key, RECORD_PATIENT);
    if (patient_id.size) {
        add_identifier(key, patient_id);
        key_add_byte(key, 0);
        add_identifier(key, issuer);
    } else {
        key_add_byte(key, 0);
        add_uid(key, study);
    }
}

void key_after_prefix(struct key *key, struct slice prefix)
{
    key->size = 0;
    key_add(key, prefix);
    while (key->size && key->bytes[key->size - 1] == 0xFF)
        key->size--;
    if (key->size)
        key->bytes[key->size - 1]++;
}
