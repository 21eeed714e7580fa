/* SPDX-License-Identifier: MIT */
/* WADO-RS, instances (PS3.18 10.4.1.1.1): Part 10 files of a study, a series or one instance, as
 * they are stored where the client takes that, transcoded on the way where it must be. Streams:
 * memory does not grow with the study. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/metrics.h"
#include "dicomweb/routes.h"
#include "dicomweb/wado_accept.h"
#include "dicomweb/wado_part10.h"
#include "dicomweb/wado_values.h"
#include "dicomweb/wado_zip.h"
#include "http/multipart_writer.h"

struct transfer {
    const struct dicomweb *dicomweb;
    struct retrieve *retrieve;
    struct instance *instance; /* borrowed from the cursor */
    struct part10_copy *copy;
    struct multipart_writer writer;
    char asked[UID_SIZE]; /* transfer syntax: "", "*" or a UID */
    char *base_url;
    struct buffer head; /* of the present part, or the end of the message */
    struct piece body;  /* of the present part */
    bool begun;         /* a part was sent */
    enum { PART_HEAD, PART_BODY, DONE } state;
};

static void close_transfer(void *state)
{
    struct transfer *transfer = state;
    part10_copy_close(transfer->copy);
    retrieve_close(transfer->retrieve);
    buffer_release(&transfer->head);
    free(transfer->base_url);
    free(transfer);
}

static struct piece bytes_piece(const struct buffer *buffer)
{
    struct piece piece = { .kind = PIECE_BYTES, .bytes = buffer_slice(buffer) };
    return piece;
}

/* Steps to the next instance that can be given in what was asked for; *found false at the end. */
static bool next_instance(struct transfer *transfer, int *how, const struct transfer_syntax **to,
                          bool *found, struct error *err)
{
    for (;;) {
        if (!retrieve_next(transfer->retrieve, &transfer->instance, err))
            return false;
        *found = transfer->instance != NULL;
        if (!*found)
            return true;
        *how = wado_choose_syntax(instance_syntax(transfer->instance),
                                  instance_syntax_uid(transfer->instance), transfer->asked, to);
        if (*how != SYNTAX_IMPOSSIBLE)
            return true;
    }
}

static void write_part_head(struct transfer *transfer, const char *syntax)
{
    const struct identity *identity = instance_identity(transfer->instance);
    struct buffer location = buffer_up_to(4096);
    char type[128];
    snprintf(type, sizeof(type), "application/dicom; transfer-syntax=%s", syntax);
    buffer_append_format(&location, "%s/studies/%s/series/%s/instances/%s", transfer->base_url,
                         identity->study, identity->series, identity->instance);
    multipart_begin_part(&transfer->writer, type, buffer_text(&location), &transfer->head);
    buffer_release(&location);
}

static bool open_body(struct transfer *transfer, int how, const struct transfer_syntax *to,
                      struct error *err)
{
    if (how == SYNTAX_TRANSCODED) {
        if (!part10_copy_open(transfer->instance, to, transfer->dicomweb->archive, &transfer->copy,
                              err))
            return false;
        transfer->body = part10_copy_piece(transfer->copy);
        return true;
    }
    transfer->body = (struct piece){ .kind = PIECE_FILE };
    return part10_behind_preamble(transfer->instance, &transfer->body.file, err);
}

/* The body is opened before the head is sent: an instance that is deleted meanwhile is left out,
 * and the client gets the rest (PS3.18 10.4.3.1). */
