/* SPDX-License-Identifier: MIT */
/* WADO-RS, bulk data (PS3.18 10.4.1.1.1): the value that a BulkDataURI of the metadata names, by
 * the path of its element: "00420011", or "00540016.0.00540300" for an element in item 0 of a
 * sequence. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicomweb/routes.h"
#include "dicomweb/wado_pixels.h"
#include "dicomweb/wado_stream.h"
#include "dicomweb/wado_values.h"
#include "http/multipart_writer.h"

enum { READ_SIZE = 1 << 20, MAX_PATH_ITEMS = DATASET_MAX_DEPTH };

struct bulk {
    struct instance *instance;
    struct dataset *items[MAX_PATH_ITEMS]; /* opened on the way down */
    size_t item_count;
    struct element element;
    size_t unit;     /* to swap, 1: none */
    bool is_made;    /* the value stands in `bytes`, whole */
    uint64_t memory; /* of the decoding budget */
    struct decode_budget *decoding;
    bool multipart;
    struct multipart_writer writer;
    struct buffer head;
    struct buffer bytes;
    uint64_t position;
    enum { HEAD, BODY, TAIL, DONE } state;
};

static void close_bulk(void *state)
{
    struct bulk *bulk = state;
    while (bulk->item_count)
        dataset_close(bulk->items[--bulk->item_count]);
    instance_close(bulk->instance);
    decode_budget_give_back(bulk->decoding, bulk->memory);
    buffer_release(&bulk->head);
    buffer_release(&bulk->bytes);
    free(bulk);
}

size_t pixel_unit_size(const struct dataset *header, uint32_t tag)
{
    struct element element;
    int64_t bits = 0;
    if (!dataset_find(header, tag, &element))
        return 1;
    if (element.vr != VR_OW)
        return vr_unit_size(element.vr);
    /* OW swaps words; what is wider than a word is swapped as a whole (PS3.5 7.3). */
    dataset_integer(header, TAG_BITS_ALLOCATED, &bits);
    return bits == 32 ? 4 : bits == 64 ? 8 : 2;
}

void value_swap(uint8_t *bytes, size_t size, size_t unit)
{
    for (size_t i = 0; unit > 1 && i + unit <= size; i += unit) {
        for (size_t k = 0; k < unit / 2; k++) {
            uint8_t byte = bytes[i + k];
            bytes[i + k] = bytes[i + unit - 1 - k];
            bytes[i + unit - 1 - k] = byte;
        }
    }
}

/* Eight hexadecimal digits, and nothing that a number could also begin with. */
static bool take_tag(const char **path, uint32_t *tag)
{
    for (size_t i = 0; i < 8; i++)
        if (!isxdigit((unsigned char)(*path)[i]))
            return false;
    char digits[9] = { 0 };
    memcpy(digits, *path, 8);
    *tag = (uint32_t)strtoul(digits, NULL, 16);
    *path += 8;
    return true;
}

/* ".item." */
static bool take_item(const char **path, size_t *item)
{
    size_t digits = **path == '.' ? strspn(*path + 1, "0123456789") : 0;
    if (!digits || digits > 9 || (*path)[digits + 1] != '.')
        return false;
    *item = strtoul(*path + 1, NULL, 10);
    *path += digits + 2;
    return true;
}

/* Walks "tag.item.tag" down from the header. */
static bool find_value(struct bulk *bulk, const struct dataset *dataset, const char *path,
                       struct error *err)
{
    for (;;) {
        uint32_t tag;
        size_t item;
        if (!take_tag(&path, &tag))
            return error_set(err, ERROR_INVALID, "the path names no attribute");
        if (!*path) {
            if (!dataset_find(dataset, tag, &bulk->element) || bulk->element.vr == VR_SQ)
                return error_set(err, ERROR_NOT_FOUND, "the instance has no value of that path");
            return true;
        }
        if (!take_item(&path, &item) || bulk->item_count == MAX_PATH_ITEMS)
            return error_set(err, ERROR_INVALID, "the path names no attribute");
        struct dataset *next = dataset_item(dataset, tag, item);
        if (!next)
            return error_set(err, ERROR_NOT_FOUND, "the instance has no such item");
        bulk->items[bulk->item_count++] = next;
        dataset = next;
    }
}

