/* SPDX-License-Identifier: MIT */
/* WADO-RS, metadata (PS3.18 10.4.1.1.2): DICOM JSON of every instance, written from the stored
 * headers while it is sent. No pixel data is read. What is sent of a study or series, compressed or
 * not, is kept for those who ask next (metadata_cache.h), and named by an ETag. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/headers.h"
#include "archive/retrieve.h"
#include "base/memory.h"
#include "dicom/json.h"
#include "dicomweb/metadata_cache.h"
#include "dicomweb/routes.h"
#include "http/gzip.h"

enum {
    MAX_INSTANCE_JSON = 512 << 20,
    PIECE_SIZE = 128 << 10,    /* instances are gathered up to this before they are sent */
    HEADERS_MEMORY = 16 << 20, /* for the headers of one series, where there is room */
};

struct metadata {
    struct dicomweb *dicomweb;
    struct headers *headers;   /* of a study or series */
    struct instance *instance; /* or one instance; NULL when it was written */
    uint64_t memory;           /* that the headers may take */
    char *base_url;
    struct buffer json;
    bool first;
    bool done;
};

static void close_metadata(void *state)
{
    struct metadata *metadata = state;
    headers_close(metadata->headers);
    instance_close(metadata->instance);
    decode_budget_give_back(metadata->dicomweb->metadata_memory, metadata->memory);
    buffer_release(&metadata->json);
    free(metadata->base_url);
    free(metadata);
}

static bool write_header(const char *base_url, const struct identity *identity,
                         const struct dataset *header, struct buffer *json, struct error *err)
{
    struct buffer prefix = buffer_up_to(4096);
    buffer_append_format(&prefix, "%s/studies/%s/series/%s/instances/%s/bulkdata/", base_url,
                         identity->study, identity->series, identity->instance);
    const struct json_options options = { .bulk_data_prefix = buffer_text(&prefix) };
    json_write_dataset(header, &options, json);
    buffer_release(&prefix);
    return buffer_check(json, "the metadata of an instance", err);
}

bool dicomweb_write_metadata(const char *base_url, struct instance *instance, struct buffer *json,
                             struct error *err)
{
    const struct dataset *header;
    return instance_header(instance, &header, err) &&
           write_header(base_url, instance_identity(instance), header, json, err);
}

/* *header NULL at the end. Of what is deleted meanwhile the client gets the rest. */
static bool next_header(struct metadata *metadata, const struct identity **identity,
                        const struct dataset **header, struct error *err)
{
    *header = NULL;
    if (metadata->headers)
        return headers_next(metadata->headers, identity, header, err);
    if (!metadata->first)
        return true;
    *identity = instance_identity(metadata->instance);
    return instance_header(metadata->instance, header, err);
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct metadata *metadata = state;
    const struct identity *identity;
    const struct dataset *header;
    buffer_clear(&metadata->json);
    if (metadata->done) {
        piece->kind = PIECE_END;
        return true;
    }
    while (!metadata->done && metadata->json.size < PIECE_SIZE) {
        if (!next_header(metadata, &identity, &header, err))
            return false;
        if (!header) {
            if (metadata->first)
                return error_set(err, ERROR_GONE, "the instances were deleted");
            buffer_append_byte(&metadata->json, ']');
            metadata->done = true;
            break;
        }
        buffer_append_byte(&metadata->json, metadata->first ? '[' : ',');
        metadata->first = false;
        if (!write_header(metadata->base_url, identity, header, &metadata->json, err))
            return false;
    }
    piece->kind = PIECE_BYTES;
    piece->bytes = buffer_slice(&metadata->json);
    return true;
}

static bool open_metadata(struct dicomweb *dicomweb, const char *base_url,
                          const struct path_uids *uids, struct body_source *source,
                          struct error *err)
{
    struct metadata *metadata = mem_alloc(sizeof(*metadata));
    metadata->dicomweb = dicomweb;
    metadata->json = buffer_up_to(MAX_INSTANCE_JSON);
    metadata->first = true;
    metadata->base_url = mem_copy_text(base_url);
    bool ok;
    if (*uids->instance) {
        ok = instance_open(dicomweb->archive, uids->study, uids->series, uids->instance,
                           &metadata->instance, err);
    } else {
        decode_budget_take(dicomweb->metadata_memory, HEADERS_MEMORY, 0, &metadata->memory, NULL);
        ok = headers_open(dicomweb->archive, uids->study, uids->series, metadata->memory,
                          &metadata->headers, err);
    }
    if (!ok) {
        close_metadata(metadata);
        return false;
    }
    *source = (struct body_source){ next_piece, close_metadata, metadata };
    return true;
}

/* What is sent and kept. */
struct keeping {
    struct dicomweb *dicomweb;
    struct body_source inner;       /* as it is sent, compressed or not */
    struct metadata_answer *answer; /* NULL: it cannot be kept */
    uint64_t change;
    char study[UID_SIZE];
    char series[UID_SIZE];
};

static void drop_answer(struct keeping *keeping)
{
    metadata_answer_release(keeping->dicomweb->metadata_cache, keeping->answer);
    keeping->answer = NULL;
}

/* All of the answer tells of one state when the study or series is as it was before the first
 * header was read: every change of it has a number of its own. */
static void keep(struct keeping *keeping)
{
    uint64_t change;
    if (keeping->answer &&
        headers_change(keeping->dicomweb->archive, keeping->study, keeping->series, &change,
                       NULL) &&
        change == keeping->change)
        metadata_cache_keep(keeping->dicomweb->metadata_cache, keeping->answer);
    drop_answer(keeping);
}

