/* SPDX-License-Identifier: MIT */
/* How fast blobs and commits become durable.
 *     storage_bench FOLDER SIZE... [--threads 1,4,8] [--seconds 3]
 * Makes FOLDER, and leaves it for who wants to look. For each size and number of threads: blobs
 * written and finished per second, then commits per second of 12 small keys and a feed entry. */

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/memory.h"
#include "storage/feed.h"
#include "storage/transaction.h"

enum { THREADS_MAX = 64, KEYS = 12 };

struct worker {
    struct storage *storage;
    pthread_t thread;
    unsigned number;
    size_t size;
    const uint8_t *bytes;
    int64_t until_us;
    uint64_t done;
    bool failed;
};

static bool write_blob(struct worker *worker, struct error *err)
{
    struct blob_writer *writer = NULL;
    struct blob_id id;
    if (!blob_writer_open(worker->storage, slice_text("1.2.3"), &writer, err))
        return false;
    bool ok = blob_writer_write(writer, slice_of(worker->bytes, worker->size), err) &&
              blob_writer_finish(writer, &id, err);
    blob_writer_close(writer);
    return ok;
}

static bool commit(struct worker *worker, struct error *err)
{
    struct transaction *transaction = NULL;
    char key[64];
    if (!transaction_open(worker->storage, &transaction, err))
        return false;
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "%02d/1.2.840.10008.%u.%" PRIu64, i, worker->number,
                 worker->done);
        transaction_put(transaction, i < 4 ? TABLE_RECORD : TABLE_TERM, slice_text(key),
                        slice_take(slice_of(worker->bytes, 4096), i < 4 ? 200 : 0));
    }
    transaction_append_feed(transaction, slice_text(key));
    bool ok = transaction_commit(transaction, err);
    transaction_close(transaction);
    return ok;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct error err = { 0 };
    while (!worker->failed && clock_monotonic_us() < worker->until_us) {
        worker->failed = worker->size ? !write_blob(worker, &err) : !commit(worker, &err);
        worker->done++;
    }
    if (worker->failed)
        fprintf(stderr, "%s\n", err.message);
    return NULL;
}

static double processor_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Size 0 measures commits. */
static bool measure(struct storage *storage, size_t size, const uint8_t *bytes, unsigned threads,
                    double seconds)
{
    static struct worker workers[THREADS_MAX];
    uint64_t done = 0;
    bool ok = true;
    double processor = processor_seconds();
    int64_t begin = clock_monotonic_us();
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){ .storage = storage,
                                      .number = i,
                                      .size = size,
                                      .bytes = bytes,
                                      .until_us = begin + (int64_t)(seconds * 1e6) };
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return false;
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        ok = ok && !workers[i].failed;
    }
    double elapsed = 1e-6 * (double)(clock_monotonic_us() - begin);
    double each_us = (processor_seconds() - processor) / (double)done * 1e6;
    char what[32] = "commits";
    if (size)
        snprintf(what, sizeof(what), "blobs of %zu", size);
    printf("%-20s threads=%-2u %8.0f/s %7.1f MB/s %6.0f us of processor each\n", what, threads,
           (double)done / elapsed, (double)done * (double)size / elapsed / 1e6, each_us);
    fflush(stdout);
    return ok;
}

struct arguments {
    const char *folder;
    size_t sizes[16];
    size_t size_count;
    unsigned threads[16];
    size_t thread_count;
    double seconds;
};

static void parse_threads(const char *text, struct arguments *arguments)
{
    arguments->thread_count = 0;
    while (*text && arguments->thread_count < 16) {
        char *end;
        unsigned long count = strtoul(text, &end, 10);
        if (end == text)
            return;
        if (count && count <= THREADS_MAX)
            arguments->threads[arguments->thread_count++] = (unsigned)count;
        text = *end == ',' ? end + 1 : end;
    }
}

static bool parse(int count, char **values, struct arguments *arguments)
{
    *arguments = (struct arguments){ .threads = { 1, 4, 8 }, .thread_count = 3, .seconds = 3 };
    for (int i = 1; i < count; i++) {
        if (strcmp(values[i], "--threads") == 0 && i + 1 < count)
            parse_threads(values[++i], arguments);
        else if (strcmp(values[i], "--seconds") == 0 && i + 1 < count)
            arguments->seconds = strtod(values[++i], NULL);
        else if (!arguments->folder)
            arguments->folder = values[i];
        else if (arguments->size_count < 16)
            arguments->sizes[arguments->size_count++] = strtoull(values[i], NULL, 10);
    }
    return arguments->folder && arguments->thread_count && arguments->seconds > 0;
}

int main(int count, char **values)
{
    struct arguments arguments;
    struct error err = { 0 };
    struct storage *storage = NULL;
    size_t largest = 4096;
    bool ok = true;
    if (!parse(count, values, &arguments)) {
        fprintf(stderr, "storage_bench FOLDER SIZE... [--threads 1,4,8] [--seconds 3]\n");
        return 2;
    }
    struct storage_options options = { .path = arguments.folder };
    if (!storage_open(&options, &storage, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (size_t i = 0; i < arguments.size_count; i++)
        largest = arguments.sizes[i] > largest ? arguments.sizes[i] : largest;
    uint8_t *bytes = mem_alloc(largest);
    for (size_t i = 0; i < largest; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    for (size_t i = 0; i < arguments.size_count && ok; i++)
        for (size_t j = 0; j < arguments.thread_count && ok; j++)
            ok = arguments.sizes[i] == 0 || measure(storage, arguments.sizes[i], bytes,
                                                    arguments.threads[j], arguments.seconds);
    for (size_t j = 0; j < arguments.thread_count && ok; j++)
        ok = measure(storage, 0, bytes, arguments.threads[j], arguments.seconds);
    storage_close(storage);
    free(bytes);
    return ok ? 0 : 1;
}
