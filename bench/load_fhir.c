/* SPDX-License-Identifier: MIT */
/* A FHIR server that keeps nothing, as the bound of what a cast is told:
 *   load_fhir HOST:PORT
 * It finds no Patient and no ImagingStudy, every Endpoint, and takes every transaction. GET /count
 * is answered with what it heard, as one line of JSON. */
#include "bench/load.h"

#include <ctype.h>
#include <stdatomic.h>

enum { LINE_SIZE = 8192, ANSWER_SIZE = 64 << 10, MAX_BODY = 256 << 20 };

static struct {
    atomic_ullong searches, transactions, entries, bytes, others;
} count;

struct connection {
    FILE *from;
    int fd;
    char line[LINE_SIZE];
    char *body;
    size_t room;
};

static void answer(struct connection *connection, const char *body)
{
    char head[256];
    size_t size = strlen(body);
    int head_size = snprintf(head, sizeof(head),
                             "HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n"
                             "Content-Length: %zu\r\n\r\n",
                             size);
    struct iovec parts[] = { { head, (size_t)head_size }, { (void *)(uintptr_t)body, size } };
    load_write(connection->fd, parts, 2);
}

/* The headers; false at the end. *size: of the body. */
static bool skip_headers(struct connection *connection, size_t *size)
{
    char line[LINE_SIZE];
    *size = 0;
    while (fgets(line, sizeof(line), connection->from)) {
        if (!strncasecmp(line, "Content-Length:", 15))
            *size = strtoul(line + 15, NULL, 10);
        if (!strcasecmp(line, "Expect: 100-continue\r\n")) {
            struct iovec part = { (void *)(uintptr_t) "HTTP/1.1 100 Continue\r\n\r\n", 25 };
            load_write(connection->fd, &part, 1);
        }
        if (*line == '\r')
            return *size <= MAX_BODY;
    }
    return false;
}

static bool read_body(struct connection *connection, size_t size)
{
    if (size + 1 > connection->room) {
        connection->room = size + 1;
        connection->body = realloc(connection->body, connection->room);
        if (!connection->body)
            load_fail("memory");
    }
    if (fread(connection->body, 1, size, connection->from) != size)
        return false;
    connection->body[size] = 0;
    return true;
}

/* "system%7Cvalue", also escaped for FHIR, as two texts; without what JSON would have to escape. */
static void decode(const char *text, char *system, char *value, size_t size)
{
    char *to = system;
    char *end = system + size - 1;
    while (*text && *text != '&' && *text != ' ' && to < end) {
        unsigned byte = (unsigned char)*text++;
        if (byte == '%' && isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1])) {
            const char digits[] = { text[0], text[1], 0 };
            byte = (unsigned)strtoul(digits, NULL, 16);
            text += 2;
        }
        if (byte == '|' && to < end && *system && end == system + size - 1) {
            *to = 0;
            to = value;
            end = value + size - 1;
        } else if (byte >= ' ' && byte != '"' && byte != '\\') {
            *to++ = (char)byte;
        }
    }
    *to = 0;
}

static void answer_search(struct connection *connection, const char *path)
{
    char body[ANSWER_SIZE], system[1024] = "", value[1024] = "";
    const char *identifier = strstr(path, "identifier=");
    atomic_fetch_add(&count.searches, 1);
    if (!strstr(path, "Endpoint?") || !identifier) {
        answer(connection, "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":0}");
        return;
    }
    decode(identifier + 11, system, value, sizeof(system));
    snprintf(body, sizeof(body),
             "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"entry\":[{\"resource\":{"
             "\"resourceType\":\"Endpoint\",\"id\":\"%zu\",\"identifier\":[{\"system\":\"%s\","
             "\"value\":\"%s\"}]}}]}",
             strlen(value), system, value);
    answer(connection, body);
}

static void answer_transaction(struct connection *connection, size_t size)
{
    char body[ANSWER_SIZE];
    size_t entries = 0, used;
    const char *at = connection->body;
    while ((at = strstr(at, "\"fullUrl\""))) {
        entries++;
        at++;
    }
    atomic_fetch_add(&count.transactions, 1);
    atomic_fetch_add(&count.entries, entries);
    atomic_fetch_add(&count.bytes, size);
    used = (size_t)snprintf(body, sizeof(body),
                            "{\"resourceType\":\"Bundle\",\"type\":\"transaction-response\","
                            "\"entry\":[");
    for (size_t i = 0; i < entries && used < sizeof(body) - 100; i++)
        used += (size_t)snprintf(body + used, sizeof(body) - used,
                                 "%s{\"response\":{\"status\":\"201 Created\"}}", i ? "," : "");
    snprintf(body + used, sizeof(body) - used, "]}");
    answer(connection, body);
}

static void answer_count(struct connection *connection)
{
    char body[512];
    snprintf(body, sizeof(body),
             "{\"searches\": %llu, \"transactions\": %llu, \"entries\": %llu, \"bytes\": %llu, "
             "\"others\": %llu}\n",
             atomic_load(&count.searches), atomic_load(&count.transactions),
             atomic_load(&count.entries), atomic_load(&count.bytes), atomic_load(&count.others));
    answer(connection, body);
}

static void *serve(void *context)
{
    struct connection connection = { .fd = (int)(intptr_t)context };
    size_t size;
    load_no_delay(connection.fd);
    connection.from = fdopen(dup(connection.fd), "rb");
    while (connection.from && fgets(connection.line, sizeof(connection.line), connection.from) &&
           skip_headers(&connection, &size) && read_body(&connection, size)) {
        if (!strncmp(connection.line, "GET /count ", 11)) {
            answer_count(&connection);
        } else if (!strncmp(connection.line, "GET ", 4) && strstr(connection.line, "/metadata")) {
            answer(&connection,
                   "{\"resourceType\":\"CapabilityStatement\",\"fhirVersion\":\"4.0.1\"}");
        } else if (!strncmp(connection.line, "GET ", 4)) {
            answer_search(&connection, connection.line);
        } else if (!strncmp(connection.line, "POST ", 5)) {
            answer_transaction(&connection, size);
        } else {
            atomic_fetch_add(&count.others, 1);
            answer(&connection, "{}");
        }
    }
    if (connection.from)
        fclose(connection.from);
    close(connection.fd);
    free(connection.body);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "load_fhir HOST:PORT\n");
        return 2;
    }
    int listening = load_listen(argv[1]);
    for (;;) {
        pthread_t thread = 0;
        int fd = accept(listening, NULL, NULL);
        if (fd < 0 || pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd))
            load_fail("accept");
        pthread_detach(thread);
    }
}
