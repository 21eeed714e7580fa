/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_document.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/document.h"
#include "dicomweb/wado_pixels.h"
#include "dicomweb/wado_values.h"

enum {
    TAG_ENCAPSULATED_DOCUMENT = 0x00420011,
    TAG_ENCAPSULATED_LENGTH = 0x00420015,
    PAGE_LIMIT = 16 << 20,
    PAGE_MEMORY = 48 << 20, /* with what it is written from: texts, evidence */
    READ_SIZE = 1 << 20,
};

/* PS3.3 A.45, A.85, A.104 and A.105. */
static const struct {
    const char *sop_class;
    const char *type;
} encapsulated_types[] = {
    { "1.2.840.10008.5.1.4.1.1.104.1", "application/pdf" },
    { "1.2.840.10008.5.1.4.1.1.104.2", "text/xml" },
    { "1.2.840.10008.5.1.4.1.1.104.3", "model/stl" },
    { "1.2.840.10008.5.1.4.1.1.104.4", "model/obj" },
    { "1.2.840.10008.5.1.4.1.1.104.5", "model/mtl" },
};

struct document_offers wado_document_offers(const struct dataset *header)
{
    struct document_offers document = { .kind = DOCUMENT_NONE };
    struct element element;
    char sop_class[UID_SIZE];
    if (document_is_there(header)) {
        document.kind = DOCUMENT_STRUCTURED;
        document.offers[document.count++] = (struct offer){ "text/html", NULL, NULL, false };
        document.offers[document.count++] = (struct offer){ "text/plain", NULL, NULL, false };
        return document;
    }
    if (!dataset_find(header, TAG_ENCAPSULATED_DOCUMENT, &element) ||
        !dataset_uid(header, TAG_SOP_CLASS_UID, sop_class))
        return document;
    for (size_t i = 0; i < sizeof(encapsulated_types) / sizeof(encapsulated_types[0]); i++)
        if (!strcmp(sop_class, encapsulated_types[i].sop_class)) {
            document.kind = DOCUMENT_ENCAPSULATED;
            document.offers[document.count++] = (struct offer){ encapsulated_types[i].type, NULL,
                                                                NULL, false };
        }
    return document;
}

/* What peers wrote is shown under our name: no script, and nothing from elsewhere; HTML and XML can
 * hold both. */
static void protect(struct response *response, const char *type)
{
    if (!strncmp(type, "text/", 5))
        response_header(response, "Content-Security-Policy",
                        "sandbox allow-popups allow-top-navigation-by-user-activation; "
                        "default-src 'none'; style-src 'unsafe-inline'");
}

/* --- A page. */
struct page_answer {
    struct dicomweb *dicomweb;
    struct buffer bytes;
    uint64_t memory;
    bool sent;
};

static bool next_page(void *state, struct piece *piece, struct error *err)
{
    struct page_answer *page = state;
    (void)err;
    piece->kind = page->sent ? PIECE_END : PIECE_BYTES;
    piece->bytes = buffer_slice(&page->bytes);
    page->sent = true;
    return true;
}

static void close_page(void *state)
{
    struct page_answer *page = state;
    buffer_release(&page->bytes);
    decode_budget_give_back(page->dicomweb->decoding, page->memory);
    free(page);
}

static bool read_stored(void *context, uint64_t offset, struct space space, struct error *err)
{
    return instance_read_inflated(context, offset, space, err);
}

static bool write_page(struct request *request, struct instance *instance, size_t choice,
                       struct page_answer *page, struct error *err)
{
    const struct dataset *header;
    const struct value_source source = { read_stored, instance };
    struct buffer service = buffer_up_to(4096);
    dicomweb_base_url(page->dicomweb, request, &service);
    bool ok = instance_header(instance, &header, err) &&
              decode_budget_take(page->dicomweb->decoding, PAGE_MEMORY, PIXELS_MEMORY_WAIT_MS,
                                 &page->memory, err) &&
              (document_write(header, &source, buffer_text(&service),
                              choice ? DOCUMENT_TEXT : DOCUMENT_HTML, &page->bytes, err) ||
               value_is_undecodable(err));
    buffer_release(&service);
    if (ok && page->bytes.size < page->memory) {
        decode_budget_give_back(page->dicomweb->decoding, page->memory - page->bytes.size);
        page->memory = page->bytes.size;
    }
    return ok;
}

