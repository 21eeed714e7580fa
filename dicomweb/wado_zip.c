/* SPDX-License-Identifier: MIT */
/* A file-set (PS3.10 8) as a ZIP archive: DICOM/S0000001/I0000001 and so on, a folder for each
 * series, then the DICOMDIR of what was sent. Streams: memory does not grow with the study.
 *
 * Of some instances that go as they are stored the directory is made first, and the length of the
 * archive is said. When one of them is deleted before its turn, the answer breaks off: a promise
 * was made. Otherwise the archive ends well without it, and so does its DICOMDIR. */
#include "dicomweb/wado_zip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/retrieve.h"
#include "archive/spool.h"
#include "base/digest.h"
#include "base/file_reader.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dicom/dicomdir.h"
#include "dicomweb/wado_accept.h"
#include "dicomweb/wado_part10.h"
#include "http/zip.h"

enum {
    PLANNED_MAX = 1000,    /* instances whose headers are read before the first byte goes */
    CRC_FIRST = 64 << 20,  /* bytes of a member that are read twice, so that its CRC goes first */
    READ_SIZE = 256 << 10, /* at a time */
    HEAD_SIZE = 4 << 10,
};

/* An instance whose place in the archive is promised. */
struct planned {
    char instance[UID_SIZE];
    uint32_t checksum;
    uint64_t stored_at_ms;
};

struct zip_transfer {
    const struct dicomweb *dicomweb;
    struct retrieve *retrieve;
    char asked[UID_SIZE];
    struct dicomdir *dicomdir;
    struct zip_writer *writer;
    struct file_reader reader; /* for what is read to know its CRC */
    struct buffer planned;     /* struct planned each */
    size_t planned_next;
    bool is_planned;

    /* Names go by the order of the series and instances. */
    char series[UID_SIZE];
    unsigned series_number;
    unsigned instance_number;

    /* The present member. */
    struct part10_copy *copy;
    struct zip_member member; /* name NULL: none */
    char name[64];
    struct piece body;   /* what stands behind `head` */
    bool is_dicomdir;    /* the last member */
    bool begun;          /* there was one */
    int64_t modified_ms; /* of the newest instance */
    struct buffer head;  /* the end of the member before, and the beginning of this one */
    struct buffer bytes; /* of a body that is read here */
    enum { HEAD, BODY, CENTRAL, END, DONE } state;
};

static void close_transfer(void *state)
{
    struct zip_transfer *transfer = state;
    part10_copy_close(transfer->copy);
    retrieve_close(transfer->retrieve);
    dicomdir_free(transfer->dicomdir);
    zip_writer_free(transfer->writer);
    file_reader_release(&transfer->reader);
    buffer_release(&transfer->planned);
    buffer_release(&transfer->head);
    buffer_release(&transfer->bytes);
    free(transfer);
}

/* Steps to the next instance that can be given; *instance NULL at the end. */
static bool next_instance(struct zip_transfer *transfer, struct instance **instance,
                          const struct transfer_syntax **to, struct error *err)
{
    for (;;) {
        *to = NULL;
        if (!retrieve_next(transfer->retrieve, instance, err))
            return false;
        if (!*instance ||
            wado_choose_syntax(instance_syntax(*instance), instance_syntax_uid(*instance),
                               transfer->asked, to) != SYNTAX_IMPOSSIBLE)
            return true;
    }
}

/* Eight characters, upper case (PS3.10 8.5). */
static void name_member(struct zip_transfer *transfer, const struct identity *identity)
{
    if (strcmp(transfer->series, identity->series) != 0) {
        memcpy(transfer->series, identity->series, UID_SIZE);
        transfer->series_number++;
        transfer->instance_number = 0;
    }
    transfer->instance_number++;
    snprintf(transfer->name, sizeof(transfer->name), "DICOM/S%07u/I%07u", transfer->series_number,
             transfer->instance_number);
}

