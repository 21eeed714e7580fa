/* SPDX-License-Identifier: MIT */
/* WADO-RS, bulk data and pixel data of a study, series or instance (PS3.18 10.4.1.1.5, 10.4.1.1.6):
 * every value that the metadata refer to, or the pixel data alone, a part for each under its
 * BulkDataURI; of encapsulated pixel data a part for each frame. Streams: memory does not grow with
 * the study. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/headers.h"
#include "base/memory.h"
#include "dicom/json.h"
#include "dicomweb/wado_accept.h"
#include "dicomweb/wado_pixels.h"
#include "dicomweb/wado_stream.h"
#include "dicomweb/wado_values.h"
#include "http/multipart_writer.h"

enum { READ_SIZE = 1 << 20 };

struct bulk_set {
    struct dicomweb *dicomweb;
    char *base_url;
    bool pixels_only;
    bool as_stored; /* frames are not decoded */
    /* Only pixel data that are stored as this image type, in this syntax ("*": in any of the type);
     * NULL: all. */
    const char *type;
    const char *syntax;
    struct multipart_writer writer;
    struct retrieve *retrieve;
    struct instance *instance; /* borrowed from the cursor; NULL before the first */
    const struct dataset *header;
    struct slice table;
    struct walk walk;
    struct element element; /* the value whose parts are being sent */
    struct buffer location; /* its URI */
    struct buffer head;
    uint32_t frame; /* the next one, from 1; 0: the value is one part */
    struct buffer fragments;
    size_t fragment;     /* the next one of the part */
    uint64_t position;   /* in a native value */
    struct buffer bytes; /* made for the part; empty: it goes as it is stored */
    uint64_t memory;     /* of the decoding budget */
    bool begun;
    enum { PART, FRAGMENTS, VALUE, BYTES, DONE } state;
};

static void close_set(void *state)
{
    struct bulk_set *set = state;
    decode_budget_give_back(set->dicomweb->decoding, set->memory);
    retrieve_close(set->retrieve);
    buffer_release(&set->location);
    buffer_release(&set->head);
    buffer_release(&set->fragments);
    buffer_release(&set->bytes);
    free(set->base_url);
    free(set);
}

static bool is_wanted(const struct bulk_set *set, const char *uid)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(slice_text(uid));
    return !set->type || (syntax && syntax->media_type && !strcmp(syntax->media_type, set->type) &&
                          (!strcmp(set->syntax, "*") || !strcmp(set->syntax, uid)));
}

/* Steps to the next instance whose bytes can be had; *found false at the end. */
static bool next_instance(struct bulk_set *set, bool *found, struct error *err)
{
    for (;;) {
        struct file_range stored;
        if (!retrieve_next(set->retrieve, &set->instance, err))
            return false;
        *found = set->instance != NULL;
        if (!*found)
            return true;
        if (!is_wanted(set, instance_syntax_uid(set->instance)))
            continue;
        if (instance_header(set->instance, &set->header, err) &&
            instance_frames(set->instance, &set->table, err) &&
            instance_dataset(set->instance, &stored, err)) {
            set->walk = dataset_walk(set->header);
            return true;
        }
        /* What is deleted meanwhile is left out. */
        if (err->code != ERROR_GONE && err->code != ERROR_NOT_FOUND)
            return false;
    }
}

static bool is_pixel_data(const struct bulk_set *set)
{
    uint32_t tag = set->element.tag;
    return !set->walk.depth && (tag == TAG_PIXEL_DATA || tag == TAG_FLOAT_PIXEL_DATA ||
                                tag == TAG_DOUBLE_FLOAT_PIXEL_DATA);
}

/* Steps to the next value; *found false behind the last one of the last instance. */
static bool next_value(struct bulk_set *set, bool *found, struct error *err)
{
    *found = set->instance != NULL;
    for (;;) {
        if (!*found && !next_instance(set, found, err))
            return false;
        if (!*found)
            return true;
        enum walk_event event = walk_next(&set->walk, &set->element);
        if (event == WALK_END)
            *found = false;
        else if (event == WALK_ELEMENT && json_is_bulk_data(&set->element) &&
                 (!set->pixels_only || is_pixel_data(set)))
            return true;
    }
}