static bool next_kept(void *state, struct piece *piece, struct error *err)
{
    struct keeping *keeping = state;
    if (!keeping->inner.next(keeping->inner.state, piece, err)) {
        drop_answer(keeping);
        return false;
    }
    if (piece->kind == PIECE_END)
        keep(keeping);
    else if (keeping->answer && !metadata_answer_append(keeping->dicomweb->metadata_cache,
                                                        keeping->answer, piece->bytes))
        drop_answer(keeping);
    return true;
}

static void close_kept(void *state)
{
    struct keeping *keeping = state;
    drop_answer(keeping);
    keeping->inner.close(keeping->inner.state);
    free(keeping);
}

static struct body_source keep_source(struct dicomweb *dicomweb, const struct path_uids *uids,
                                      const char *key, uint64_t change,
                                      const struct body_source *inner_take)
{
    struct keeping *keeping = mem_alloc(sizeof(*keeping));
    keeping->dicomweb = dicomweb;
    keeping->inner = *inner_take;
    keeping->answer = metadata_cache_begin(dicomweb->metadata_cache, key, change);
    keeping->change = change;
    memcpy(keeping->study, uids->study, strlen(uids->study) + 1);
    memcpy(keeping->series, uids->series, strlen(uids->series) + 1);
    return (struct body_source){ next_kept, close_kept, keeping };
}

/* What was kept. */
struct kept {
    struct metadata_cache *cache;
    struct metadata_answer *answer;
    size_t given;
};

static bool next_of_kept(void *state, struct piece *piece, struct error *err)
{
    struct kept *kept = state;
    (void)err;
    piece->bytes = metadata_answer_piece(kept->cache, kept->answer, kept->given);
    piece->kind = piece->bytes.size ? PIECE_BYTES : PIECE_END;
    kept->given += piece->bytes.size;
    return true;
}

static void close_of_kept(void *state)
{
    struct kept *kept = state;
    metadata_answer_release(kept->cache, kept->answer);
    free(kept);
}

/* The answer is filled when one of this state was kept. */
static bool answer_kept(struct dicomweb *dicomweb, struct response *response, const char *key,
                        uint64_t change)
{
    struct metadata_answer *answer = metadata_cache_find(dicomweb->metadata_cache, key, change);
    if (!answer)
        return false;
    struct kept *kept = mem_alloc(sizeof(*kept));
    kept->cache = dicomweb->metadata_cache;
    kept->answer = answer;
    const struct body_source source = { next_of_kept, close_of_kept, kept };
    response_stream_take(response, &source, metadata_answer_size(answer));
    return true;
}

/* Weak: compressed and not it is the same (RFC 9110 8.8.1). */
static bool is_known(struct request *request, struct response *response, const char *base_url,
                     uint64_t change)
{
    char etag[64];
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a: the URL stands in the answer */
    for (const char *c = base_url; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001B3u;
    snprintf(etag, sizeof(etag), "W/\"%" PRIx64 "-%016" PRIx64 "\"", change, hash);
    return response_etag(response, request, etag);
}

/* A study or series. */
static bool answer_many(struct request *request, struct response *response, const char *base_url,
                        const struct path_uids *uids, struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    struct body_source source;
    bool compressed = request_accepts_gzip(request);
    uint64_t change;
    if (!headers_change(dicomweb->archive, uids->study, uids->series, &change, err))
        return false;
    if (is_known(request, response, base_url, change))
        return true;
    char *key = mem_format("%s %s %s %s", compressed ? "gzip" : "plain", base_url, uids->study,
                           uids->series);
    bool ok = answer_kept(dicomweb, response, key, change);
    if (!ok && (ok = open_metadata(dicomweb, base_url, uids, &source, err))) {
        if (compressed)
            source = gzip_source(&source);
        source = keep_source(dicomweb, uids, key, change, &source);
        response_stream_take(response, &source, UINT64_MAX);
    }
    free(key);
    if (!ok)
        return false;
    response_status(response, 200);
    response_header(response, "Vary", "Accept-Encoding");
    if (compressed)
        response_header(response, "Content-Encoding", "gzip");
    return true;
}

static bool answer_one(struct request *request, struct response *response, const char *base_url,
                       const struct path_uids *uids, struct error *err)
{
    struct body_source source;
    struct instance *instance;
    if (!instance_open(((struct dicomweb *)request_context(request))->archive, uids->study,
                       uids->series, uids->instance, &instance, err))
        return false;
    bool known = dicomweb_is_known(request, response, instance, base_url);
    instance_close(instance);
    if (known)
        return true;
    if (!open_metadata(request_context(request), base_url, uids, &source, err))
        return false;
    response_status(response, 200);
    response_stream_take(response, &source, UINT64_MAX);
    return true;
}

static bool answer(struct request *request, struct response *response, const struct path_uids *uids,
                   struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    struct buffer url = buffer_up_to(4096);
    bool ok;
    dicomweb_base_url(dicomweb, request, &url);
    if (*uids->instance)
        ok = answer_one(request, response, buffer_text(&url), uids, err);
    else
        ok = archive_find(dicomweb->archive, uids->study, *uids->series ? uids->series : NULL,
                          err) &&
             answer_many(request, response, buffer_text(&url), uids, err);
    buffer_release(&url);
    return ok;
}

void wado_metadata(struct request *request, struct response *response)
{
    static const struct offer offers[] = {
        { "application/dicom+json", NULL, NULL, false },
        { "application/json", NULL, NULL, false },
    };
    struct path_uids uids;
    struct error err;
    size_t offer;
    if (!dicomweb_path_uids(request, response, &uids) ||
        !dicomweb_choose(request, response, offers, 2, &offer))
        return;
    if (!answer(request, response, &uids, &err)) {
        response_error(response, request, http_status_of(err.code), err.message);
        return;
    }
    response_content_type(response, offers[offer].type);
}
