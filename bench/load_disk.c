/* SPDX-License-Identifier: MIT */
/* What the disk gives: durable appends of one size to one preallocated file, past the page cache,
 * where one fdatasync serves all who wait for it. load_disk FOLDER THREADS COUNT BYTES */
#include <fcntl.h>

#include "bench/load.h"

static struct {
    int fd;
    size_t size; /* of an append */
    unsigned count;
    size_t threads;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t next;    /* appends begun; this and the rest are guarded by lock */
    uint64_t written; /* sequence of writes that have ended */
    uint64_t durable; /* of these, durable */
    bool syncing;
    pthread_barrier_t ready;
} load = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static struct load_worker workers[LOAD_MAX_CONNECTIONS];

static void make_durable(void)
{
    pthread_mutex_lock(&load.lock);
    uint64_t mine = ++load.written;
    while (load.durable < mine) {
        if (load.syncing) {
            pthread_cond_wait(&load.changed, &load.lock);
            continue;
        }
        uint64_t until = load.written;
        load.syncing = true;
        pthread_mutex_unlock(&load.lock);
        if (fdatasync(load.fd))
            load_fail("fdatasync");
        pthread_mutex_lock(&load.lock);
        load.durable = until;
        load.syncing = false;
        pthread_cond_broadcast(&load.changed);
    }
    pthread_mutex_unlock(&load.lock);
}

static void *append(void *context)
{
    struct load_worker *worker = context;
    void *bytes;
    if (posix_memalign(&bytes, 4096, load.size))
        load_fail("memory");
    memset(bytes, (int)worker->number + 1, load.size);
    pthread_barrier_wait(&load.ready);
    for (;;) {
        pthread_mutex_lock(&load.lock);
        uint64_t place = load.next++;
        pthread_mutex_unlock(&load.lock);
        if (place >= load.count)
            break;
        double begun = load_now();
        if (pwrite(load.fd, bytes, load.size, (off_t)(place * load.size)) != (ssize_t)load.size)
            load_fail("write");
        make_durable();
        load_sample(worker, begun);
        worker->done++;
        worker->bytes += load.size;
    }
    free(bytes);
    return NULL;
}

int main(int argc, char **argv)
{
    char name[4096];
    if (argc != 5 || atoi(argv[2]) < 1 || atoi(argv[2]) > LOAD_MAX_CONNECTIONS) {
        fprintf(stderr, "load_disk FOLDER THREADS COUNT BYTES\n");
        return 2;
    }
    load.threads = (size_t)atoi(argv[2]);
    load.count = (unsigned)atoi(argv[3]);
    load.size = ((size_t)atol(argv[4]) + 4095) & ~(size_t)4095;
    snprintf(name, sizeof(name), "%s/load_disk.tmp", argv[1]);
    load.fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (load.fd < 0) /* a file system without O_DIRECT */
        load.fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (load.fd < 0 || posix_fallocate(load.fd, 0, (off_t)(load.count * load.size)))
        load_fail(name);
    pthread_barrier_init(&load.ready, NULL, (unsigned)load.threads + 1);
    for (size_t i = 0; i < load.threads; i++) {
        workers[i].number = i;
        if (pthread_create(&workers[i].thread, NULL, append, &workers[i]))
            load_fail("thread");
    }
    pthread_barrier_wait(&load.ready);
    double begun = load_now();
    for (size_t i = 0; i < load.threads; i++)
        pthread_join(workers[i].thread, NULL);
    load_report(workers, load.threads, load_now() - begun);
    close(load.fd);
    unlink(name);
    return 0;
}
