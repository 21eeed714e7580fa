/* SPDX-License-Identifier: MIT */
/* Small JSON of a request: it ends, and texts are whole. */
#include <stdlib.h>

#include "dicom/utf8.h"
#include "dicomweb/flat_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char text[FLAT_JSON_TEXT])
{
    const char *end = memchr(text, '\0', FLAT_JSON_TEXT);
    if (!end || !utf8_is_valid(slice_of(text, (size_t)(end - text))))
        abort();
}

/* Returns how many members there were; all input can be no more. */
static size_t read_all(struct flat_json *json)
{
    struct flat_member member;
    struct error err;
    size_t count = 0;
    bool object;
    bool found;
    while (flat_json_object(json, &object, &err) && object)
        do {
            if (!flat_json_member(json, &member, &found, &err))
                return count;
            if (found) {
                check_text(member.name);
                check_text(member.value);
            }
            count++;
        } while (found);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct flat_json json;
    struct error err;
    if (flat_json_open(&json, slice_of(data, size), &err) && read_all(&json) > size + 1)
        abort();
    return 0;
}