static bool list_in_dicomdir(struct zip_transfer *transfer, struct instance *instance,
                             const struct transfer_syntax *to, struct error *err)
{
    const struct dataset *header;
    const struct identity *identity = instance_identity(instance);
    char file_id[sizeof(transfer->name)];
    for (size_t i = 0; i < sizeof(file_id); i++)
        file_id[i] = transfer->name[i] == '/' ? '\\' : transfer->name[i];
    const struct dicomdir_member member = {
        .file_id = file_id,
        .study = identity->study,
        .series = identity->series,
        .sop_class = identity->sop_class,
        .sop_instance = identity->instance,
        .transfer_syntax = to ? to->uid : instance_syntax_uid(instance),
    };
    return instance_header(instance, &header, err) &&
           dicomdir_add(transfer->dicomdir, header, &member, err);
}

static bool piece_of_scratch(struct scratch *scratch, struct piece *piece, struct error *err)
{
    bool is_file;
    *piece = (struct piece){ .kind = PIECE_BYTES };
    if (!scratch_give(scratch, &is_file, &piece->bytes, &piece->file, err))
        return false;
    if (is_file)
        piece->kind = PIECE_FILE;
    return true;
}

static uint64_t piece_size(const struct piece *piece)
{
    return piece->kind == PIECE_FILE ? piece->file.size : piece->bytes.size;
}

/* Reads on in the body, and into the CRC. */
static bool read_body(struct zip_transfer *transfer, struct file_range *file, struct error *err)
{
    size_t wanted = file->size < READ_SIZE ? (size_t)file->size : READ_SIZE;
    ssize_t size;
    buffer_clear(&transfer->bytes);
    struct space space = buffer_reserve(&transfer->bytes, READ_SIZE);
    do
        size = pread(file->fd, space.data, wanted, (off_t)file->offset);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return error_set_errno(err, errno, "a stored file");
    if (!size)
        return error_set(err, ERROR_CORRUPT, "a stored file is shorter than it was");
    buffer_advance(&transfer->bytes, (size_t)size);
    transfer->member.crc32 = zip_crc32(transfer->member.crc32, buffer_slice(&transfer->bytes));
    file->offset += (size_t)size;
    file->size -= (size_t)size;
    return true;
}

/* What is small is read before it is sent: then it is in memory, and its header is complete, which
 * those need who unpack without going back. */
static bool find_crc(struct zip_transfer *transfer, struct error *err)
{
    struct file_range file = transfer->body.file;
    if (transfer->body.kind == PIECE_BYTES) {
        transfer->member.crc32 = zip_crc32(transfer->member.crc32, transfer->body.bytes);
        return true;
    }
    if (!file_reader_take(&transfer->reader, &file, err))
        return false;
    while (file.size)
        if (!read_body(transfer, &file, err))
            return false;
    return true;
}

/* `before`: bytes of the member that stand before the body, and that are zero. */
static bool begin_member(struct zip_transfer *transfer, size_t before, struct error *err)
{
    struct zip_member *member = &transfer->member;
    const struct slice zeros = slice_of(part10_zero_preamble, before);
    transfer->begun = true;
    *member = (struct zip_member){
        .name = transfer->name,
        .size = before + piece_size(&transfer->body),
        .modified_ms = transfer->modified_ms,
        .crc32 = zip_crc32(0, zeros),
    };
    member->crc_follows = transfer->body.kind == PIECE_FILE && member->size > CRC_FIRST;
    if ((!member->crc_follows && !find_crc(transfer, err)) ||
        !zip_begin_member(transfer->writer, member, &transfer->head, err))
        return false;
    buffer_append(&transfer->head, zeros);
    return true;
}

/* ERROR_GONE when the instance is not what it was when its place was promised. */
static bool check_planned(struct zip_transfer *transfer, const struct instance *instance,
                          struct error *err)
{
    const struct planned *planned = (const struct planned *)(const void *)transfer->planned.data;
    size_t count = transfer->planned.size / sizeof(*planned);
    if (!transfer->is_planned)
        return true;
    planned += transfer->planned_next++;
    if (!instance && transfer->planned_next > count)
        return true;
    if (!instance || transfer->planned_next > count ||
        strcmp(planned->instance, instance_identity(instance)->instance) != 0)
        return error_set(err, ERROR_GONE, "an instance was deleted before it was sent");
    return planned->checksum == instance_checksum(instance) ||
           error_set(err, ERROR_GONE, "an instance was replaced before it was sent");
}

