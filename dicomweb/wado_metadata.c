/* SPDX-License-Identifier: MIT */
/* WADO-RS, metadata (PS3.18 10.4.1.1.2): DICOM JSON of every instance, or its Native DICOM Model
 * each in a part, written from the stored headers while it is sent. No pixel data is read. What is
 * sent as JSON of a study or series, compressed or not, is kept for those who ask next
 * (metadata_cache.h), and named by an ETag. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/headers.h"
#include "archive/retrieve.h"
#include "base/memory.h"
#include "dicom/xml.h"
#include "dicomweb/metadata_cache.h"
#include "dicomweb/routes.h"
#include "http/gzip.h"
#include "http/multipart_writer.h"

enum {
    MAX_INSTANCE_JSON = 512 << 20,
    PIECE_SIZE = 128 << 10,    /* instances are gathered up to this before they are sent */
    HEADERS_MEMORY = 16 << 20, /* for the headers of one series, where there is room */
};

/* How it is written. */
enum form { FORM_JSON, FORM_XML_PARTS, FORM_XML };

struct answer_form {
    enum form form;
    struct multipart_writer writer; /* of FORM_XML_PARTS */
};

struct metadata {
    struct dicomweb *dicomweb;
    enum form form;
    struct multipart_writer writer;
    struct json_writer *json;
    struct headers *headers;   /* of a study or series */
    struct instance *instance; /* or one instance; NULL when it was written */
    uint64_t memory;           /* that the headers may take */
    char *base_url;
    struct buffer text;
    bool first;
    bool done;
};

static void close_metadata(void *state)
{
    struct metadata *metadata = state;
    headers_close(metadata->headers);
    instance_close(metadata->instance);
    decode_budget_give_back(metadata->dicomweb->metadata_memory, metadata->memory);
    json_writer_free(metadata->json);
    buffer_release(&metadata->text);
    free(metadata->base_url);
    free(metadata);
}

static void write_instance_url(const char *base_url, const struct identity *identity,
                               const char *behind, struct buffer *url)
{
    buffer_append_format(url, "%s/studies/%s/series/%s/instances/%s%s", base_url, identity->study,
                         identity->series, identity->instance, behind);
}

/* As XML without a writer of JSON. */
static bool write_header(const char *base_url, const struct identity *identity,
                         const struct dataset *header, struct json_writer *json,
                         struct buffer *text, struct error *err)
{
    struct buffer prefix = buffer_up_to(4096);
    write_instance_url(base_url, identity, "/bulkdata/", &prefix);
    const struct json_options options = { .bulk_data_prefix = buffer_text(&prefix) };
    if (json)
        json_writer_put(json, header, &options, text);
    else
        xml_write_dataset(header, &options, text);
    buffer_release(&prefix);
    return buffer_check(text, "the metadata of an instance", err);
}

