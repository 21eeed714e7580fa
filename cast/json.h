/* SPDX-License-Identifier: MIT */
#pragma once
/* FHIR's JSON as cJSON trees in which every number keeps its text: a decimal that is not ours goes
 * back as it came ("1.50", twenty digits), which a double would not do. So a number is always a
 * cJSON_Raw here, in what is read and in what is made. Out of memory aborts, as everywhere. A tree
 * belongs to one thread at a time. */

#include <cjson/cJSON.h>

#include "base/buffer.h"

enum {
    JSON_MAX_DEPTH = 64,
    /* Values of a text: each costs some hundred bytes, and its text may have but two. */
    JSON_MAX_VALUES = 4 << 20,
};

/* ERROR_INVALID when it is no JSON, nested deeper than JSON_MAX_DEPTH or has too many values. Free
 * with cJSON_Delete.
 */
bool json_parse(struct slice text, cJSON **out, struct error *err);
void json_print(const cJSON *tree, struct buffer *text);

cJSON *json_object(void);
cJSON *json_array(void);
cJSON *json_string(const char *text);
cJSON *json_integer(int64_t value);
/* A number as DICOM writes it (DS: "+1.", ".50"), with its digits; NULL when it is none. */
cJSON *json_decimal(const char *text);
cJSON *json_boolean(bool value);
cJSON *json_copy(const cJSON *tree);
/* About how much memory it takes. */
size_t json_footprint(const cJSON *tree);
bool json_equal(const cJSON *a, const cJSON *b); /* members in any order */
/* Is it a resource of this type? */
bool json_is_resource(const cJSON *resource, const char *type);

/* All values of a tree, each before those in it, in the order of the text; what is deeper than
 * JSON_MAX_DEPTH is passed over. The walk begins with { 0 } and the root, of which siblings do not
 * count. NULL at the end. */
struct json_walk {
    const cJSON *parents[JSON_MAX_DEPTH + 1];
    size_t depth;
};
cJSON *json_walk_next(struct json_walk *walk, const cJSON *item);

/* Of an object; NULL when absent (or when `object` is none). */
cJSON *json_get(const cJSON *object, const char *name);
const char *json_text(const cJSON *object, const char *name); /* NULL unless a string */
cJSON *json_first(const cJSON *array);                        /* NULL when empty or no array */

/* Adds the member, or puts the value into the place of the one that is there. Takes the value. An
 * empty object or array is not added: FHIR has none. */
void json_set_take(cJSON *object, const char *name, cJSON *value);
/* Adds nothing for NULL and "": FHIR has no empty strings. */
void json_set_text(cJSON *object, const char *name, const char *text);
void json_set_integer(cJSON *object, const char *name, int64_t value);
void json_remove(cJSON *object, const char *name);
/* From an array those of which `goes` is true; one that is empty then goes itself. True when any
 * went. */
bool json_remove_items(cJSON *object, const char *name,
                       bool (*goes)(const cJSON *item, const void *context), const void *context);
void json_append_take(cJSON *array, cJSON *value);
/* Adds it unless an equal one is there, or JSON_MAX_NEW others are: each is compared with all, and
 * a peer says how many there are. */
enum { JSON_MAX_NEW = 200 };
void json_append_new_take(cJSON *array, cJSON *value);
/* The array of that name, made when it is not there. Borrowed. */
cJSON *json_need_array(cJSON *object, const char *name);
