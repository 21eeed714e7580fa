/* SPDX-License-Identifier: MIT */
/* WADO-RS, metadata (PS3.18 10.4.1.1.2): DICOM JSON of every instance, written from the stored
 * header while it is sent. No pixel data is read. */
#include <stdlib.h>

#include "archive/retrieve.h"
#include "base/memory.h"
#include "dicom/json.h"
#include "dicomweb/routes.h"

enum {
    MAX_INSTANCE_JSON = 512 << 20,
    PIECE_SIZE = 256 << 10, /* instances are gathered up to this before they are sent */
};

struct metadata {
    struct retrieve *retrieve;
    char *base_url;
    struct buffer json;
    bool first;
    bool done;
};

static void close_metadata(void *state)
{
    struct metadata *metadata = state;
    retrieve_close(metadata->retrieve);
    buffer_release(&metadata->json);
    free(metadata->base_url);
    free(metadata);
}

bool dicomweb_write_metadata(const char *base_url, struct instance *instance, struct buffer *json,
                             struct error *err)
{
    const struct identity *identity = instance_identity(instance);
    const struct dataset *header;
    if (!instance_header(instance, &header, err))
        return false;
    struct buffer prefix = buffer_up_to(4096);
    buffer_append_format(&prefix, "%s/studies/%s/series/%s/instances/%s/bulkdata/", base_url,
                         identity->study, identity->series, identity->instance);
    const struct json_options options = { .bulk_data_prefix = buffer_text(&prefix) };
    json_write_dataset(header, &options, json);
    buffer_release(&prefix);
    return buffer_check(json, "the metadata of an instance", err);
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct metadata *metadata = state;
    struct instance *instance;
    const struct dataset *header;
    buffer_clear(&metadata->json);
    if (metadata->done) {
        piece->kind = PIECE_END;
        return true;
    }
    while (!metadata->done && metadata->json.size < PIECE_SIZE) {
        if (!retrieve_next(metadata->retrieve, &instance, err))
            return false;
        if (!instance) {
            if (metadata->first)
                return error_set(err, ERROR_GONE, "the instances were deleted");
            buffer_append_byte(&metadata->json, ']');
            metadata->done = true;
            break;
        }
        if (!instance_header(instance, &header, err)) {
            if (err->code == ERROR_GONE)
                continue; /* deleted meanwhile: the client gets the rest */
            return false;
        }
        buffer_append_byte(&metadata->json, metadata->first ? '[' : ',');
        metadata->first = false;
        if (!dicomweb_write_metadata(metadata->base_url, instance, &metadata->json, err))
            return false;
    }
    piece->kind = PIECE_BYTES;
    piece->bytes = buffer_slice(&metadata->json);
    return true;
}

void wado_metadata(struct request *request, struct response *response)
{
    static const struct offer offers[] = {
        { "application/dicom+json", NULL, NULL, false },
        { "application/json", NULL, NULL, false },
    };
    struct dicomweb *dicomweb = request_context(request);
    struct path_uids uids;
    struct error err;
    size_t offer;
    if (!dicomweb_path_uids(request, response, &uids) ||
        !dicomweb_choose(request, response, offers, 2, &offer))
        return;
    const struct selection selection = { NULL, uids.study, uids.series, uids.instance };
    struct metadata *metadata = mem_alloc(sizeof(*metadata));
    struct instance *instance = NULL;
    struct buffer url = buffer_up_to(4096);
    metadata->json = buffer_up_to(MAX_INSTANCE_JSON);
    metadata->first = true;
    dicomweb_base_url(dicomweb, request, &url);
    metadata->base_url = mem_copy_text(buffer_text(&url));
    buffer_release(&url);
    bool found = *uids.instance ? instance_open(dicomweb->archive, uids.study, uids.series,
                                                uids.instance, &instance, &err)
                                : archive_find(dicomweb->archive, uids.study,
                                               *uids.series ? uids.series : NULL, &err);
    if (instance)
        instance_close(instance);
    if (!found || !retrieve_open(dicomweb->archive, &selection, &metadata->retrieve, &err)) {
        close_metadata(metadata);
        response_error(response, request, http_status_of(err.code), err.message);
        return;
    }
    const struct body_source source = { next_piece, close_metadata, metadata };
    response_status(response, 200);
    response_content_type(response, offers[offer].type);
    response_stream_take(response, &source, UINT64_MAX);
}