static bool open_body(struct zip_transfer *transfer, struct instance *instance,
                      const struct transfer_syntax *to, struct error *err)
{
    if (to) {
        if (!part10_copy_open(instance, to, transfer->dicomweb->archive, &transfer->copy, err))
            return false;
        transfer->body = part10_copy_piece(transfer->copy);
        return true;
    }
    transfer->body = (struct piece){ .kind = PIECE_FILE };
    return part10_behind_preamble(instance, &transfer->body.file, err);
}

/* *taken false: it was deleted meanwhile, and no place was promised to it. */
static bool begin_instance(struct zip_transfer *transfer, struct instance *instance,
                           const struct transfer_syntax *to, bool *taken, struct error *err)
{
    const struct dataset *header;
    int64_t stored_ms = (int64_t)instance_stored_at_ms(instance);
    *taken = (transfer->is_planned || instance_header(instance, &header, err)) &&
             open_body(transfer, instance, to, err);
    if (!*taken)
        return err->code == ERROR_GONE && !transfer->is_planned;
    name_member(transfer, instance_identity(instance));
    if (stored_ms > transfer->modified_ms)
        transfer->modified_ms = stored_ms;
    return (transfer->is_planned || list_in_dicomdir(transfer, instance, to, err)) &&
           begin_member(transfer, to ? 0 : PART10_PREAMBLE_SIZE, err);
}

static bool begin_dicomdir(struct zip_transfer *transfer, struct error *err)
{
    struct scratch *file;
    transfer->is_dicomdir = true;
    snprintf(transfer->name, sizeof(transfer->name), "DICOMDIR");
    return dicomdir_finish(transfer->dicomdir, &file, err) &&
           piece_of_scratch(file, &transfer->body, err) && begin_member(transfer, 0, err);
}

/* Ends the member before, and begins the next one. */
static bool next_head(struct zip_transfer *transfer, struct error *err)
{
    struct instance *instance;
    const struct transfer_syntax *to;
    bool taken = false;
    buffer_clear(&transfer->head);
    if (transfer->member.name &&
        !zip_end_member(transfer->writer, &transfer->member, &transfer->head, err))
        return false;
    transfer->member.name = NULL;
    transfer->state = transfer->is_dicomdir ? CENTRAL : BODY;
    if (transfer->is_dicomdir)
        return true;
    part10_copy_close(transfer->copy);
    transfer->copy = NULL;
    do {
        if (!next_instance(transfer, &instance, &to, err) ||
            !check_planned(transfer, instance, err) ||
            (instance && !begin_instance(transfer, instance, to, &taken, err)))
            return false;
    } while (instance && !taken);
    if (instance)
        return true;
    if (!transfer->begun)
        return error_set(err, ERROR_GONE, "the instances were deleted");
    return begin_dicomdir(transfer, err);
}

static struct piece bytes_piece(const struct buffer *buffer)
{
    struct piece piece = { .kind = PIECE_BYTES, .bytes = buffer_slice(buffer) };
    return piece;
}

static bool next_of_body(struct zip_transfer *transfer, struct piece *piece, struct error *err)
{
    if (transfer->member.crc_follows) {
        if (!read_body(transfer, &transfer->body.file, err))
            return false;
        *piece = bytes_piece(&transfer->bytes);
        if (transfer->body.file.size)
            return true;
    } else {
        *piece = transfer->body;
    }
    metric_add(METRIC_INSTANCES_SENT, !transfer->is_dicomdir);
    transfer->state = HEAD;
    return true;
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct zip_transfer *transfer = state;
    struct scratch *directory;
    *piece = (struct piece){ .kind = PIECE_END };
    switch (transfer->state) {
    case HEAD:
        if (!next_head(transfer, err))
            return false;
        *piece = bytes_piece(&transfer->head);
        return true;
    case BODY:
        return next_of_body(transfer, piece, err);
    case CENTRAL:
        transfer->state = END;
        buffer_clear(&transfer->head);
        zip_finish(transfer->writer, &directory, &transfer->head);
        return piece_of_scratch(directory, piece, err);
    case END:
        transfer->state = DONE;
        *piece = bytes_piece(&transfer->head);
        return true;
    case DONE:
        break;
    }
    return true;
}