bool dicomweb_write_metadata(const char *base_url, struct instance *instance, struct buffer *json,
                             struct error *err)
{
    const struct dataset *header;
    struct json_writer *writer = json_writer_new();
    bool ok = instance_header(instance, &header, err) &&
              write_header(base_url, instance_identity(instance), header, writer, json, err);
    json_writer_free(writer);
    return ok;
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

/* What stands between the instances, and behind the last one. */
static void write_separator(struct metadata *metadata, const struct identity *identity)
{
    struct buffer *text = &metadata->text;
    if (metadata->form == FORM_JSON) {
        buffer_append_byte(text, !identity ? ']' : metadata->first ? '[' : ',');
    } else if (metadata->form == FORM_XML_PARTS && !identity) {
        multipart_end(&metadata->writer, text);
    } else if (metadata->form == FORM_XML_PARTS) {
        struct buffer location = buffer_up_to(4096);
        write_instance_url(metadata->base_url, identity, "/metadata", &location);
        multipart_begin_part(&metadata->writer, metadata->writer.inner_type, buffer_text(&location),
                             text);
        buffer_release(&location);
    }
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct metadata *metadata = state;
    const struct identity *identity;
    const struct dataset *header;
    buffer_clear(&metadata->text);
    while (!metadata->done && metadata->text.size < PIECE_SIZE) {
        if (!next_header(metadata, &identity, &header, err))
            return false;
        if (!header && metadata->first)
            return error_set(err, ERROR_GONE, "the instances were deleted");
        write_separator(metadata, header ? identity : NULL);
        metadata->done = !header;
        metadata->first = false;
        if (header && !write_header(metadata->base_url, identity, header, metadata->json,
                                    &metadata->text, err))
            return false;
    }
    piece->kind = metadata->text.size ? PIECE_BYTES : PIECE_END;
    piece->bytes = buffer_slice(&metadata->text);
    return true;
}

static bool open_metadata(struct dicomweb *dicomweb, const char *base_url,
                          const struct path_uids *uids, const struct answer_form *form,
                          struct body_source *source, struct error *err)
{
    struct metadata *metadata = mem_alloc(sizeof(*metadata));
    metadata->form = form->form;
    metadata->writer = form->writer;
    metadata->json = form->form == FORM_JSON ? json_writer_new() : NULL;
    metadata->dicomweb = dicomweb;
    metadata->text = buffer_up_to(MAX_INSTANCE_JSON);
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

/* What is sent of a study or series; JSON is kept (XML has a boundary of its own each time). */
static bool stream_many(struct dicomweb *dicomweb, struct response *response, const char *base_url,
                        const struct path_uids *uids, const struct answer_form *form,
                        bool compressed, uint64_t change, struct error *err)
{
    struct body_source source;
    char *key = mem_format("%s %s %s %s", compressed ? "gzip" : "plain", base_url, uids->study,
                           uids->series);
    bool keep_it = form->form == FORM_JSON;
    bool ok = keep_it && answer_kept(dicomweb, response, key, change);
    if (!ok && (ok = open_metadata(dicomweb, base_url, uids, form, &source, err))) {
        if (compressed)
            source = gzip_source(&source);
        if (keep_it)
            source = keep_source(dicomweb, uids, key, change, &source);
        response_stream_take(response, &source, UINT64_MAX);
    }
    free(key);
    return ok;
}

/* A study or series. */
static bool answer_many(struct request *request, struct response *response, const char *base_url,
                        const struct path_uids *uids, const struct answer_form *form,
                        struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    bool compressed = request_accepts_gzip(request);
    uint64_t change;
    if (!headers_change(dicomweb->archive, uids->study, uids->series, &change, err))
        return false;
    if (dicomweb_is_known_set(request, response, base_url, form->form == FORM_JSON ? "" : "xml",
                              change))
        return true;
    if (!stream_many(dicomweb, response, base_url, uids, form, compressed, change, err))
        return false;
    response_status(response, 200);
    response_header(response, "Vary", "Accept-Encoding");
    if (compressed)
        response_header(response, "Content-Encoding", "gzip");
    return true;
}

static bool answer_one(struct request *request, struct response *response, const char *base_url,
                       const struct path_uids *uids, const struct answer_form *form,
                       struct error *err)
{
    static const char *const names[] = {
        [FORM_JSON] = "json", [FORM_XML_PARTS] = "xml parts", [FORM_XML] = "xml"
    };
    struct body_source source;
    struct instance *instance;
    if (!instance_open(((struct dicomweb *)request_context(request))->archive, uids->study,
                       uids->series, uids->instance, &instance, err))
        return false;
    char *as = mem_format("%s %s", names[form->form], base_url);
    bool known = dicomweb_is_known(request, response, instance, as);
    free(as);
    instance_close(instance);
    if (known)
        return true;
    if (!open_metadata(request_context(request), base_url, uids, form, &source, err))
        return false;
    response_status(response, 200);
    response_stream_take(response, &source, UINT64_MAX);
    return true;
}

static bool answer(struct request *request, struct response *response, const struct path_uids *uids,
                   const struct answer_form *form, struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    struct buffer url = buffer_up_to(4096);
    bool ok;
    dicomweb_base_url(dicomweb, request, &url);
    if (*uids->instance)
        ok = answer_one(request, response, buffer_text(&url), uids, form, err);
    else
        ok = archive_find(dicomweb->archive, uids->study, *uids->series ? uids->series : NULL,
                          err) &&
             answer_many(request, response, buffer_text(&url), uids, form, err);
    buffer_release(&url);
    return ok;
}

void wado_metadata(struct request *request, struct response *response)
{
    static const struct offer offers[] = {
        { "application/dicom+json", NULL, NULL, false },
        { "application/json", NULL, NULL, false },
        { "multipart/related", "application/dicom+xml", NULL, false },
        { "application/dicom+xml", NULL, NULL, false }, /* of one instance */
    };
    static const enum form forms[] = { FORM_JSON, FORM_JSON, FORM_XML_PARTS, FORM_XML };
    struct path_uids uids;
    struct error err;
    size_t offer;
    if (!dicomweb_path_uids(request, response, &uids) ||
        !dicomweb_choose(request, response, offers, *uids.instance ? 4 : 3, &offer))
        return;
    struct answer_form form = { .form = forms[offer] };
    struct buffer type = buffer_up_to(256);
    if (form.form == FORM_XML_PARTS) {
        form.writer = multipart_writer_for(offers[offer].inner);
        multipart_content_type(&form.writer, &type);
    } else {
        buffer_append_text(&type, offers[offer].type);
    }
    if (answer(request, response, &uids, &form, &err))
        response_content_type(response, buffer_text(&type));
    else
        response_error(response, request, http_status_of(err.code), err.message);
    buffer_release(&type);
}