static void write_location(struct bulk_set *set)
{
    const struct identity *identity = instance_identity(set->instance);
    buffer_clear(&set->location);
    buffer_append_format(&set->location, "%s/studies/%s/series/%s/instances/%s/bulkdata/",
                         set->base_url, identity->study, identity->series, identity->instance);
    json_write_bulk_path(&set->walk, set->element.tag, &set->location);
}

static void begin_part(struct bulk_set *set, const char *type, const char *syntax)
{
    struct buffer text = buffer_up_to(256);
    buffer_append_text(&text, type);
    if (syntax)
        buffer_append_format(&text, "; transfer-syntax=%s", syntax);
    buffer_clear(&set->head);
    multipart_begin_part(&set->writer, buffer_text(&text), buffer_text(&set->location), &set->head);
    buffer_release(&text);
}

static void give_memory_back(struct bulk_set *set)
{
    buffer_release(&set->bytes);
    set->bytes = buffer_up_to(PIXELS_MAX_FRAME);
    decode_budget_give_back(set->dicomweb->decoding, set->memory);
    set->memory = 0;
}

/* A value that is one part. */
static void begin_native(struct bulk_set *set)
{
    give_memory_back(set);
    begin_part(set, "application/octet-stream", NULL);
    set->position = 0;
    set->state = VALUE;
}

/* Frames that are stored as their own media type, or all of them that cannot be told apart. */
static void begin_stored(struct bulk_set *set)
{
    const char *type = instance_syntax(set->instance)->media_type;
    bool plain = !type || (!set->as_stored && !wado_is_video(set->instance));
    begin_part(set, plain ? "application/octet-stream" : type, instance_syntax_uid(set->instance));
    set->fragment = 0;
    set->state = FRAGMENTS;
}

static bool begin_decoded(struct bulk_set *set, unsigned bit_shift, struct error *err)
{
    struct pixel_format format = pixels_format(set->header);
    uint64_t wanted = fragments_size(&set->fragments) +
                      PIXELS_DECODER_SHARE *
                          ((uint64_t)format.rows * format.columns * format.samples_per_pixel *
                           (format.bits_allocated + 7) / 8);
    if (!decode_budget_take(set->dicomweb->decoding, wanted, PIXELS_MEMORY_WAIT_MS, &set->memory,
                            err) ||
        !pixels_read(set->instance, set->header, &set->fragments, bit_shift, true, &format,
                     &set->bytes, err))
        return false;
    begin_part(set, "application/octet-stream", UID_EXPLICIT_LITTLE_ENDIAN);
    set->state = BYTES;
    return true;
}

/* The next frame of encapsulated pixel data. */
static bool begin_frame(struct bulk_set *set, struct error *err)
{
    unsigned bit_shift = 0;
    uint32_t frames = frame_table_count(set->table);
    uint32_t number = set->frame++;
    if (set->frame > frames)
        set->frame = 0;
    buffer_clear(&set->fragments);
    give_memory_back(set);
    if (!frames || wado_is_video(set->instance) || !is_pixel_data(set)) {
        set->frame = 0;
        if (!wado_find_fragments(set->instance, &set->element, &set->fragments, err))
            return false;
        begin_stored(set);
        return true;
    }
    if (!frame_table_find(set->table, number, &set->fragments, &bit_shift, err))
        return false;
    if (!set->as_stored && codec_can_decode(instance_syntax(set->instance)))
        return begin_decoded(set, bit_shift, err);
    begin_stored(set);
    return true;
}

static bool next_part(struct bulk_set *set, struct piece *piece, struct error *err)
{
    bool found = true;
    if (!set->frame) {
        if (!next_value(set, &found, err))
            return false;
        if (found)
            write_location(set);
        set->frame = found && set->element.undefined_length;
    }
    if (!found && !set->begun)
        return error_set(err, ERROR_GONE, "the instances were deleted");
    set->begun = true;
    if (!found) {
        buffer_clear(&set->head);
        multipart_end(&set->writer, &set->head);
        set->state = DONE;
    } else if (!set->frame) {
        begin_native(set);
    } else if (!begin_frame(set, err)) {
        return false;
    }
    piece->kind = PIECE_BYTES;
    piece->bytes = buffer_slice(&set->head);
    return true;
}

