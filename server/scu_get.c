/* SPDX-License-Identifier: MIT */
/* C-GET as SCU: instances come by C-STORE on the same association, each into a file that is there
 * whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "dicom/part10.h"
#include "dimse/status.h"
#include "server/scu.h"

enum { PIECE = 256 << 10, META_SIZE = 4 << 10 };

struct get {
    struct scu *scu;
    struct scu_query query;
    struct proposal proposals[PDU_CONTEXTS - 1];
    size_t proposal_count;
    uint64_t received;
};

/* There are more storage classes than contexts. These come last: measurements of eyes, templates,
 * instructions, and what few make. */
static bool is_rare(const char *uid)
{
    static const char root[] = "1.2.840.10008.5.1.4.";
    static const char *const rare[] = {
        "1.1.11.10",    "1.1.11.11",    "1.1.11.12",    "1.1.11.9",     "1.1.131",
        "1.1.200.",     "1.1.201.",     "1.1.481.12",   "1.1.481.13",   "1.1.481.14",
        "1.1.481.15",   "1.1.481.16",   "1.1.481.17",   "1.1.481.18",   "1.1.481.19",
        "1.1.481.20",   "1.1.501.",     "1.1.6.3",      "1.1.601.",     "1.1.68.",
        "1.1.77.1.5.3", "1.1.77.1.5.5", "1.1.77.1.5.6", "1.1.77.1.5.7", "1.1.77.1.5.8",
        "1.1.78.",      "1.1.79.",      "1.1.80.",      "1.1.81.",      "1.1.82.",
        "1.1.88.77",    "1.1.9.100.",   "1.1.9.5.",     "1.1.9.6.",     "1.1.9.7.",
        "1.1.9.8.",     "1.1.90.",      "1.1.91.",      "34.",          "38.",
        "39.",          "43.",          "44.",          "45.",
    };
    struct slice rest = slice_skip(slice_text(uid), sizeof(root) - 1);
    for (size_t i = 0; i < sizeof(rare) / sizeof(rare[0]); i++)
        if (slice_starts_with(rest, slice_text(rare[i])))
            return true;
    return false;
}

static void propose_classes(struct get *get, bool rare)
{
    size_t count;
    const struct sop_class *classes = sop_class_all(&count);
    for (size_t i = 0; i < count && get->proposal_count < PDU_CONTEXTS - 1; i++)
        if (classes[i].kind == SOP_CLASS_STORAGE && is_rare(classes[i].uid) == rare)
            get->proposals[get->proposal_count++] = (struct proposal){
                .abstract_syntax = classes[i].uid,
                .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN },
                .roles = ROLE_SCP,
            };
}

/* As many storage classes as there is room for, in what every node can make of an image; or one
 * class in whatever syntax it may be stored. */
static void make_proposals(struct get *get)
{
    static const char *const syntaxes[] = {
        UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_BIG_ENDIAN,
        UID_DEFLATED_EXPLICIT,      UID_JPEG_BASELINE,          "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.57",   UID_JPEG_LOSSLESS_SV1,      UID_JPEG_LS_LOSSLESS,
        "1.2.840.10008.1.2.4.81",   UID_JPEG_2000_LOSSLESS,     "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.4.100",  "1.2.840.10008.1.2.4.102",  "1.2.840.10008.1.2.4.103",
        "1.2.840.10008.1.2.4.201",  "1.2.840.10008.1.2.4.202",  "1.2.840.10008.1.2.4.203",
        UID_RLE_LOSSLESS,
    };
    if (get->scu->sop_class) {
        for (size_t i = 0; i < sizeof(syntaxes) / sizeof(syntaxes[0]); i++)
            get->proposals[get->proposal_count++] = (struct proposal){
                .abstract_syntax = get->scu->sop_class,
                .transfer_syntaxes = { syntaxes[i] },
                .roles = ROLE_SCP,
            };
        return;
    }
    propose_classes(get, false);
    propose_classes(get, true);
}

static bool write_all(int fd, const uint8_t *data, size_t size, struct error *err)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return error_set_errno(err, errno, "write");
        data += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_meta(const struct message *message, const char *calling_ae, int fd,
                       struct error *err)
{
    struct file_meta meta = { .size = 0 };
    struct buffer bytes = buffer_up_to(META_SIZE);
    memcpy(meta.sop_class, message->command.sop_class, UID_SIZE);
    memcpy(meta.sop_instance, message->command.sop_instance, UID_SIZE);
    memcpy(meta.transfer_syntax, message->context->transfer_syntax, UID_SIZE);
    strncpy(meta.source_ae, calling_ae, sizeof(meta.source_ae) - 1);
    file_meta_write(&meta, &bytes);
    bool ok = write_all(fd, bytes.data, bytes.size, err);
    buffer_release(&bytes);
    return ok;
}

