/* SPDX-License-Identifier: MIT */
#include "cast/patient_id.h"

#include <stdio.h>
#include <string.h>

#include "cast/identifier.h"
#include "cast/uuid.h"

enum { FINGERPRINT = 5, RAW_MAX = FINGERPRINT + PATIENT_ID_MAX };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.";

/* Six bits a character, the last one filled up with zeros. */
static void encode(char kind, struct slice raw, char id[FHIR_ID_SIZE])
{
    size_t size = 0;
    uint32_t bits = 0;
    int count = 0;
    id[size++] = kind;
    for (size_t i = 0; i < raw.size; i++) {
        bits = bits << 8 | raw.data[i];
        for (count += 8; count >= 6; count -= 6)
            id[size++] = digits[bits >> (count - 6) & 63];
    }
    if (count)
        id[size++] = digits[bits << (6 - count) & 63];
    id[size] = 0;
}

static bool decode(const char *text, uint8_t raw[RAW_MAX + 1], size_t *size)
{
    uint32_t bits = 0;
    int count = 0;
    *size = 0;
    for (; *text; text++) {
        const char *digit = strchr(digits, *text);
        if (!digit || *size > RAW_MAX)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        count += 6;
        if (count >= 8) {
            count -= 8;
            raw[(*size)++] = (uint8_t)(bits >> count);
        }
    }
    return *size <= RAW_MAX;
}

/* A UID has eleven characters to write: two in a byte, 15 behind the last one. */
static const char uid_characters[] = "0123456789.";

static size_t pack_uid(const char *uid, uint8_t raw[RAW_MAX])
{
    size_t size = 0;
    for (; *uid; uid += 2) {
        const char *first = strchr(uid_characters, uid[0]);
        const char *second = uid[1] ? strchr(uid_characters, uid[1]) : NULL;
        if (!first || (uid[1] && !second) || size == RAW_MAX)
            return 0;
        uint8_t low = second ? (uint8_t)(second - uid_characters) : 15;
        raw[size++] = (uint8_t)((first - uid_characters) << 4 | low);
        if (!second)
            break;
    }
    return size;
}

static bool unpack_uid(const uint8_t *raw, size_t size, char value[FHIR_ID_SIZE])
{
    size_t length = 0;
    for (size_t i = 0; i < size * 2; i++) {
        unsigned nibble = i % 2 ? raw[i / 2] & 15 : raw[i / 2] >> 4;
        if (nibble == 15 && i == size * 2 - 1)
            break;
        if (nibble > 10 || length == FHIR_ID_SIZE - 1)
            return false;
        value[length++] = uid_characters[nibble];
    }
    value[length] = 0;
    return length > 0;
}

static bool is_study_alone(const char *system)
{
    static const char suffix[] = "/" IDENTIFIER_NO_PATIENT_ID;
    size_t size = strlen(system);
    return size >= sizeof suffix && strcmp(system + size - (sizeof suffix - 1), suffix) == 0;
}

void patient_id_make(const cJSON *patient, char id[FHIR_ID_SIZE])
{
    const cJSON *identifier = identifier_of_resource(patient);
    const char *system = json_text(identifier, "system");
    const char *value = json_text(identifier, "value");
    uint8_t raw[SHA1_SIZE + RAW_MAX];
    struct slice name = slice_text(value ? value : "");
    size_t packed = system && value && is_study_alone(system) ? pack_uid(value, raw) : 0;
    if (packed) {
        encode('s', slice_of(raw, packed), id);
        return;
    }
    sha1(slice_text(system ? system : ""), slice_of(NULL, 0), raw);
    if (name.size <= PATIENT_ID_MAX) {
        memcpy(raw + FINGERPRINT, name.data, name.size);
        encode('p', slice_of(raw, FINGERPRINT + name.size), id);
    } else {
        sha1(slice_of(raw, SHA1_SIZE), name, raw);
        encode('h', slice_of(raw, SHA1_SIZE), id);
    }
}

enum patient_id_kind patient_id_read(const char *id, char value[FHIR_ID_SIZE])
{
    uint8_t raw[RAW_MAX + 2];
    size_t size;
    value[0] = 0;
    if (strlen(id) >= FHIR_ID_SIZE || !decode(*id ? id + 1 : id, raw, &size))
        return PATIENT_ID_NONE;
    if (*id == 'h' && size == SHA1_SIZE)
        return PATIENT_ID_HASH;
    if (*id == 's')
        return unpack_uid(raw, size, value) ? PATIENT_ID_STUDY : PATIENT_ID_NONE;
    if (*id != 'p' || size <= FINGERPRINT)
        return PATIENT_ID_NONE;
    memcpy(value, raw + FINGERPRINT, size - FINGERPRINT);
    value[size - FINGERPRINT] = 0;
    return PATIENT_ID_VALUE;
}

enum { DOCUMENT_FINGERPRINT = 6 };

bool document_id_make(const cJSON *resource, const char *study_uid, char id[FHIR_ID_SIZE])
{
    const cJSON *identifier = identifier_of_resource(resource);
    const char *system = json_text(identifier, "system");
    const char *value = json_text(identifier, "value");
    uint8_t digest[SHA1_SIZE], raw[DOCUMENT_FINGERPRINT + RAW_MAX];
    sha1(slice_text(system ? system : ""), slice_of(NULL, 0), digest);
    sha1(slice_of(digest, SHA1_SIZE), slice_text(value ? value : ""), digest);
    memcpy(raw, digest, DOCUMENT_FINGERPRINT);
    size_t size = pack_uid(study_uid, raw + DOCUMENT_FINGERPRINT);
    if (!size || DOCUMENT_FINGERPRINT + size > RAW_MAX)
        return false;
    encode('d', slice_of(raw, DOCUMENT_FINGERPRINT + size), id);
    return true;
}

bool document_id_read(const char *id, char study_uid[FHIR_ID_SIZE])
{
    uint8_t raw[RAW_MAX + 2];
    size_t size;
    return *id == 'd' && strlen(id) < FHIR_ID_SIZE && decode(id + 1, raw, &size) &&
           size > DOCUMENT_FINGERPRINT &&
           unpack_uid(raw + DOCUMENT_FINGERPRINT, size - DOCUMENT_FINGERPRINT, study_uid);
}