/* Values in big endian are read and turned round piece by piece; others go as ranges. */
static bool next_body(struct bulk *bulk, struct piece *piece, struct error *err)
{
    uint64_t left = bulk->element.size - bulk->position;
    size_t size = left < READ_SIZE ? (size_t)left : READ_SIZE;
    if (bulk->is_made) {
        bulk->position = bulk->element.size;
    } else if (!bulk->element.elided) {
        buffer_clear(&bulk->bytes);
        buffer_append(&bulk->bytes, bulk->element.value);
        value_swap(bulk->bytes.data, bulk->bytes.size, bulk->unit);
        bulk->position = bulk->element.size;
    } else if (bulk->unit > 1 || instance_syntax(bulk->instance)->deflated) {
        buffer_clear(&bulk->bytes);
        struct space space = buffer_reserve(&bulk->bytes, size);
        if (!instance_read_inflated(bulk->instance, bulk->element.offset + bulk->position, space,
                                    err))
            return false;
        buffer_advance(&bulk->bytes, size);
        value_swap(bulk->bytes.data, size, bulk->unit);
        bulk->position += size;
    } else {
        bulk->position = bulk->element.size;
        piece->kind = PIECE_FILE;
        return instance_range(bulk->instance, bulk->element.offset, bulk->element.size,
                              &piece->file, err);
    }
    piece->kind = PIECE_BYTES;
    piece->bytes = buffer_slice(&bulk->bytes);
    return true;
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct bulk *bulk = state;
    if (bulk->state == HEAD) {
        bulk->state = BODY;
        if (bulk->multipart) {
            piece->kind = PIECE_BYTES;
            piece->bytes = buffer_slice(&bulk->head);
            return true;
        }
    }
    if (bulk->state == BODY) {
        if (bulk->position < bulk->element.size)
            return next_body(bulk, piece, err);
        bulk->state = bulk->multipart ? TAIL : DONE;
    }
    if (bulk->state == TAIL) {
        bulk->state = DONE;
        buffer_clear(&bulk->head);
        multipart_end(&bulk->writer, &bulk->head);
        piece->kind = PIECE_BYTES;
        piece->bytes = buffer_slice(&bulk->head);
        return true;
    }
    piece->kind = PIECE_END;
    return true;
}

/* `inner`: the type of the value, `syntax` (may be NULL) its transfer syntax. */
static void start_answer(struct bulk *bulk, struct request *request, struct response *response,
                         bool multipart, const char *inner, const char *syntax)
{
    struct buffer type = buffer_up_to(256);
    struct buffer whole = buffer_up_to(256);
    bulk->multipart = multipart;
    bulk->writer = multipart_writer_for(inner);
    buffer_append_text(&type, inner);
    if (syntax)
        buffer_append_format(&type, "; transfer-syntax=%s", syntax);
    if (multipart) {
        struct buffer location = buffer_up_to(8192);
        buffer_append_format(&location, "%s%s", request_base_url(request), request_path(request));
        multipart_begin_part(&bulk->writer, buffer_text(&type), buffer_text(&location),
                             &bulk->head);
        buffer_release(&location);
        multipart_content_type(&bulk->writer, &whole);
    }
    const struct body_source source = { next_piece, close_bulk, bulk };
    response_status(response, 200);
    response_content_type(response, buffer_text(multipart ? &whole : &type));
    response_stream_take(response, &source, multipart ? UINT64_MAX : bulk->element.size);
    buffer_release(&type);
    buffer_release(&whole);
}

/* Compressed pixels of an item, as those of an icon are: one frame, all its fragments together. */
static bool make_frame(struct bulk *bulk, bool decode, struct error *err)
{
    const struct dataset *item = bulk->items[bulk->item_count - 1];
    struct pixel_format format = pixels_format(item);
    struct buffer fragments = buffer_up_to(PIXELS_MAX_FRAGMENTS);
    buffer_release(&bulk->bytes);
    bulk->bytes = buffer_up_to(PIXELS_MAX_FRAME);
    bool ok = wado_find_fragments(bulk->instance, &bulk->element, &fragments, err);
    uint64_t wanted = fragments_size(&fragments);
    if (decode)
        wanted += PIXELS_DECODER_SHARE *
                  ((uint64_t)format.rows * format.columns * format.samples_per_pixel *
                   (format.bits_allocated + 7) / 8);
    ok = ok &&
         decode_budget_take(bulk->decoding, wanted, PIXELS_MEMORY_WAIT_MS, &bulk->memory, err) &&
         pixels_read(bulk->instance, item, &fragments, 0, decode, &format, &bulk->bytes, err);
    bulk->is_made = true;
    bulk->element.size = bulk->bytes.size;
    buffer_release(&fragments);
    return ok;
}

/* Decoded, or in the media type of what is stored (PS3.18 8.7.3.3): never with the item headers of
 * PS3.5 A.4, which tell a client nothing. */