/* In little endian; from the header, or straight from the file, or turned round piece by piece. */
static bool next_of_value(struct bulk_set *set, struct piece *piece, struct error *err)
{
    uint64_t left = set->element.size - set->position;
    size_t size = left < READ_SIZE ? (size_t)left : READ_SIZE;
    size_t unit = !set->element.big_endian ? 1
                  : is_pixel_data(set)     ? pixel_unit_size(set->header, set->element.tag)
                                           : vr_unit_size(set->element.vr);
    bool as_it_is = set->element.elided && unit == 1 && !instance_syntax(set->instance)->deflated;
    if (as_it_is) {
        set->state = PART;
        piece->kind = PIECE_FILE;
        return instance_range(set->instance, set->element.offset, set->element.size, &piece->file,
                              err);
    }
    buffer_clear(&set->bytes);
    struct space space = buffer_reserve(&set->bytes, size);
    if (!set->element.elided)
        memcpy(space.data, set->element.value.data + set->position, size);
    else if (!instance_read_inflated(set->instance, set->element.offset + set->position, space,
                                     err))
        return false;
    value_swap(space.data, size, unit);
    buffer_advance(&set->bytes, size);
    set->position += size;
    piece->kind = PIECE_BYTES;
    piece->bytes = buffer_slice(&set->bytes);
    return true;
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct bulk_set *set = state;
    const struct fragment64 *fragments = (const struct fragment64 *)set->fragments.data;
    switch (set->state) {
    case FRAGMENTS:
        if (set->fragment == set->fragments.size / sizeof(*fragments))
            return next_part(set, piece, err);
        piece->kind = PIECE_FILE;
        fragments += set->fragment++;
        return instance_range(set->instance, fragments->offset, fragments->size, &piece->file, err);
    case VALUE:
        if (set->position == set->element.size)
            return next_part(set, piece, err);
        return next_of_value(set, piece, err);
    case BYTES:
        set->state = PART;
        piece->kind = PIECE_BYTES;
        piece->bytes = buffer_slice(&set->bytes);
        return true;
    case PART:
        return next_part(set, piece, err);
    case DONE:
        break;
    }
    piece->kind = PIECE_END;
    return true;
}

/* Is there anything to send? A look at headers alone, up to the first value. */
static bool has_values(struct bulk_set *set, const struct selection *selection, bool *found,
                       struct error *err)
{
    if (!next_value(set, found, err))
        return false;
    retrieve_close(set->retrieve);
    set->retrieve = NULL;
    set->instance = NULL;
    return !*found || retrieve_open(set->dicomweb->archive, selection, &set->retrieve, err);
}

enum {
    OCTETS_AS_STORED,
    OCTETS,
    PLAIN_OFFERS,
    TYPES_MAX = 16,
    OFFERS_MAX = PLAIN_OFFERS + 2 * TYPES_MAX
};

/* What the pixel data are to be had as (PS3.18 8.7.3.3): octets, and the image types that they are
 * stored in. */
static size_t make_offers(const struct retrieve *retrieve, bool pixels_only,
                          struct offer offers[OFFERS_MAX])
{
    size_t count = PLAIN_OFFERS;
    const char *last = "";
    offers[OCTETS_AS_STORED] = (struct offer){ "multipart/related", "application/octet-stream", "*",
                                               true };
    offers[OCTETS] = (struct offer){ "multipart/related", "application/octet-stream",
                                     UID_EXPLICIT_LITTLE_ENDIAN, false };
    for (uint64_t i = 0; pixels_only && i < retrieve_count(retrieve); i++) {
        const char *uid = retrieve_syntax(retrieve, i);
        const struct transfer_syntax *syntax = transfer_syntax_find(slice_text(uid));
        if (!strcmp(uid, last))
            continue;
        last = uid;
        size_t at = PLAIN_OFFERS;
        while (at < count && syntax && strcmp(offers[at + 1].transfer_syntax, syntax->uid) != 0)
            at += 2;
        if (!syntax || !syntax->media_type || at < count || count == OFFERS_MAX)
            continue;
        offers[count++] = (struct offer){ "multipart/related", syntax->media_type, "*", true };
        offers[count++] = (struct offer){ "multipart/related", syntax->media_type, syntax->uid,
                                          wado_must_be_named(syntax) };
    }
    return count;
}

static uint64_t count_wanted(const struct bulk_set *set)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < retrieve_count(set->retrieve); i++)
        count += is_wanted(set, retrieve_syntax(set->retrieve, i));
    return count;
}

