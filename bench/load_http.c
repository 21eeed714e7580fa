/* SPDX-License-Identifier: MIT */
/* HTTP clients that load a server, and a bare one to compare with:
 *   load_http get HOST:PORT CONNECTIONS SECONDS ACCEPT CODING PATHS-FILE
 *       GET of the paths of a file, one a line, in turn; CODING is an Accept-Encoding
 *   load_http stow HOST:PORT CONNECTIONS PATH ROOT STUDIES INSTANCES PIXELS PARTS
 *       STOW-RS of INSTANCES synthetic images in each of STUDIES, PARTS of one study in a request
 *   load_http serve HOST:PORT
 *       answers GET /BYTES from memory: the bound of the programs themselves
 * One line of JSON tells the result. */
#include "bench/instances.h"
#include "bench/load.h"

enum { HEAD_ROOM = 16 << 10, READ_SIZE = 256 << 10, MAX_PATHS = 100000 };

#define BOUNDARY "load-boundary"

static struct {
    const char *to;
    size_t connections;
    double seconds;
    const char *accept;
    const char *coding;
    char **paths;
    size_t path_count;
    const char *path;
    const char *root;
    unsigned studies;
    unsigned instances;
    unsigned parts;
    size_t pixels;
    pthread_barrier_t ready;
} load;

static struct load_worker workers[LOAD_MAX_CONNECTIONS];

/* A connection and what was read of it ahead. */
struct connection {
    int fd;
    char *buffer;
    size_t begin;
    size_t end;
};

static bool fill(struct connection *connection)
{
    if (connection->begin == connection->end)
        connection->begin = connection->end = 0;
    if (connection->end == READ_SIZE) {
        memmove(connection->buffer, connection->buffer + connection->begin,
                connection->end - connection->begin);
        connection->end -= connection->begin;
        connection->begin = 0;
    }
    ssize_t got = recv(connection->fd, connection->buffer + connection->end,
                       READ_SIZE - connection->end, 0);
    if (got <= 0)
        return false;
    connection->end += (size_t)got;
    return true;
}

static bool skip(struct connection *connection, uint64_t size)
{
    for (;;) {
        size_t there = connection->end - connection->begin;
        size_t now = size < there ? (size_t)size : there;
        connection->begin += now;
        size -= now;
        if (!size)
            return true;
        if (!fill(connection))
            return false;
    }
}

/* A line without its end, in place. */
static char *read_line(struct connection *connection)
{
    for (;;) {
        char *line = connection->buffer + connection->begin;
        char *end = memchr(line, '\n', connection->end - connection->begin);
        if (end) {
            connection->begin += (size_t)(end + 1 - line);
            *end = '\0';
            if (end > line && end[-1] == '\r')
                end[-1] = '\0';
            return line;
        }
        if (connection->end - connection->begin >= HEAD_ROOM || !fill(connection))
            return NULL;
    }
}

static bool skip_chunks(struct connection *connection, uint64_t *bytes)
{
    for (;;) {
        const char *line = read_line(connection);
        if (!line)
            return false;
        uint64_t size = strtoull(line, NULL, 16);
        *bytes += size;
        if (!size)
            return read_line(connection) != NULL;
        if (!skip(connection, size + 2))
            return false;
    }
}

/* The status; 0 when the connection broke. */
static int read_answer(struct connection *connection, uint64_t *bytes)
{
    const char *line = read_line(connection);
    uint64_t length = 0;
    bool chunked = false;
    int status = 0;
    if (!line || sscanf(line, "HTTP/1.1 %d", &status) != 1)
        return 0;
    while ((line = read_line(connection)) && *line) {
        if (!strncasecmp(line, "Content-Length:", 15))
            length = strtoull(line + 15, NULL, 10);
        if (!strncasecmp(line, "Transfer-Encoding:", 18))
            chunked = true;
    }
    if (!line)
        return 0;
    if (chunked)
        return skip_chunks(connection, bytes) ? status : 0;
    *bytes += length;
    return skip(connection, length) ? status : 0;
}

static struct connection connect_to(const char *to)
{
    struct connection connection = { load_connect(to), load_memory(READ_SIZE), 0, 0 };
    return connection;
}

static void disconnect(struct connection *connection)
{
    close(connection->fd);
    free(connection->buffer);
}

static void *get(void *context)
{
    struct load_worker *worker = context;
    struct connection connection = connect_to(load.to);
    size_t next = worker->number * load.path_count / load.connections;
    pthread_barrier_wait(&load.ready);
    for (double end = load_now() + load.seconds; load_now() < end;) {
        char head[4096];
        int size = snprintf(head, sizeof(head),
                            "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\nAccept-Encoding: "
                            "%s\r\n\r\n",
                            load.paths[next], load.to, load.accept, load.coding);
        next = (next + 1) % load.path_count;
        struct iovec part = { head, (size_t)size };
        double begun = load_now();
        int status = load_write(connection.fd, &part, 1) ? read_answer(&connection, &worker->bytes)
                                                         : 0;
        if (!status) {
            worker->failed++;
            break;
        }
        load_sample(worker, begun);
        if (status == 200)
            worker->done++;
        else
            worker->failed++;
    }
    disconnect(&connection);
    return NULL;
}

static size_t body_room(void)
{
    return (instance_room(load.pixels) + 256) * load.parts + 64;
}