static void answer_nested_frame(struct bulk *bulk, struct request *request,
                                struct response *response)
{
    const struct transfer_syntax *stored = instance_syntax(bulk->instance);
    const char *uid = instance_syntax_uid(bulk->instance);
    enum { DECODED = 2, DECODED_PARTS = 3 }; /* of the offers */
    bool decodes = codec_can_decode(stored);
    const char *plain = decodes ? UID_EXPLICIT_LITTLE_ENDIAN : uid;
    const char *type = stored->media_type ? stored->media_type : "application/octet-stream";
    const struct offer offers[] = {
        { "application/octet-stream", NULL, uid, true },
        { "multipart/related", "application/octet-stream", uid, true },
        { "application/octet-stream", NULL, plain, false },
        { "multipart/related", "application/octet-stream", plain, false },
        { type, NULL, uid, false },
        { "multipart/related", type, uid, false },
    };
    struct error err;
    char as[256];
    size_t choice;
    if (!dicomweb_choose(request, response, offers, sizeof(offers) / sizeof(offers[0]), &choice)) {
        close_bulk(bulk);
        return;
    }
    const struct offer *offer = &offers[choice];
    const char *inner = offer->inner ? offer->inner : offer->type;
    snprintf(as, sizeof(as), "%s %s %s", offer->type, inner, offer->transfer_syntax);
    if (dicomweb_is_known(request, response, bulk->instance, as)) {
        close_bulk(bulk);
    } else if (!make_frame(bulk, decodes && (choice == DECODED || choice == DECODED_PARTS), &err)) {
        close_bulk(bulk);
        response_error(response, request, http_status_of(err.code), err.message);
    } else {
        start_answer(bulk, request, response, offer->inner != NULL, inner, offer->transfer_syntax);
    }
}

void wado_bulk_data(struct request *request, struct response *response)
{
    static const struct offer offers[] = {
        { "application/octet-stream", NULL, NULL, false },
        { "multipart/related", "application/octet-stream", NULL, false },
    };
    struct dicomweb *dicomweb = request_context(request);
    const char *path = request_parameter(request, "path");
    const struct dataset *header;
    struct path_uids uids;
    struct file_range stored;
    struct slice table;
    struct error err;
    size_t offer;
    if (!dicomweb_path_uids(request, response, &uids))
        return;
    struct bulk *bulk = mem_alloc(sizeof(*bulk));
    bulk->head = buffer_up_to(16 << 10);
    bulk->bytes = buffer_up_to(64 << 20);
    bulk->decoding = dicomweb->decoding;
    if (!instance_open(dicomweb->archive, uids.study, uids.series, uids.instance, &bulk->instance,
                       &err) ||
        !instance_header(bulk->instance, &header, &err) ||
        !instance_frames(bulk->instance, &table, &err) || !find_value(bulk, header, path, &err) ||
        (bulk->element.elided && !instance_dataset(bulk->instance, &stored, &err))) {
        close_bulk(bulk);
        response_error(response, request, http_status_of(err.code), err.message);
        return;
    }
    if (bulk->element.tag == TAG_PIXEL_DATA && !bulk->item_count &&
        bulk->element.undefined_length && wado_is_video(bulk->instance)) {
        struct instance *instance = bulk->instance;
        const struct element pixels = bulk->element;
        bulk->instance = NULL;
        close_bulk(bulk);
        wado_answer_video_take(request, response, instance, &pixels);
        return;
    }
    if (bulk->element.tag == TAG_PIXEL_DATA && !bulk->item_count &&
        frame_table_is_encapsulated(table)) {
        close_bulk(bulk);
        wado_answer_frames(request, response, &uids, NULL);
        return;
    }
    if (bulk->element.tag == TAG_PIXEL_DATA && bulk->item_count && bulk->element.undefined_length) {
        answer_nested_frame(bulk, request, response);
        return;
    }
    if (!dicomweb_choose(request, response, offers, 2, &offer)) {
        close_bulk(bulk);
        return;
    }
    if (dicomweb_is_known(request, response, bulk->instance, offer == 1 ? "multipart" : "single")) {
        close_bulk(bulk);
        return;
    }
    bulk->unit = !instance_syntax(bulk->instance)->big_endian ? 1
                 : bulk->element.tag == TAG_PIXEL_DATA ? pixel_unit_size(header, TAG_PIXEL_DATA)
                                                       : vr_unit_size(bulk->element.vr);
    start_answer(bulk, request, response, offer == 1, "application/octet-stream", NULL);
}