static struct bulk_set *new_set(struct request *request, bool pixels_only)
{
    struct bulk_set *set = mem_alloc(sizeof(*set));
    struct buffer url = buffer_up_to(4096);
    set->dicomweb = request_context(request);
    set->pixels_only = pixels_only;
    set->location = buffer_up_to(8192);
    set->head = buffer_up_to(16 << 10);
    set->fragments = buffer_up_to(PIXELS_MAX_FRAGMENTS);
    set->bytes = buffer_up_to(PIXELS_MAX_FRAME);
    dicomweb_base_url(set->dicomweb, request, &url);
    set->base_url = mem_copy_text(buffer_text(&url));
    buffer_release(&url);
    return set;
}

/* Does what the path names exist, and what tells it from what it was before? */
static bool find_change(struct dicomweb *dicomweb, const struct path_uids *uids, uint64_t *change,
                        struct error *err)
{
    struct instance *instance = NULL;
    if (!*uids->instance)
        return archive_find(dicomweb->archive, uids->study, *uids->series ? uids->series : NULL,
                            err) &&
               headers_change(dicomweb->archive, uids->study, uids->series, change, err);
    if (!instance_open(dicomweb->archive, uids->study, uids->series, uids->instance, &instance,
                       err))
        return false;
    *change = (uint64_t)instance_stored_at_ms(instance) << 20 ^ instance_checksum(instance);
    instance_close(instance);
    return true;
}

static bool is_known(struct request *request, struct response *response, const struct bulk_set *set,
                     uint64_t change)
{
    char *as = mem_format("%s %s %d %s %s", request_path(request),
                          set->pixels_only ? "pixels" : "bulk", set->as_stored,
                          set->type ? set->type : "", set->type ? set->syntax : "");
    bool known = dicomweb_is_known_set(request, response, set->base_url, as, change);
    free(as);
    return known;
}

static bool check_values(struct bulk_set *set, const struct selection *selection, struct error *err)
{
    bool found;
    return has_values(set, selection, &found, err) &&
           (found || error_set(err, ERROR_NOT_FOUND, "there is no %s data",
                               set->pixels_only ? "pixel" : "bulk"));
}

static void start_answer_take(struct bulk_set *set, struct response *response, int status)
{
    struct buffer type = buffer_up_to(256);
    set->writer = multipart_writer_for(set->type ? set->type : "application/octet-stream");
    multipart_content_type(&set->writer, &type);
    const struct body_source source = { next_piece, close_set, set };
    response_status(response, status);
    response_content_type(response, buffer_text(&type));
    response_stream_take(response, &source, UINT64_MAX);
    buffer_release(&type);
}

static void answer(struct request *request, struct response *response, bool pixels_only)
{
    struct offer offers[OFFERS_MAX];
    struct path_uids uids;
    struct error err = { 0 };
    uint64_t change;
    size_t offer;
    if (!dicomweb_path_uids(request, response, &uids))
        return;
    const struct selection selection = { NULL, uids.study, uids.series, uids.instance };
    struct bulk_set *set = new_set(request, pixels_only);
    if (!find_change(set->dicomweb, &uids, &change, &err) ||
        !retrieve_open(set->dicomweb->archive, &selection, &set->retrieve, &err))
        goto failed;
    if (!dicomweb_choose(request, response, offers, make_offers(set->retrieve, pixels_only, offers),
                         &offer)) {
        close_set(set);
        return;
    }
    set->as_stored = offer != OCTETS;
    if (offer >= PLAIN_OFFERS) {
        set->type = offers[offer].inner;
        set->syntax = offers[offer].transfer_syntax;
    }
    int status = count_wanted(set) == retrieve_count(set->retrieve) ? 200 : 206;
    if (!check_values(set, &selection, &err))
        goto failed;
    if (is_known(request, response, set, change)) {
        close_set(set);
        return;
    }
    start_answer_take(set, response, status);
    return;
failed:
    close_set(set);
    response_error(response, request, http_status_of(err.code), err.message);
}

void wado_all_bulk_data(struct request *request, struct response *response)
{
    answer(request, response, false);
}

void wado_pixel_data(struct request *request, struct response *response)
{
    answer(request, response, true);
}
