/* SPDX-License-Identifier: MIT */
#include "dimse/n_get.h"

#include <stdlib.h>

#include "dimse/reply.h"

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Takes out of the list what is never told or not known, and says so. */
static size_t choose(const struct command *command, uint32_t hidden,
                     uint32_t tags[COMMAND_ATTRIBUTES], struct status *status)
{
    size_t count = 0;
    for (size_t i = 0; i < command->attribute_count; i++) {
        uint32_t tag = command->attributes[i];
        bool is_told = tag != hidden && (tag_is_private(tag) || dictionary_find(tag)) &&
                       tag >> 16 > 2 && tag & 0xFFFF;
        if (is_told) {
            tags[count++] = tag;
            continue;
        }
        status->code = STATUS_ATTRIBUTES_IGNORED;
        status_add_attribute(status, tag);
    }
    qsort(tags, count, sizeof(tags[0]), compare);
    return count;
}

bool n_get_answer(struct session *session, struct message *request, const struct object *object,
                  uint32_t hidden, struct error *failure, bool *answered, struct error *err)
{
    struct status status = status_make(STATUS_SUCCESS, "");
    struct buffer bytes = buffer_up_to(2 * OBJECT_DATASET_LIMIT);
    struct dataset *dataset = NULL;
    struct reply reply;
    uint32_t tags[COMMAND_ATTRIBUTES] = { 0 };
    size_t count = choose(&request->command, hidden, tags, &status);
    reply_init(session, request, NULL, &reply);
    bool ok = object_dataset(object, &dataset, failure) &&
              reply_encode(&reply, dataset, request->command.attribute_count ? tags : NULL, count,
                           &bytes, failure);
    *answered = ok;
    if (ok) {
        struct slice data = buffer_slice(&bytes);
        ok = message_respond_with(request, &status, &data, err);
    }
    reply_release(&reply);
    dataset_close(dataset);
    buffer_release(&bytes);
    return ok;
}