/* The data set, to its end whatever becomes of the file. False when the association has ended. */
static bool copy_data(struct message *message, int fd, struct error *failure, struct error *err)
{
    uint8_t *piece = mem_alloc(PIECE);
    bool ok = true;
    for (size_t available, received; ok;) {
        ok = message_available(message, &available, err);
        if (!ok || !available)
            break;
        size_t size = available < PIECE ? available : PIECE;
        ok = message_read(message, (struct space){ piece, size }, &received, err);
        if (ok && failure->code == ERROR_NONE)
            write_all(fd, piece, received, failure);
    }
    free(piece);
    return ok;
}

/* False when the association has ended; `failure` when the file could not be written. */
static bool save(struct get *get, struct message *message, struct error *failure, struct error *err)
{
    const char *uid = message->command.sop_instance;
    char *path = mem_format("%s/%s.dcm", get->scu->folder, uid);
    char *partial = mem_format("%s/.%s.partial", get->scu->folder, uid);
    int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        error_set_errno(failure, errno, "%.150s", partial);
    else
        write_meta(message, get->scu->options.called_ae, fd, failure);
    bool ok = copy_data(message, fd, failure, err);
    if (ok && failure->code == ERROR_NONE && fdatasync(fd) < 0)
        error_set_errno(failure, errno, "%.150s", partial);
    if (fd >= 0)
        close(fd);
    if (ok && failure->code == ERROR_NONE && rename(partial, path) < 0)
        error_set_errno(failure, errno, "%.150s", path);
    if (fd >= 0 && (!ok || failure->code != ERROR_NONE))
        unlink(partial);
    free(partial);
    free(path);
    return ok;
}

/* The instance that a C-STORE-RQ brings. */
static bool take_instance(struct get *get, struct message *message, struct error *err)
{
    struct error failure = { .code = ERROR_NONE };
    struct status status = { .code = STATUS_SUCCESS };
    const struct command *command = &message->command;
    if (!*command->sop_instance || !*command->sop_class || !command->has_data_set) {
        status = status_make(STATUS_INVALID_ARGUMENT, "no SOP class, instance or data set");
        return message_drain(message, err) && message_respond(message, &status, err);
    }
    if (!save(get, message, &failure, err))
        return false;
    if (failure.code == ERROR_NONE) {
        get->received++;
        return message_respond(message, &status, err);
    }
    progress_end(&get->scu->progress);
    fprintf(stderr, "%s: %s\n", command->sop_instance, failure.message);
    status = status_make(STATUS_OUT_OF_RESOURCES, "cannot be written");
    return message_respond(message, &status, err);
}

static bool run(struct get *get, struct command *last, struct error *err)
{
    struct scu_query *query = &get->query;
    if (mkdir(get->scu->folder, 0777) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "%.150s", get->scu->folder);
    make_proposals(get);
    if (!scu_query_begin(get->scu, query, SCU_GET, get->proposals, get->proposal_count, err))
        return false;
    for (;;) {
        struct message message;
        if (!client_receive(query->association, &message, err))
            return false;
        if (message.command.field == C_STORE_RQ) {
            if (!take_instance(get, &message, err))
                return false;
            continue;
        }
        if (message.command.field != (C_GET_RQ | COMMAND_RESPONSE))
            return association_refuse(query->association, ABORT_NOT_SPECIFIED,
                                      "the peer answered another request", err);
        if (!message_drain(&message, err))
            return false;
        *last = message.command;
        scu_query_progress(get->scu, last, "fetching");
        if (last->status != STATUS_PENDING)
            return true;
    }
}

int scu_get(struct scu *scu)
{
    static struct get get; /* large, and there is one */
    struct command last = { .status = 0 };
    struct error err;
    get.scu = scu;
    if (!scu_query_keys(scu, &get.query, &err))
        return scu_misuse(scu, &err);
    bool ok = run(&get, &last, &err);
    scu_query_end(&get.query);
    return ok ? scu_query_summary(scu, &last, "fetched") : scu_fail(scu, &err);
}
