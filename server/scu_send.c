/* SPDX-License-Identifier: MIT */
/* C-STORE as SCU of files: each worker has an association and takes the next file, until there is
 * none. */
#include "server/scu_send.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "dimse/status.h"
#include "server/operation.h"
#include "server/scu.h"

enum {
    ATTEMPTS = 2,   /* of a file under which the association was lost */
    MAX_LOSSES = 3, /* in a row, before a worker gives up */
};

struct send {
    struct scu *scu;
    struct scu_files files;
    pthread_mutex_t lock; /* guards what follows, standard error and the progress */
    size_t next;
    size_t open; /* associations */
    uint64_t stored;
    uint64_t warned;
    uint64_t failed;
    uint64_t done_bytes;
    uint64_t stored_bytes;
    bool gave_up;
    struct error reason;
};

struct worker {
    struct send *send;
    pthread_t thread;
    struct association *association;
    size_t group; /* of combinations, PDU_CONTEXTS each, that the association is for */
    uint16_t message_id;
    unsigned losses;
};

static size_t count_open(struct send *send, int change)
{
    pthread_mutex_lock(&send->lock);
    send->open += (size_t)change;
    size_t open = send->open;
    pthread_mutex_unlock(&send->lock);
    return open;
}

static void hang_up(struct worker *worker)
{
    if (!worker->association)
        return;
    client_close(worker->association);
    worker->association = NULL;
    count_open(worker->send, -1);
}

/* Where others have an association, and the peer no more of them for now, there will be room when
 * they are done. */
static bool open_association(struct worker *worker, size_t group, struct error *err)
{
    struct send *send = worker->send;
    const struct scu_files *files = &send->files;
    struct proposal proposals[PDU_CONTEXTS];
    size_t count = 0;
    if (worker->association && worker->group == group &&
        !association_has_ended(worker->association))
        return true;
    hang_up(worker);
    for (size_t i = group * PDU_CONTEXTS; i < files->combination_count && count < PDU_CONTEXTS; i++)
        proposals[count++] = (struct proposal){
            .abstract_syntax = files->combinations[i].sop_class,
            .transfer_syntaxes = { files->combinations[i].transfer_syntax },
        };
    worker->group = group;
    while (!scu_open(send->scu, proposals, count, &worker->association, err))
        if (err->code != ERROR_BUSY || scu_is_interrupted() || !count_open(send, 0))
            return false;
    count_open(send, 1);
    return true;
}

static bool refuse(const struct worker *worker, const struct scu_combination *combination,
                   struct error *err)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(combination->transfer_syntax));
    const struct sop_class *class = sop_class_find(slice_text(combination->sop_class));
    if (client_takes_class(worker->association, combination->sop_class))
        return error_set(err, ERROR_UNSUPPORTED,
                         "the peer does not take transfer syntax %s, and files are sent as they "
                         "are",
                         syntax ? syntax->name : combination->transfer_syntax);
    return error_set(err, ERROR_UNSUPPORTED, "the peer does not take SOP class %s",
                     class ? class->name : combination->sop_class);
}

static bool send_once(struct worker *worker, const struct scu_file *file, int fd, uint16_t *status,
                      struct error *err)
{
    const struct scu_combination *combination =
        &worker->send->files.combinations[file->combination];
    struct command command = { .message_id = ++worker->message_id };
    struct command answer;
    const struct file_range range = { fd, file->offset, file->size };
    const struct presentation_context *context = client_context(
        worker->association, combination->sop_class, combination->transfer_syntax, ROLE_SCU);
    if (!context)
        return refuse(worker, combination, err);
    memcpy(command.sop_class, combination->sop_class, UID_SIZE);
    memcpy(command.sop_instance, file->instance, UID_SIZE);
    if (!client_store(worker->association, context, &command, &range, &answer, err))
        return false;
    *status = answer.status;
    if (answer.status == STATUS_SUCCESS || status_is_warning(answer.status))
        return true;
    return error_set(err, ERROR_MISMATCH, "status %04X%s%s", answer.status,
                     *answer.comment ? ": " : "", answer.comment);
}