static bool answer_page(struct request *request, struct response *response,
                        struct instance *instance, size_t choice, struct error *err)
{
    struct page_answer *page = mem_alloc(sizeof(*page));
    *page = (struct page_answer){ .dicomweb = request_context(request),
                                  .bytes = buffer_up_to(PAGE_LIMIT) };
    if (!write_page(request, instance, choice, page, err)) {
        close_page(page);
        return false;
    }
    const struct body_source source = { next_page, close_page, page };
    response_status(response, 200);
    response_content_type(response,
                          choice ? "text/plain; charset=utf-8" : "text/html; charset=utf-8");
    response_stream_take(response, &source, page->bytes.size);
    return true;
}

/* --- A document as it was stored. */
struct file_answer {
    struct instance *instance;
    struct element element;
    uint64_t size;
    uint64_t position;
    struct buffer bytes;
};

static bool next_file(void *state, struct piece *piece, struct error *err)
{
    struct file_answer *file = state;
    uint64_t left = file->size - file->position;
    size_t size = left < READ_SIZE ? (size_t)left : READ_SIZE;
    piece->kind = PIECE_END;
    if (!left)
        return true;
    piece->kind = PIECE_BYTES;
    if (!file->element.elided) {
        piece->bytes = slice_take(file->element.value, (size_t)file->size);
        file->position = file->size;
        return true;
    }
    if (!instance_syntax(file->instance)->deflated) {
        piece->kind = PIECE_FILE;
        file->position = file->size;
        return instance_range(file->instance, file->element.offset, file->size, &piece->file, err);
    }
    buffer_clear(&file->bytes);
    struct space space = buffer_reserve(&file->bytes, size);
    if (!instance_read_inflated(file->instance, file->element.offset + file->position, space, err))
        return false;
    buffer_advance(&file->bytes, size);
    file->position += size;
    piece->bytes = buffer_slice(&file->bytes);
    return true;
}

static void close_file(void *state)
{
    struct file_answer *file = state;
    instance_close(file->instance);
    buffer_release(&file->bytes);
    free(file);
}

/* Without the byte that makes the length even, where the document says its own (PS3.3 C.24.2). */
static uint64_t document_size(const struct dataset *header, uint64_t stored)
{
    int64_t size;
    bool told = dataset_integer(header, TAG_ENCAPSULATED_LENGTH, &size) && size > 0 &&
                (uint64_t)size <= stored;
    return told ? (uint64_t)size : stored;
}

/* Takes the instance when it succeeds. */
static bool answer_file(struct response *response, struct instance *instance, const char *type,
                        struct error *err)
{
    const struct dataset *header;
    struct file_range stored;
    struct element element;
    /* Opened now, the bytes can be read to their end even when the instance is deleted. */
    if (!instance_header(instance, &header, err) || !instance_dataset(instance, &stored, err))
        return false;
    if (!dataset_find(header, TAG_ENCAPSULATED_DOCUMENT, &element))
        return error_set(err, ERROR_UNSUPPORTED, "the instance has no document");
    struct file_answer *file = mem_alloc(sizeof(*file));
    *file = (struct file_answer){ .instance = instance,
                                  .element = element,
                                  .size = document_size(header, element.size),
                                  .bytes = buffer_up_to(READ_SIZE) };
    const struct body_source source = { next_file, close_file, file };
    response_status(response, 200);
    response_content_type(response, type);
    response_stream_take(response, &source, file->size);
    return true;
}

void wado_answer_document_take(struct request *request, struct response *response,
                               struct instance *instance_take,
                               const struct document_offers *document, size_t choice)
{
    const char *type = document->offers[choice].type;
    struct error err;
    if (dicomweb_is_known(request, response, instance_take, type)) {
        instance_close(instance_take);
        return;
    }
    bool structured = document->kind == DOCUMENT_STRUCTURED;
    bool ok = structured ? answer_page(request, response, instance_take, choice, &err)
                         : answer_file(response, instance_take, type, &err);
    if (ok)
        protect(response, type);
    else
        response_error(response, request, http_status_of(err.code), err.message);
    if (structured || !ok)
        instance_close(instance_take);
}
