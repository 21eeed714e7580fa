/* SPDX-License-Identifier: MIT */
#pragma once
/* JSON of a small request: an object, or an array of objects, whose members are texts, numbers,
 * true, false or null. Whatever is deeper is refused, so nothing here recurses. By value; borrows
 * the bytes. One thread at a time. */

#include "base/error.h"
#include "base/slice.h"

struct flat_json {
    struct slice rest;
    bool in_array;
    bool in_object;
    bool is_first; /* of the array, or of the object */
};

enum { FLAT_JSON_TEXT = 256 };

/* A member: texts without their quotes and escapes, else as written. */
struct flat_member {
    char name[FLAT_JSON_TEXT];
    char value[FLAT_JSON_TEXT];
    bool is_text;
};

bool flat_json_open(struct flat_json *json, struct slice bytes, struct error *err);
/* The next object; *found false behind the last one. */
bool flat_json_object(struct flat_json *json, bool *found, struct error *err);
/* The next member of the object; *found false behind the last one. */
bool flat_json_member(struct flat_json *json, struct flat_member *member, bool *found,
                      struct error *err);