/* *lost: there is no association to be had. */
static bool send_file(struct worker *worker, const struct scu_file *file, uint16_t *status,
                      bool *lost, struct error *err)
{
    bool ok = false;
    *lost = false;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "open");
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (int attempt = 0; !ok && attempt < ATTEMPTS && !scu_is_interrupted(); attempt++) {
        if (!open_association(worker, file->combination / PDU_CONTEXTS, err)) {
            /* One of which nothing is accepted says nothing of the others. */
            *lost = err->code != ERROR_UNSUPPORTED;
            break;
        }
        ok = send_once(worker, file, fd, status, err);
        if (ok || !association_has_ended(worker->association)) {
            worker->losses = 0;
            break;
        }
        *lost = ++worker->losses >= MAX_LOSSES;
        if (*lost)
            break;
    }
    close(fd);
    return ok;
}

/* With the lock held. What was under way when all was interrupted has not failed: nobody knows what
 * became of it. */
static void note(struct send *send, const struct scu_file *file, bool ok, uint16_t status,
                 const struct error *err)
{
    if (!ok && scu_is_interrupted())
        return;
    send->done_bytes += file->size;
    if (ok) {
        send->stored++;
        send->stored_bytes += file->size;
        send->warned += status != STATUS_SUCCESS;
    } else {
        send->failed++;
        progress_end(&send->scu->progress);
        fprintf(stderr, "%s: %s\n", file->path, err->message);
    }
    progress_show(&send->scu->progress, "sending", "bytes", send->done_bytes, send->files.bytes);
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct send *send = worker->send;
    pthread_mutex_lock(&send->lock);
    while (send->next < send->files.count && !send->gave_up && !scu_is_interrupted()) {
        const struct scu_file *file = &send->files.files[send->next++];
        struct error err = { .code = ERROR_NONE };
        uint16_t status = 0;
        bool lost = false;
        pthread_mutex_unlock(&send->lock);
        bool ok = send_file(worker, file, &status, &lost, &err);
        pthread_mutex_lock(&send->lock);
        note(send, file, ok, status, &err);
        if (lost && !send->gave_up) {
            send->gave_up = true;
            send->reason = err;
        }
    }
    pthread_mutex_unlock(&send->lock);
    hang_up(worker);
    return NULL;
}

static void run_workers(struct send *send)
{
    size_t count = send->scu->jobs < send->files.count ? send->scu->jobs : send->files.count;
    struct worker *workers = mem_alloc_array(count, sizeof(*workers));
    size_t started = 0;
    for (; started < count; started++) {
        workers[started].send = send;
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0)
            break;
    }
    if (!started)
        work(&workers[0]);
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    free(workers);
}

static int summary(struct send *send, int64_t took_ms)
{
    const struct scu_files *files = &send->files;
    uint64_t left = files->count - send->stored - send->failed;
    progress_end(&send->scu->progress);
    printf("%" PRIu64 " of %zu file%s stored, %s in %s", send->stored, files->count,
           files->count == 1 ? "" : "s", operation_size((double)send->stored_bytes),
           operation_duration((double)took_ms));
    if (took_ms > 0)
        printf(" (%s/s)", operation_size((double)send->stored_bytes * 1000 / (double)took_ms));
    putchar('\n');
    if (send->warned)
        printf("%" PRIu64 " of them with a warning\n", send->warned);
    if (send->failed)
        printf("%" PRIu64 " failed\n", send->failed);
    if (files->passed_over)
        printf("%" PRIu64 " are no images: passed over\n", files->passed_over);
    if (files->unreadable)
        printf("%" PRIu64 " cannot be read\n", files->unreadable);
    if (!left)
        return send->failed || files->unreadable ? SCU_FAILED : SCU_OK;
    printf("%" PRIu64 " %s\n", left,
           scu_is_interrupted() ? "not sent, or not answered" : "not tried");
    return scu_fail(send->scu, &send->reason);
}

int scu_send(struct scu *scu)
{
    struct send send = { .scu = scu, .lock = PTHREAD_MUTEX_INITIALIZER };
    struct error err = { .code = ERROR_NONE };
    int status;
    bool ok = true;
    for (size_t i = 0; ok && i < scu->word_count; i++)
        ok = scu_files_add(&send.files, scu->words[i], &err);
    scu_files_sort(&send.files);
    if (ok && scu_is_interrupted())
        ok = error_set(&err, ERROR_STOPPED, "interrupted");
    if (ok && !send.files.count)
        ok = error_set(&err, ERROR_NOT_FOUND, "there is no DICOM file");
    if (ok) {
        int64_t began_ms = clock_monotonic_ms();
        run_workers(&send);
        status = summary(&send, clock_monotonic_ms() - began_ms);
    } else {
        status = scu_fail(scu, &err);
    }
    scu_files_release(&send.files);
    return status;
}