static bool plan_member(struct zip_writer *writer, const char *name, uint64_t size,
                        struct error *err)
{
    struct buffer bytes = buffer_up_to(HEAD_SIZE);
    const struct zip_member member = { .name = name,
                                       .size = size,
                                       .crc_follows = size > CRC_FIRST };
    bool ok = zip_begin_member(writer, &member, &bytes, err) &&
              zip_end_member(writer, &member, &bytes, err);
    buffer_release(&bytes);
    return ok;
}

/* Lists what is to be sent, when all of it goes as it is stored. */
static bool list_planned(struct zip_transfer *transfer, struct error *err)
{
    struct instance *instance;
    const struct transfer_syntax *to;
    for (;;) {
        if (!next_instance(transfer, &instance, &to, err))
            return false;
        transfer->is_planned = !instance || !to;
        if (!instance || to)
            break;
        struct planned planned;
        memset(&planned, 0, sizeof(planned)); /* also between its members: it is hashed */
        memcpy(planned.instance, instance_identity(instance)->instance, UID_SIZE);
        planned.checksum = instance_checksum(instance);
        planned.stored_at_ms = instance_stored_at_ms(instance);
        buffer_append(&transfer->planned, slice_of(&planned, sizeof(planned)));
    }
    retrieve_rewind(transfer->retrieve);
    return true;
}

/* An archive that is planned is the same each time, down to the UID of its DICOMDIR: who has a part
 * of it can ask for the rest. True: the client has all of it (304). */
static bool is_known(struct zip_transfer *transfer, struct request *request,
                     struct response *response)
{
    uint8_t digest[DIGEST_SIZE];
    char uid[UID_SIZE];
    char etag[UID_SIZE + 8];
    digest_sha256(buffer_slice(&transfer->planned), digest);
    uid_make_of(digest, uid);
    snprintf(etag, sizeof(etag), "\"zip-%s\"", uid);
    dicomdir_free(transfer->dicomdir);
    transfer->dicomdir = dicomdir_new(uid, -1);
    return response_etag(response, request, etag);
}

static bool plan_instance(struct zip_transfer *transfer, struct zip_writer *writer,
                          struct instance *instance, struct error *err)
{
    const struct dataset *header;
    struct file_range file;
    if (!check_planned(transfer, instance, err) || !instance_header(instance, &header, err) ||
        !instance_file(instance, &file, err))
        return false;
    name_member(transfer, instance_identity(instance));
    return list_in_dicomdir(transfer, instance, NULL, err) &&
           plan_member(writer, transfer->name, file.size, err);
}

/* *size: how long the archive will be. */
static bool plan(struct zip_transfer *transfer, uint64_t *size, struct error *err)
{
    struct zip_writer *writer = zip_writer_new(-1);
    struct buffer end = buffer_up_to(HEAD_SIZE);
    struct instance *instance = NULL;
    const struct transfer_syntax *to;
    struct scratch *file;
    struct piece piece;
    bool ok;
    do
        ok = next_instance(transfer, &instance, &to, err) &&
             (!instance || plan_instance(transfer, writer, instance, err));
    while (ok && instance);
    ok = ok && check_planned(transfer, NULL, err) &&
         dicomdir_finish(transfer->dicomdir, &file, err) && piece_of_scratch(file, &piece, err) &&
         plan_member(writer, "DICOMDIR", piece_size(&piece), err);
    if (ok)
        zip_finish(writer, &file, &end);
    *size = zip_size(writer);
    buffer_release(&end);
    zip_writer_free(writer);
    return ok;
}