/* One request with the instances from `first` on. */
static bool stow_one(struct connection *connection, uint8_t *body, unsigned study, unsigned first,
                     struct load_worker *worker)
{
    static const char part_head[] = "--" BOUNDARY "\r\nContent-Type: application/dicom\r\n\r\n";
    static const char end[] = "--" BOUNDARY "--\r\n";
    char head[1024];
    size_t size = 0;
    unsigned count = load.instances - first < load.parts ? load.instances - first : load.parts;
    uint64_t answer_bytes = 0;
    /* What an earlier body left must not stand in the pixels of this one: it holds boundaries. */
    memset(body, 0, body_room());
    for (unsigned i = first; i < first + count; i++) {
        struct instance_uids uids;
        instance_uids(load.root, study, i, &uids);
        memcpy(body + size, part_head, sizeof(part_head) - 1);
        size += sizeof(part_head) - 1;
        size += instance_write_file(body + size, &uids, study, i, 1, load.pixels);
        memcpy(body + size, "\r\n", 2);
        size += 2;
    }
    memcpy(body + size, end, sizeof(end) - 1);
    size += sizeof(end) - 1;
    int head_size = snprintf(head, sizeof(head),
                             "POST %s HTTP/1.1\r\nHost: %s\r\nAccept: application/dicom+json\r\n"
                             "Content-Type: multipart/related; type=\"application/dicom\"; "
                             "boundary=" BOUNDARY "\r\nContent-Length: %zu\r\n\r\n",
                             load.path, load.to, size);
    struct iovec parts[] = { { head, (size_t)head_size }, { body, size } };
    double begun = load_now();
    int status = load_write(connection->fd, parts, 2) ? read_answer(connection, &answer_bytes) : 0;
    load_sample(worker, begun);
    worker->bytes += size;
    if (status == 200)
        worker->done += count;
    else
        worker->failed += count;
    return status != 0;
}

static void *stow(void *context)
{
    struct load_worker *worker = context;
    struct connection connection = connect_to(load.to);
    uint8_t *body = load_memory(body_room());
    bool ok = true;
    pthread_barrier_wait(&load.ready);
    for (unsigned study = (unsigned)worker->number; ok && study < load.studies;
         study += (unsigned)load.connections)
        for (unsigned first = 0; ok && first < load.instances; first += load.parts)
            ok = stow_one(&connection, body, study, first, worker);
    disconnect(&connection);
    free(body);
    return NULL;
}

static void *answer_all(void *context)
{
    struct connection connection = { (int)(intptr_t)context, load_memory(READ_SIZE), 0, 0 };
    uint8_t *bytes = NULL;
    size_t room = 0;
    const char *line;
    load_no_delay(connection.fd);
    while ((line = read_line(&connection))) {
        char head[256];
        size_t size = strncmp(line, "GET /", 5) ? 0 : strtoul(line + 5, NULL, 10);
        while ((line = read_line(&connection)) && *line)
            continue;
        if (!line || size > 1 << 30)
            break;
        if (size > room) {
            free(bytes);
            room = size;
            bytes = malloc(room);
            memset(bytes, 0x5A, room);
        }
        int head_size = snprintf(head, sizeof(head),
                                 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
        struct iovec parts[] = { { head, (size_t)head_size }, { bytes, size } };
        if (!load_write(connection.fd, parts, 2))
            break;
    }
    free(bytes);
    disconnect(&connection);
    return NULL;
}

static _Noreturn void serve(const char *at)
{
    int listening = load_listen(at);
    for (;;) {
        pthread_t thread;
        int fd = accept(listening, NULL, NULL);
        if (fd < 0 || pthread_create(&thread, NULL, answer_all, (void *)(intptr_t)fd))
            load_fail("accept");
        pthread_detach(thread);
    }
}

static void read_paths(const char *name)
{
    char line[2048];
    FILE *file = fopen(name, "r");
    if (!file)
        load_fail(name);
    load.paths = load_memory(MAX_PATHS * sizeof(*load.paths));
    while (load.path_count < MAX_PATHS && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\r\n")] = '\0';
        load.paths[load.path_count++] = strdup(line);
    }
    fclose(file);
    if (!load.path_count) {
        fprintf(stderr, "%s names no path\n", name);
        exit(2);
    }
}

static int run(void *(*work)(void *context))
{
    return load_run(workers, load.connections, &load.ready, work);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 2 ? argv[1] : "";
    if (!strcmp(mode, "serve"))
        serve(argv[2]);
    load.to = argc > 2 ? argv[2] : "";
    load.connections = argc > 3 ? load_number(argv[3]) : 0;
    if (!strcmp(mode, "get") && argc == 8) {
        load.seconds = atof(argv[4]);
        load.accept = argv[5];
        load.coding = argv[6];
        read_paths(argv[7]);
        return run(get);
    }
    if (!strcmp(mode, "stow") && argc == 10) {
        load.path = argv[4];
        load.root = argv[5];
        load.studies = load_number(argv[6]);
        load.instances = load_number(argv[7]);
        load.pixels = load_number(argv[8]);
        load.parts = load_number(argv[9]);
        return load.parts ? run(stow) : 2;
    }
    fprintf(stderr, "see the beginning of bench/load_http.c\n");
    return 2;
}