static bool next_part(struct transfer *transfer, struct piece *piece, struct error *err)
{
    const struct transfer_syntax *to = NULL;
    bool found;
    bool opened;
    int how;
    part10_copy_close(transfer->copy);
    transfer->copy = NULL;
    buffer_clear(&transfer->head);
    do {
        if (!next_instance(transfer, &how, &to, &found, err))
            return false;
        opened = found && open_body(transfer, how, to, err);
        if (found && !opened && err->code != ERROR_GONE)
            return false;
    } while (found && !opened);
    if (!found && !transfer->begun)
        return error_set(err, ERROR_GONE, "the instances were deleted");
    transfer->begun = true;
    if (!found) {
        multipart_end(&transfer->writer, &transfer->head);
        transfer->state = DONE;
    } else {
        write_part_head(transfer, to ? to->uid : instance_syntax_uid(transfer->instance));
        if (!transfer->copy)
            buffer_append(&transfer->head, slice_of(part10_zero_preamble, PART10_PREAMBLE_SIZE));
        transfer->state = PART_BODY;
    }
    *piece = bytes_piece(&transfer->head);
    return true;
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct transfer *transfer = state;
    switch (transfer->state) {
    case PART_HEAD:
        return next_part(transfer, piece, err);
    case PART_BODY:
        transfer->state = PART_HEAD;
        metric_add(METRIC_INSTANCES_SENT, 1);
        *piece = transfer->body;
        return true;
    case DONE:
        piece->kind = PIECE_END;
        return true;
    }
    return false;
}

static bool answer_multipart(struct request *request, struct response *response,
                             const struct path_uids *uids, const char *asked, struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    const struct selection selection = { NULL, uids->study, uids->series, uids->instance };
    struct retrieve *retrieve;
    if (!retrieve_open(dicomweb->archive, &selection, &retrieve, err))
        return false;
    uint64_t total = retrieve_count(retrieve);
    uint64_t possible;
    if (!wado_count_possible(retrieve, asked, &possible, err)) {
        retrieve_close(retrieve);
        return false;
    }
    struct transfer *transfer = mem_alloc(sizeof(*transfer));
    transfer->retrieve = retrieve;
    struct buffer type = buffer_up_to(256);
    struct buffer url = buffer_up_to(4096);
    transfer->dicomweb = dicomweb;
    transfer->writer = multipart_writer_for("application/dicom");
    transfer->head = buffer_up_to(8192);
    snprintf(transfer->asked, sizeof(transfer->asked), "%s", asked);
    dicomweb_base_url(dicomweb, request, &url);
    transfer->base_url = mem_copy_text(buffer_text(&url));
    buffer_release(&url);
    const struct body_source source = { next_piece, close_transfer, transfer };
    multipart_content_type(&transfer->writer, &type);
    response_status(response, possible == total ? 200 : 206);
    response_content_type(response, buffer_text(&type));
    response_stream_take(response, &source, UINT64_MAX);
    buffer_release(&type);
    return true;
}

struct single {
    struct instance *instance;
    struct part10_copy *copy;
    struct file_range file; /* behind the preamble, when there is no copy */
    enum { SINGLE_PREAMBLE, SINGLE_FILE, SINGLE_DONE } state;
};

static bool next_single(void *state, struct piece *piece, struct error *err)
{
    struct single *single = state;
    (void)err;
    *piece = (struct piece){ .kind = PIECE_END };
    switch (single->state) {
    case SINGLE_PREAMBLE:
        metric_add(METRIC_INSTANCES_SENT, 1);
        single->state = single->copy ? SINGLE_DONE : SINGLE_FILE;
        if (single->copy)
            *piece = part10_copy_piece(single->copy);
        else
            *piece = (struct piece){
                .kind = PIECE_BYTES, .bytes = slice_of(part10_zero_preamble, PART10_PREAMBLE_SIZE)
            };
        break;
    case SINGLE_FILE:
        single->state = SINGLE_DONE;
        *piece = (struct piece){ .kind = PIECE_FILE, .file = single->file };
        break;
    case SINGLE_DONE:
        break;
    }
    return true;
}

static void close_single(void *state)
{
    struct single *single = state;
    part10_copy_close(single->copy);
    instance_close(single->instance);
    free(single);
}

/* A file that ends before its record says is found out while there is still a status to say so. */
static bool check_end(struct instance *instance, struct error *err)
{
    uint8_t last;
    struct file_range dataset;
    return instance_dataset(instance, &dataset, err) &&
           (!dataset.size ||
            instance_read(instance, dataset.size - 1, (struct space){ &last, 1 }, err));
}