/* Back to the beginning, with a plan or without one. */
static void restart(struct zip_transfer *transfer, bool is_planned)
{
    retrieve_rewind(transfer->retrieve);
    transfer->is_planned = is_planned;
    transfer->planned_next = 0;
    transfer->series_number = 0;
    *transfer->series = '\0';
    if (!is_planned) {
        dicomdir_free(transfer->dicomdir);
        transfer->dicomdir = dicomdir_new("", -1);
    }
}

/* *size is UINT64_MAX when there is no plan. *known: the client has it, and the response is
 * filled. */
static bool prepare(struct zip_transfer *transfer, struct request *request,
                    struct response *response, uint64_t *size, bool *known, struct error *err)
{
    *size = UINT64_MAX;
    *known = false;
    if (retrieve_count(transfer->retrieve) > PLANNED_MAX)
        return true;
    if (!list_planned(transfer, err))
        return false;
    if (!transfer->is_planned)
        return true;
    if (!transfer->planned.size)
        return error_set(err, ERROR_GONE, "the instances were deleted");
    *known = is_known(transfer, request, response);
    if (*known)
        return true;
    bool ok = plan(transfer, size, err);
    /* Something was deleted between the list and the plan: the rest is sent without one. */
    if (!ok && err->code != ERROR_GONE)
        return false;
    if (!ok)
        *size = UINT64_MAX;
    restart(transfer, ok);
    return true;
}

static struct zip_transfer *new_transfer(const struct dicomweb *dicomweb,
                                         struct retrieve *retrieve_take, const char *asked)
{
    struct zip_transfer *transfer = mem_alloc(sizeof(*transfer));
    transfer->dicomweb = dicomweb;
    transfer->retrieve = retrieve_take;
    transfer->planned = buffer_up_to(PLANNED_MAX * sizeof(struct planned));
    transfer->head = buffer_up_to(HEAD_SIZE);
    transfer->bytes = buffer_up_to(READ_SIZE);
    snprintf(transfer->asked, sizeof(transfer->asked), "%s", asked);
    return transfer;
}

/* The directories of many instances do not stand in memory. */
static bool open_directories(struct zip_transfer *transfer, struct error *err)
{
    struct archive *archive = transfer->dicomweb->archive;
    int files[2] = { -1, -1 };
    bool ok = retrieve_count(transfer->retrieve) <= PLANNED_MAX ||
              (spool_file(archive, &files[0], err) && spool_file(archive, &files[1], err));
    transfer->dicomdir = dicomdir_new("", files[0]);
    transfer->writer = zip_writer_new(files[1]);
    return ok;
}

/* What a browser calls it. */
static void name_archive(struct response *response, const struct path_uids *uids)
{
    const char *uid = *uids->instance ? uids->instance : *uids->series ? uids->series : uids->study;
    char text[128];
    snprintf(text, sizeof(text), "attachment; filename=\"%s.zip\"", uid);
    response_header(response, "Content-Disposition", text);
}

bool wado_answer_zip(struct request *request, struct response *response,
                     const struct path_uids *uids, const char *asked, struct error *err)
{
    const struct dicomweb *dicomweb = request_context(request);
    const struct selection selection = { NULL, uids->study, uids->series, uids->instance };
    const char *syntax = *asked ? asked : "*";
    struct retrieve *retrieve;
    uint64_t size;
    uint64_t possible;
    bool known;
    if (!retrieve_open(dicomweb->archive, &selection, &retrieve, err))
        return false;
    struct zip_transfer *transfer = new_transfer(dicomweb, retrieve, syntax);
    uint64_t total = retrieve_count(retrieve);
    if (!wado_count_possible(retrieve, syntax, &possible, err) ||
        !open_directories(transfer, err) ||
        !prepare(transfer, request, response, &size, &known, err)) {
        close_transfer(transfer);
        return false;
    }
    if (known) {
        close_transfer(transfer);
        return true;
    }
    const struct body_source source = { next_piece, close_transfer, transfer };
    response_status(response, possible == total ? 200 : 206);
    response_content_type(response, "application/zip");
    name_archive(response, uids);
    response_stream_take(response, &source, size);
    return true;
}
