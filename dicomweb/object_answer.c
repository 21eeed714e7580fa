/* SPDX-License-Identifier: MIT */
#include "dicomweb/object_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dicom/json.h"
#include "dicom/xml.h"
#include "dicomweb/memory_share.h"
#include "dicomweb/routes.h"

enum { WRITTEN_TIMES = 3 /* what an object takes as text, in times of its size; most of them */ };

bool object_answer_choose(struct request *request, struct response *response, const char **type)
{
    static const struct offer offers[] = {
        { .type = "application/dicom+json" },
        { .type = "application/json" },
        { .type = "application/dicom+xml" },
    };
    size_t choice;
    if (!dicomweb_choose(request, response, offers, 3, &choice))
        return false;
    *type = offers[choice].type;
    return true;
}

void object_answer(struct request *request, struct response *response, const struct object *object,
                   const char *type, const uint32_t *tags, size_t tag_count)
{
    const struct json_options options = { .bulk_data_prefix = NULL,
                                          .inline_binary_limit = OBJECT_DATASET_LIMIT,
                                          .tags = tags,
                                          .tag_count = tag_count };
    const struct dicomweb *dicomweb = request_context(request);
    struct memory_share share = { .budget = dicomweb->text_memory };
    struct buffer body = buffer_up_to(8 * (size_t)OBJECT_DATASET_LIMIT);
    struct dataset *dataset = NULL;
    struct error err;
    char etag[64];
    bool as_xml = strcmp(type, "application/dicom+xml") == 0;
    snprintf(etag, sizeof(etag), "\"%" PRIx64 "-%c\"", object->revision, as_xml ? 'x' : 'j');
    if (response_etag(response, request, etag))
        return;
    bool ok = memory_share_cover(&share, WRITTEN_TIMES * (uint64_t)object->dataset.size, &err) &&
              object_dataset(object, &dataset, &err);
    if (ok && as_xml) {
        xml_write_dataset(dataset, &options, &body);
    } else if (ok) {
        buffer_append_byte(&body, '[');
        json_write_dataset(dataset, &options, &body);
        buffer_append_byte(&body, ']');
    }
    ok = ok && buffer_check(&body, "the answer", &err);
    dataset_close(dataset);
    if (ok) {
        response_status(response, 200);
        response_content_type(response, type);
        memory_share_answer_take(&share, &body, response);
    } else {
        response_error(response, request, http_status_of(err.code), err.message);
    }
    buffer_release(&body);
    memory_share_release(&share);
}