/* One instance as one file: `Accept: application/dicom` (PS3.18 10.4.4). */
bool wado_answer_instance(struct request *request, struct response *response,
                          const struct path_uids *uids, const char *asked, struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    const struct transfer_syntax *to = NULL;
    struct single *single = mem_alloc(sizeof(*single));
    char type[128];
    if (!instance_open(dicomweb->archive, uids->study, uids->series, uids->instance,
                       &single->instance, err))
        goto failed;
    int how = wado_choose_syntax(instance_syntax(single->instance),
                                 instance_syntax_uid(single->instance), asked, &to);
    if (how == SYNTAX_IMPOSSIBLE) {
        error_set(err, ERROR_UNSUPPORTED, "the instance cannot be given in this transfer syntax");
        goto failed;
    }
    snprintf(type, sizeof(type), "application/dicom; transfer-syntax=%s",
             to ? to->uid : instance_syntax_uid(single->instance));
    if (dicomweb_is_known(request, response, single->instance, type)) {
        close_single(single);
        return true;
    }
    if (how == SYNTAX_TRANSCODED
            ? !part10_copy_open(single->instance, to, dicomweb->archive, &single->copy, err)
            : !part10_behind_preamble(single->instance, &single->file, err) ||
                  !check_end(single->instance, err))
        goto failed;
    const struct body_source source = { next_single, close_single, single };
    response_status(response, 200);
    response_content_type(response, type);
    response_stream_take(response, &source,
                         single->copy ? part10_copy_size(single->copy)
                                      : PART10_PREAMBLE_SIZE + single->file.size);
    return true;
failed:
    close_single(single);
    return false;
}

static void forget_range(struct accept *accept, size_t range)
{
    accept->count--;
    memmove(&accept->ranges[range], &accept->ranges[range + 1],
            (accept->count - range) * sizeof(accept->ranges[0]));
}

/* What is acceptable, tried in the client's order: each range may name a transfer syntax of its
 * own. */
void wado_instances(struct request *request, struct response *response)
{
    static const struct offer offers[] = {
        { "multipart/related", "application/dicom", NULL, false },
        { "application/zip", NULL, NULL, false },
    };
    static const struct offer offers_of_one[] = {
        { "multipart/related", "application/dicom", NULL, false },
        { "application/dicom", NULL, NULL, false },
        { "application/zip", NULL, NULL, false },
    };
    struct dicomweb *dicomweb = request_context(request);
    struct path_uids uids;
    struct accept accept;
    struct error err = { 0 };
    bool one = request_parameter(request, "instance") != NULL;
    bool answered = false;
    if (!dicomweb_path_uids(request, response, &uids))
        return;
    if (!accept_of_request(request, &accept, &err)) {
        response_error(response, request, 400, err.message);
        return;
    }
    if (one) {
        struct instance *instance = NULL;
        if (!instance_open(dicomweb->archive, uids.study, uids.series, uids.instance, &instance,
                           &err))
            goto failed;
        instance_close(instance);
    } else if (!archive_find(dicomweb->archive, uids.study, *uids.series ? uids.series : NULL,
                             &err)) {
        goto failed;
    }
    error_set(&err, ERROR_UNSUPPORTED,
              "available: multipart/related; type=\"application/dicom\", "
              "application/zip%s",
              one ? ", application/dicom" : "");
    while (!answered) {
        size_t range;
        int choice = one ? accept_choose(&accept, offers_of_one, 3, &range)
                         : accept_choose(&accept, offers, 2, &range);
        if (choice < 0)
            break;
        char asked[UID_SIZE];
        memcpy(asked, accept.ranges[range].transfer_syntax, sizeof(asked));
        const char *type = one ? offers_of_one[choice].type : offers[choice].type;
        answered = !strcmp(type, "application/zip")
                       ? wado_answer_zip(request, response, &uids, asked, &err)
                   : !strcmp(type, "application/dicom")
                       ? wado_answer_instance(request, response, &uids, asked, &err)
                       : answer_multipart(request, response, &uids, asked, &err);
        if (!answered && err.code != ERROR_UNSUPPORTED)
            break;
        forget_range(&accept, range);
    }
    if (answered)
        return;
failed:
    response_error(response, request, http_status_of(err.code), err.message);
}
