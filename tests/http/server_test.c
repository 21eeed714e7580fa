/* SPDX-License-Identifier: MIT */
#include "http/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/compress.h"
#include "http/exchange.h"
#include "tests/test.h"

/* --- a service with one route per behaviour --- */

static atomic_int open_streams; /* body sources not yet closed */
static atomic_int open_states;  /* request states not yet closed */
static atomic_int cut_uploads;
static atomic_bool slow_begun;

/* What a request leaves behind is freed a moment after the client has its answer. */
static int settled(atomic_int *count)
{
    for (unsigned turn = 0; atomic_load(count) && test_wait(&turn);)
        ;
    return atomic_load(count);
}

static void hello(struct request *request, struct response *response)
{
    (void)request;
    response_text(response, 200, "hello");
}

static void item(struct request *request, struct response *response)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    response_text(response, 200, "%s|%s|%s|%zu|%s", request_parameter(request, "id"),
                  request_query_value(request, "q") ? request_query_value(request, "q") : "-",
                  request_base_url(request), count, count ? pairs[0].raw : "-");
}

static atomic_int left_alone; /* handlers that saw their client go */

/* Works until nobody waits for it. */
static void work_on(struct request *request, struct response *response)
{
    for (int i = 0; i < 6000 && request_client_is_there(request); i++)
        usleep(5000);
    if (!request_client_is_there(request))
        atomic_fetch_add(&left_alone, 1);
    response_text(response, 200, "done");
}

static void look_for_client(struct request *request, struct response *response)
{
    response_text(response, 200, "%s", request_client_is_there(request) ? "there" : "gone");
}

static void respond_never(struct request *request, struct response *response)
{
    (void)request;
    (void)response;
}

/* Counts and sums what it is sent. */
struct upload {
    uint64_t size;
    uint32_t sum;
};

static bool upload_open(struct request *request, struct response *response)
{
    if (request_header(request, "X-Refuse")) {
        response_error(response, request, 415, "not this type");
        return false;
    }
    request_set_state(request, mem_alloc(sizeof(struct upload)));
    atomic_fetch_add(&open_states, 1);
    return true;
}

static bool upload_body(struct request *request, struct slice piece)
{
    struct upload *upload = request_state(request);
    upload->size += piece.size;
    for (size_t i = 0; i < piece.size; i++)
        upload->sum = upload->sum * 31 + piece.data[i];
    return upload->size < 100 || !request_header(request, "X-Stop");
}

static void upload_respond(struct request *request, struct response *response)
{
    struct upload *upload = request_state(request);
    response_text(response, 200, "%llu %u", (unsigned long long)upload->size, upload->sum);
}

static void upload_close(struct request *request, bool complete)
{
    if (!request_state(request))
        return;
    free(request_state(request));
    atomic_fetch_sub(&open_states, 1);
    if (!complete)
        atomic_fetch_add(&cut_uploads, 1);
}

/* Pieces of both kinds, in turn; fails where it is told to. */
struct pieces {
    int fd;
    int next;
    int count;
    int fail_at;
    char text[32];
};

static bool pieces_next(void *state, struct piece *piece, struct error *err)
{
    struct pieces *pieces = state;
    int index = pieces->next++;
    if (index == pieces->fail_at)
        return error_set(err, ERROR_IO, "the disk is gone");
    if (index == pieces->count) {
        piece->kind = PIECE_END;
    } else if (index % 2 == 0) {
        snprintf(pieces->text, sizeof(pieces->text), "<%03d>", index);
        piece->kind = PIECE_BYTES;
        piece->bytes = slice_text(pieces->text);
    } else {
        piece->kind = PIECE_FILE;
        piece->file = (struct file_range){ pieces->fd, (uint64_t)index, 5 };
    }
    return true;
}

static void pieces_close(void *state)
{
    struct pieces *pieces = state;
    close(pieces->fd);
    free(pieces);
    atomic_fetch_sub(&open_streams, 1);
}

static int open_alphabet(void)
{
    char path[] = "/tmp/hounsfield-http-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    if (fd < 0 || write(fd, "abcdefghijklmnopqrstuvwxyz", 26) != 26)
        abort();
    return fd;
}

static int number(const struct request *request, const char *name, int otherwise)
{
    const char *text = request_query_value(request, name);
    return text ? (int)strtol(text, NULL, 10) : otherwise;
}

static void stream(struct request *request, struct response *response)
{
    struct pieces *pieces = mem_alloc(sizeof(*pieces));
    pieces->fd = open_alphabet();
    pieces->count = number(request, "count", 4);
    pieces->fail_at = number(request, "fail", -1);
    struct body_source source = { pieces_next, pieces_close, pieces };
    uint64_t size = request_query_value(request, "sized") ? (uint64_t)pieces->count * 5
                                                          : UINT64_MAX;
    atomic_fetch_add(&open_streams, 1);
    response_status(response, 200);
    response_content_type(response, "text/plain");
    response_stream_take(response, &source, size);
}

/* One range of a file, of `size` bytes from the second on; "beyond" makes it longer than the file.
 */
struct range {
    int fd;
    uint64_t size;
    bool given;
};

static bool range_next(void *state, struct piece *piece, struct error *err)
{
    (void)err;
    struct range *range = state;
    piece->kind = range->given ? PIECE_END : PIECE_FILE;
    piece->file = (struct file_range){ range->fd, 1, range->size };
    range->given = true;
    return true;
}

static void range_close(void *state)
{
    struct range *range = state;
    close(range->fd);
    free(range);
    atomic_fetch_sub(&open_streams, 1);
}

static void file(struct request *request, struct response *response)
{
    struct range *range = mem_alloc(sizeof(*range));
    range->fd = open_alphabet();
    range->size = (uint64_t)number(request, "size", 10);
    struct body_source source = { range_next, range_close, range };
    atomic_fetch_add(&open_streams, 1);
    response_status(response, 200);
    response_stream_take(response, &source, range->size);
}

static bool zeros_next(void *state, struct piece *piece, struct error *err)
{
    (void)err;
    static const uint8_t zeros[64 << 10];
    uint64_t *left = state;
    piece->kind = *left ? PIECE_BYTES : PIECE_END;
    piece->bytes = slice_of(zeros, *left < sizeof(zeros) ? *left : sizeof(zeros));
    *left -= piece->bytes.size;
    return true;
}

static void zeros_close(void *state)
{
    free(state);
    atomic_fetch_sub(&open_streams, 1);
}

static void large(struct request *request, struct response *response)
{
    (void)request;
    uint64_t *left = mem_alloc(sizeof(*left));
    *left = (uint64_t)1 << 30;
    struct body_source source = { zeros_next, zeros_close, left };
    atomic_fetch_add(&open_streams, 1);
    response_status(response, 200);
    response_stream_take(response, &source, (uint64_t)1 << 30);
}

static void slow(struct request *request, struct response *response)
{
    (void)request;
    atomic_store(&slow_begun, true);
    usleep(300000);
    response_text(response, 200, "slow");
}

static void forge(struct request *request, struct response *response)
{
    response_text(response, 200, "forged");
    response_header(response, "X-Echo", request_query_value(request, "q"));
    response_header(response, "X-Bad", "a\r\nX-Injected: 1");
}

/* 64 KiB of text, streamed for ?stream. */
static bool lines_next(void *state, struct piece *piece, struct error *err)
{
    (void)err;
    int *left = state;
    piece->kind = *left ? PIECE_BYTES : PIECE_END;
    piece->bytes = slice_text("0123456789abcdef0123456789ABCDEF");
    *left -= *left > 0;
    return true;
}

static void lines_close(void *state)
{
    free(state);
    atomic_fetch_sub(&open_streams, 1);
}

static void text(struct request *request, struct response *response)
{
    const char *type = request_query_value(request, "type");
    response_status(response, 200);
    response_content_type(response, type ? type : "application/dicom+json");
    int *left = mem_alloc(sizeof(*left));
    *left = number(request, "lines", 2048);
    if (request_query_value(request, "stream")) {
        struct body_source source = { lines_next, lines_close, left };
        atomic_fetch_add(&open_streams, 1);
        response_stream_take(response, &source, UINT64_MAX);
        return;
    }
    struct buffer body = buffer_up_to(1 << 20);
    while ((*left)--)
        buffer_append_text(&body, "0123456789abcdef0123456789ABCDEF");
    free(left);
    response_body_take(response, &body);
}

static const struct route routes[] = {
    { .method = "GET", .pattern = "/text", .respond = text },
    { .method = "GET", .pattern = "/hello", .respond = hello },
    { .method = "GET", .pattern = "/items/{id}", .respond = item },
    { .method = "DELETE", .pattern = "/items/{id}", .respond = hello },
    { .method = "GET", .pattern = "/never", .respond = respond_never },
    { .method = "GET", .pattern = "/stream", .respond = stream },
    { .method = "GET", .pattern = "/file", .respond = file },
    { .method = "GET", .pattern = "/large", .respond = large },
    { .method = "GET", .pattern = "/slow", .respond = slow },
    { .method = "GET", .pattern = "/work", .respond = work_on },
    { .method = "GET", .pattern = "/client", .respond = look_for_client },
    { .method = "GET", .pattern = "/forge", .respond = forge },
    { .method = "POST",
      .pattern = "/upload",
      .respond = upload_respond,
      .open = upload_open,
      .body = upload_body,
      .close = upload_close },
};

static struct http_server *start(const struct http_options *wanted)
{
    struct http_options options = wanted ? *wanted : (struct http_options){ 0 };
    if (!options.address)
        options.address = "127.0.0.1";
    struct route_table table = { "/api", routes, sizeof(routes) / sizeof(routes[0]), NULL };
    struct http_server *server = NULL;
    struct error err = { 0 };
    CHECK_OK(http_server_open(&options, &table, 1, &server, &err), err);
    return server;
}

/* --- a client of bare sockets --- */

static int dial(const struct http_server *server)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(http_server_port(server)),
                                   .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    struct timeval limit = { 10, 0 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static void say(int fd, const char *text)
{
    size_t size = strlen(text);
    if (send(fd, text, size, MSG_NOSIGNAL) != (ssize_t)size)
        return; /* a server that cuts us is what some tests are about */
}

static char reply[1 << 20];

/* Everything until the server closes. */
static const char *hear_all(int fd)
{
    size_t size = 0;
    for (ssize_t got; size + 1 < sizeof(reply); size += (size_t)got) {
        got = recv(fd, reply + size, sizeof(reply) - 1 - size, 0);
        if (got <= 0)
            break;
    }
    reply[size] = '\0';
    close(fd);
    return reply;
}

/* Until `text` was there. */
static const char *hear_until(int fd, const char *text)
{
    size_t size = 0;
    reply[0] = '\0';
    while (!strstr(reply, text)) {
        ssize_t got = recv(fd, reply + size, sizeof(reply) - 1 - size, 0);
        if (got <= 0)
            break;
        size += (size_t)got;
        reply[size] = '\0';
    }
    return reply;
}

static const char *ask(const struct http_server *server, const char *text)
{
    int fd = dial(server);
    say(fd, text);
    return hear_all(fd);
}

/* GET with Connection: close. */
static const char *get(const struct http_server *server, const char *target)
{
    char text[4096];
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: me:80\r\nConnection: close\r\n\r\n",
             target);
    return ask(server, text);
}

static bool has_status(const char *answer, int status)
{
    char line[32];
    snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    return strncmp(answer, line, strlen(line)) == 0;
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    return end ? end + 4 : "";
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    return size >= strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

/* --- tests --- */

TEST(a_route_answers_with_its_parameters_and_the_query)
{
    struct http_server *server = start(NULL);
    const char *answer = get(server, "/api/items/a%20b?q=%C3%A4%2Cb+c&x");
    CHECK(has_status(answer, 200));
    CHECK(strstr(answer, "X-Content-Type-Options: nosniff"));
    CHECK_TEXT(body_of(answer), "a b|\xc3\xa4,b+c|http://me:80|2|%C3%A4%2Cb+c");
    CHECK(!strstr(answer, "Server:"));
    http_server_close(server, 0);
}

TEST(unknown_paths_are_404_and_unknown_methods_405_with_allow)
{
    struct http_server *server = start(NULL);
    CHECK(has_status(get(server, "/"), 404));
    CHECK(has_status(get(server, "/api/hello/more"), 404));
    CHECK(has_status(get(server, "/api/items/"), 404));
    const char *answer = ask(server, "POST /api/items/1 HTTP/1.1\r\nHost: a\r\n"
                                     "Connection: close\r\nContent-Length: 3\r\n\r\nabc");
    CHECK(has_status(answer, 405));
    CHECK(strstr(answer, "Allow: GET, HEAD, DELETE, OPTIONS\r\n"));
    answer = ask(server, "OPTIONS /api/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(has_status(answer, 204));
    CHECK(strstr(answer, "Allow: POST, OPTIONS\r\n"));
    answer = ask(server, "BREW /api/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(has_status(answer, 501));
    http_server_close(server, 0);
}

TEST(head_has_the_headers_of_get_and_no_body)
{
    struct http_server *server = start(NULL);
    const char *targets[] = { "/api/hello", "/api/stream?sized=1", "/api/file" };
    const char *lengths[] = { "Content-Length: 5\r\n", "Content-Length: 20\r\n",
                              "Content-Length: 10\r\n" };
    for (int i = 0; i < 3; i++) {
        char text[256];
        snprintf(text, sizeof(text), "HEAD %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                 targets[i]);
        const char *answer = ask(server, text);
        CHECK(has_status(answer, 200));
        CHECK(strstr(answer, lengths[i]));
        CHECK_TEXT(body_of(answer), "");
    }
    CHECK_INT(settled(&open_streams), 0);
    http_server_close(server, 0);
}

TEST(a_connection_serves_many_requests_also_pipelined)
{
    struct http_server *server = start(NULL);
    int fd = dial(server);
    say(fd, "GET /api/hello HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(has_status(hear_until(fd, "hello"), 200));
    say(fd, "GET /api/items/1 HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /api/items/2 HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /api/nothing HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /api/items/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *answers = hear_all(fd);
    CHECK(strstr(answers, "1|-|") && strstr(answers, "2|-|") && strstr(answers, "404"));
    CHECK(ends_with(answers, "3|-|http://a|0|-"));
    http_server_close(server, 0);
}

TEST(uploads_arrive_whole_sized_or_chunked)
{
    struct http_server *server = start(NULL);
    const char *plain = "POST /api/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                        "Content-Length: 5\r\n\r\nabcde";
    char expected[64];
    snprintf(expected, sizeof(expected), "%s", body_of(ask(server, plain)));
    CHECK(strncmp(expected, "5 ", 2) == 0);
    CHECK_TEXT(body_of(ask(server, "POST /api/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n"
                                   "2\r\nab\r\n3\r\ncde\r\n0\r\nTrailer: 1\r\n\r\n")),
               expected);
    CHECK_TEXT(body_of(ask(server, "POST /api/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                   "Content-Length: 0\r\n\r\n")),
               "0 0");
    CHECK_INT(settled(&open_states), 0);
    http_server_close(server, 0);
}

TEST(an_upload_that_breaks_off_is_closed_as_incomplete)
{
    struct http_server *server = start(NULL);
    atomic_store(&cut_uploads, 0);
    int fd = dial(server);
    say(fd, "POST /api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nabc");
    usleep(50000);
    close(fd);
    CHECK_SOON(atomic_load(&cut_uploads) == 1);
    CHECK_INT(settled(&open_states), 0);
    http_server_close(server, 0);
}

TEST(expect_100_continue_gets_its_continue_or_the_refusal_at_once)
{
    struct http_server *server = start(NULL);
    int fd = dial(server);
    say(fd, "POST /api/upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            "Connection: close\r\nContent-Length: 3\r\n\r\n");
    CHECK(has_status(hear_until(fd, "\r\n\r\n"), 100));
    say(fd, "abc");
    CHECK(has_status(hear_all(fd), 200));
    fd = dial(server);
    say(fd, "POST /api/upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nX-Refuse: 1\r\n"
            "Content-Length: 3\r\n\r\n");
    CHECK(has_status(hear_all(fd), 415));
    fd = dial(server);
    say(fd, "POST /api/upload HTTP/1.1\r\nHost: a\r\nExpect: cake\r\nContent-Length: 3\r\n\r\n");
    CHECK(has_status(hear_all(fd), 417));
    http_server_close(server, 0);
}

TEST(a_refused_upload_is_drained_and_the_connection_goes_on)
{
    struct http_server *server = start(NULL);
    int fd = dial(server);
    say(fd, "POST /api/upload HTTP/1.1\r\nHost: a\r\nX-Refuse: 1\r\nContent-Length: 6\r\n\r\nabc");
    usleep(50000);
    say(fd, "def");
    CHECK(has_status(hear_until(fd, "not this type"), 415));
    say(fd, "GET /api/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(has_status(hear_all(fd), 200));
    http_server_close(server, 0);
}

TEST(a_handler_that_wants_no_more_still_answers_at_the_end)
{
    struct http_server *server = start(NULL);
    char text[2048];
    int size = snprintf(text, sizeof(text),
                        "POST /api/upload HTTP/1.1\r\nHost: a\r\nX-Stop: 1\r\n"
                        "Connection: close\r\nContent-Length: 1000\r\n\r\n");
    memset(text + size, 'x', 1000);
    text[size + 1000] = '\0';
    CHECK(has_status(ask(server, text), 200));
    http_server_close(server, 0);
}

/* Sends up to `size` bytes of body, and stops when the server does. */
static const char *ask_with_body(const struct http_server *server, const char *head, size_t size)
{
    static char block[64 << 10];
    memset(block, 'x', sizeof(block));
    int fd = dial(server);
    say(fd, head);
    for (size_t sent = 0; sent < size; sent += sizeof(block)) {
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        if (poll(&poll_fd, 1, 0) > 0 || send(fd, block, sizeof(block), MSG_NOSIGNAL) < 0)
            break;
    }
    return hear_all(fd);
}

TEST(an_endless_body_that_nobody_wants_is_answered_and_cut)
{
    struct http_server *server = start(NULL);
    size_t size = (size_t)1 << 30;
    CHECK(has_status(ask_with_body(server,
                                   "POST /api/upload HTTP/1.1\r\nHost: a\r\nX-Stop: 1\r\n"
                                   "Content-Length: 1073741824\r\n\r\n",
                                   size),
                     200));
    CHECK(has_status(ask_with_body(server,
                                   "POST /api/upload HTTP/1.1\r\nHost: a\r\nX-Refuse: 1\r\n"
                                   "Content-Length: 1073741824\r\n\r\n",
                                   size),
                     415));
    CHECK(has_status(ask_with_body(server,
                                   "POST /api/none HTTP/1.1\r\nHost: a\r\n"
                                   "Content-Length: 1073741824\r\n\r\n",
                                   size),
                     404));
    CHECK(has_status(ask_with_body(server,
                                   "GET /api/hello HTTP/1.1\r\nHost: a\r\n"
                                   "Content-Length: 1073741824\r\n\r\n",
                                   size),
                     413));
    CHECK_INT(settled(&open_states), 0);
    http_server_close(server, 0);
}

TEST(bodies_past_the_limit_are_413_sized_or_chunked)
{
    struct http_options options = { .body_limit = 1000 };
    struct http_server *server = start(&options);
    CHECK(has_status(ask(server, "POST /api/upload HTTP/1.1\r\nHost: a\r\n"
                                 "Content-Length: 1001\r\n\r\nabc"),
                     413));
    char text[2048];
    int size = snprintf(text, sizeof(text),
                        "POST /api/upload HTTP/1.1\r\nHost: a\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n500\r\n");
    memset(text + size, 'x', 0x500);
    text[size + 0x500] = '\0';
    CHECK(has_status(ask(server, text), 413));
    CHECK_INT(settled(&open_states), 0);
    http_server_close(server, 0);
}

TEST(streams_of_bytes_and_file_ranges_come_whole)
{
    struct http_server *server = start(NULL);
    const char *answer = get(server, "/api/stream?sized=1");
    CHECK(strstr(answer, "Content-Length: 20\r\n"));
    CHECK_TEXT(body_of(answer), "<000>bcdef<002>defgh");
    answer = get(server, "/api/stream");
    CHECK(strstr(answer, "Transfer-Encoding: chunked\r\n"));
    CHECK(strstr(answer, "<000>bcdef<002>defgh") && ends_with(answer, "\r\n0\r\n\r\n"));
    CHECK_TEXT(body_of(get(server, "/api/file")), "bcdefghijk");
    CHECK_TEXT(body_of(get(server, "/api/stream?sized=1&count=0")), "");
    CHECK_INT(settled(&open_streams), 0);
    http_server_close(server, 0);
}

TEST(a_stream_that_is_one_piece_comes_whole_and_in_parts)
{
    struct http_server *server = start(NULL);
    const char *answer = get(server, "/api/stream?sized=1&count=1");
    CHECK(strstr(answer, "Content-Length: 5\r\n"));
    CHECK_TEXT(body_of(answer), "<000>");
    CHECK_INT(settled(&open_streams), 0);
    answer = ask(server, "GET /api/stream?sized=1&count=1 HTTP/1.1\r\nHost: a\r\n"
                         "Range: bytes=1-3\r\nConnection: close\r\n\r\n");
    CHECK(has_status(answer, 206));
    CHECK_TEXT(body_of(answer), "000");
    CHECK_INT(settled(&open_streams), 0);
    http_server_close(server, 0);
}

TEST(a_stream_that_fails_is_seen_as_incomplete)
{
    struct http_server *server = start(NULL);
    const char *answer = get(server, "/api/stream?fail=3");
    CHECK(!ends_with(answer, "0\r\n\r\n"));
    answer = get(server, "/api/stream?fail=3&sized=1");
    CHECK(strlen(body_of(answer)) < 20);
    CHECK(has_status(get(server, "/api/file?size=100"), 500));
    answer = get(server, "/api/stream?fail=0");
    CHECK(has_status(answer, 500));
    CHECK(!strstr(answer, "disk"));
    CHECK_INT(settled(&open_streams), 0);
    http_server_close(server, 0);
}

TEST(a_client_that_leaves_in_the_middle_of_an_answer_costs_nothing_more)
{
    struct http_server *server = start(NULL);
    int fd = dial(server);
    say(fd, "GET /api/large HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(recv(fd, reply, 1000, 0) > 0);
    close(fd);
    CHECK_INT(settled(&open_streams), 0);
    http_server_close(server, 0);
}

TEST(who_works_long_can_see_that_its_client_has_gone)
{
    struct http_server *server = start(NULL);
    int fd = dial(server);
    say(fd, "GET /api/client HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(strstr(hear_all(fd), "there"));
    close(fd);
    fd = dial(server);
    say(fd, "GET /api/work HTTP/1.1\r\nHost: a\r\n\r\n");
    close(fd);
    CHECK_SOON(atomic_load(&left_alone) == 1);
    http_server_close(server, 0);
}

TEST(HOS_33_requests_that_are_too_large_or_malformed_get_their_status)
{
    struct http_server *server = start(NULL);
    char *huge = mem_alloc((1 << 20) + 1);
    memset(huge, 'a', 1 << 20);
    char *text = mem_format("GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", huge);
    CHECK(has_status(ask(server, text), 414));
    free(text);
    huge[100000] = '\0';
    text = mem_format("GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", huge);
    CHECK(has_status(ask(server, text), 414));
    free(text);
    huge[100000] = 'a';
    text = mem_format("GET /api/hello HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", huge);
    CHECK(has_status(ask(server, text), 431));
    free(text);
    for (int i = 0; i < 10000; i++)
        memcpy(huge + (size_t)i * 6, "a: b\r\n", 6);
    huge[60000] = '\0';
    text = mem_format("GET /api/hello HTTP/1.1\r\nHost: a\r\n%s\r\n", huge);
    CHECK(has_status(ask(server, text), 431));
    free(text);
    free(huge);
    CHECK(has_status(ask(server, "GET /api/hello HTTP/1.1\r\n\r\n"), 400));
    CHECK(has_status(ask(server, "GET /api/hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400));
    CHECK(has_status(ask(server, "GET /api/hello HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400));
    CHECK(has_status(ask(server, "GET http://b/api/hello HTTP/1.1\r\nHost: a\r\n"
                                 "Connection: close\r\n\r\n"),
                     400));
    CHECK(has_status(ask(server, "GET http://a/api/hello HTTP/1.1\r\nHost: a\r\n"
                                 "Connection: close\r\n\r\n"),
                     200));
    http_server_close(server, 0);
}

/* None of these may be read as two requests: the second would be answered "hello". */
TEST(HOS_34_ambiguous_framing_is_refused_and_the_connection_closed)
{
    struct http_server *server = start(NULL);
    static const char *const fields[] = {
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5,5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5 6\r\n",
        "Bad Name: 1\r\n",
        "Bad\tName: 1\r\n",
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        char text[1024];
        snprintf(text, sizeof(text),
                 "POST /api/upload HTTP/1.1\r\nHost: a\r\n%s\r\n"
                 "0\r\n\r\nGET /api/hello HTTP/1.1\r\nHost: a\r\n\r\n",
                 fields[i]);
        const char *answer = ask(server, text);
        if (strstr(answer, "HTTP/1.1 200") || strstr(answer, "hello"))
            test_fail(__FILE__, __LINE__, "%s was taken", fields[i]);
        CHECK(has_status(answer, 400) || has_status(answer, 413) || has_status(answer, 501));
    }
    static const char *const chunks[] = {
        "5x\r\nabcde\r\n0\r\n\r\n", "-5\r\nabcde\r\n0\r\n\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n", "ffffffffffffffffff\r\nabcde\r\n0\r\n\r\n",
        "2\r\nabcde\r\n0\r\n\r\n",  "\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        char text[1024];
        snprintf(text, sizeof(text),
                 "POST /api/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%s"
                 "GET /api/hello HTTP/1.1\r\nHost: a\r\n\r\n",
                 chunks[i]);
        const char *answer = ask(server, text);
        if (strstr(answer, "hello") || strstr(answer, " 200 "))
            test_fail(__FILE__, __LINE__, "chunks %s were taken", chunks[i]);
    }
    http_server_close(server, 0);
}

TEST(HOS_41_broken_escapes_and_forbidden_characters_are_400)
{
    struct http_server *server = start(NULL);
    static const char *const targets[] = {
        "/api/items/%00",       "/api/items/a%00b",  "/api/items/%zz",    "/api/items/%4",
        "/api/items/%",         "/api/items/%0d%0a", "/api/items/%ff",    "/api/items/%c0%80",
        "/api/items/%ed%a0%80", "/api/items/..",     "/api/items/%2e%2e", "/api/../api/hello",
        "/api/hello?a=%00",     "/api/hello?%zz=1",  "/api/hello?a=%0a",  "/api/hello?a=%80",
    };
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
        if (!has_status(get(server, targets[i]), 400))
            test_fail(__FILE__, __LINE__, "%s is not refused", targets[i]);
    CHECK_TEXT(body_of(get(server, "/api/items/%252e")), "%2e|-|http://me:80|0|-");
    struct buffer text = buffer_up_to(1 << 20);
    buffer_append_text(&text, "GET /api/hello?");
    for (int i = 0; i < 20000; i++)
        buffer_append_text(&text, "a&");
    buffer_append_text(&text, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(has_status(ask(server, buffer_text(&text)), 414));
    buffer_release(&text);
    http_server_close(server, 0);
}

/* Each of these makes the library run out of the memory that it has for a connection. */
TEST(floods_of_small_fields_cost_only_their_connection)
{
    struct http_server *server = start(NULL);
    static const struct {
        const char *start;
        const char *unit;
        int count;
    } floods[] = {
        { "GET /api/hello HTTP/1.1\r\nHost: a\r\nCookie: ", "a=b;", 30000 },
        { "GET /api/hello HTTP/1.1\r\nHost: a\r\n", "Cookie: a=b;c=d;e=f;g=h\r\n", 3000 },
        { "GET /api/hello HTTP/1.1\r\nHost: a\r\nX: ", "\r\n a", 400000 },
        { "GET /api/hello HTTP/1.1\r\nHost: a\r\n", "a:\r\n", 40000 },
        { "POST /api/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
          "a:\r\n", 40000 },
        { "POST /api/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX:",
          "aaaaaaaa", 100000 },
        { "POST /api/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "0",
          1000000 },
        { "POST /api/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", "0",
          1000000 },
        { "GET /api/hello?", "a&", 90000 },
        { "", "\r\n", 100000 },
        { "", "a", 1000000 },
        { "GET ", " ", 1000000 },
    };
    struct buffer text = buffer_up_to(4 << 20);
    for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
        buffer_clear(&text);
        buffer_append_text(&text, floods[i].start);
        for (int j = 0; j < floods[i].count; j++)
            buffer_append_text(&text, floods[i].unit);
        buffer_append_text(&text, "\r\n\r\n");
        int fd = dial(server);
        say(fd, buffer_text(&text));
        shutdown(fd, SHUT_WR);
        hear_all(fd); /* whether refused or, where the library has room, served */
        CHECK(has_status(get(server, "/api/hello"), 200));
    }
    buffer_release(&text);
    http_server_close(server, 0);
}

TEST(header_values_cannot_inject_headers)
{
    struct http_server *server = start(NULL);
    const char *answer = get(server, "/api/forge?q=a");
    CHECK(strstr(answer, "X-Echo: a\r\n"));
    CHECK(!strstr(answer, "X-Injected"));
    http_server_close(server, 0);
}

TEST(a_request_without_an_answer_is_500)
{
    struct http_server *server = start(NULL);
    CHECK(has_status(get(server, "/api/never"), 500));
    http_server_close(server, 0);
}

TEST(errors_are_text_or_json_as_accepted)
{
    struct http_server *server = start(NULL);
    CHECK(strstr(get(server, "/none"), "Content-Type: text/plain"));
    const char *answer = ask(server, "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                     "Accept: application/dicom+json\r\n\r\n");
    CHECK(strstr(answer, "Content-Type: application/json"));
    CHECK(strstr(answer, "{\"status\":404,\"reason\":\"Not Found\",\"message\":\""));
    http_server_close(server, 0);
}

/* The gzip body of an answer, chunks joined. */
static size_t ungzip(const char *answer, size_t answer_size, uint8_t *out, size_t room)
{
    static uint8_t packed[1 << 20];
    size_t size = 0;
    const char *at = body_of(answer);
    const char *end = answer + answer_size;
    if (strstr(answer, "Transfer-Encoding: chunked")) {
        for (size_t chunk; (chunk = strtoul(at, NULL, 16)) > 0; at += chunk + 2) {
            at = strstr(at, "\r\n") + 2;
            CHECK(at + chunk <= end && size + chunk <= sizeof(packed));
            memcpy(packed + size, at, chunk);
            size += chunk;
        }
    } else {
        size = (size_t)(end - at);
        memcpy(packed, at, size);
    }
    z_stream stream = { .next_in = packed, .avail_in = (uInt)size };
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    CHECK(inflateInit2(&stream, 15 + 16) == Z_OK);
    int result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    CHECK_INT(result, Z_STREAM_END);
    return stream.total_out;
}

static const char *get_gzip(const struct http_server *server, const char *target, size_t *size)
{
    char head[256];
    snprintf(head, sizeof(head),
             "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: br, gzip\r\n\r\n",
             target);
    int fd = dial(server);
    say(fd, head);
    for (*size = 0;;) {
        ssize_t got = recv(fd, reply + *size, sizeof(reply) - 1 - *size, 0);
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    close(fd);
    reply[*size] = '\0';
    return reply;
}

TEST(WEB_17_json_is_compressed_for_those_who_accept_it)
{
    struct http_server *server = start(NULL);
    static uint8_t out[1 << 20];
    static const char *const targets[] = { "/api/text", "/api/text?stream=1",
                                           "/api/text?stream=1&lines=200000",
                                           "/api/text?stream=1&lines=0" };
    static const size_t sizes[] = { 65536, 65536, 0, 0 };
    for (int i = 0; i < 4; i++) {
        size_t size;
        const char *answer = get_gzip(server, targets[i], &size);
        CHECK(has_status(answer, 200));
        CHECK(strstr(answer, "Content-Encoding: gzip\r\n"));
        CHECK(strstr(answer, "Vary: Accept-Encoding\r\n"));
        CHECK(size < 200000);
        if (i == 2)
            continue; /* larger than the room here: that it is small and ends is enough */
        CHECK_INT(ungzip(answer, size, out, sizeof(out)), sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            CHECK(out[j] == "0123456789abcdef0123456789ABCDEF"[j % 32]);
    }
    CHECK_INT(settled(&open_streams), 0);
    http_server_close(server, 0);
}

TEST(small_or_binary_bodies_and_clients_without_gzip_get_them_as_they_are)
{
    struct http_server *server = start(NULL);
    size_t size;
    static const char *const plain[] = { "/api/text?lines=4", "/api/text?type=application/dicom",
                                         "/api/file" };
    for (int i = 0; i < 3; i++)
        CHECK(!strstr(get_gzip(server, plain[i], &size), "Content-Encoding"));
    const char *answer = get(server, "/api/text");
    CHECK(!strstr(answer, "Content-Encoding") && strstr(answer, "Vary: Accept-Encoding\r\n"));
    CHECK(accepts_gzip("gzip") && accepts_gzip("br;q=1, GZIP ;q=0.1") && accepts_gzip("*"));
    CHECK(!accepts_gzip(NULL) && !accepts_gzip("") && !accepts_gzip("gzip;q=0, *"));
    CHECK(!accepts_gzip("gzip;q=0.000") && !accepts_gzip("gzipped") && !accepts_gzip("*;q=0"));
    http_server_close(server, 0);
}

/* --- slow clients: HOS-35 --- */

static const struct http_options hasty = { .idle_timeout_s = 1, .header_timeout_s = 1 };

/* Drips `text` endlessly until the server closes; the time it took. */
static int64_t drip(const struct http_server *server, const char *start_text, const char *text)
{
    int fd = dial(server);
    int64_t begin = clock_monotonic_ms();
    say(fd, start_text);
    for (size_t i = 0; clock_monotonic_ms() - begin < 8000; i++) {
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        if (send(fd, text + i % strlen(text), 1, MSG_NOSIGNAL) != 1)
            break;
        if (poll(&poll_fd, 1, 100) > 0 && recv(fd, reply, sizeof(reply), 0) <= 0)
            break;
    }
    close(fd);
    return clock_monotonic_ms() - begin;
}

TEST(HOS_35_dripped_headers_are_cut_at_their_deadline)
{
    struct http_server *server = start(&hasty);
    CHECK(drip(server, "GET /api/hello HTTP/1.1\r\nHost: a\r\n", "X: y\r\n") < 3000);
    CHECK(drip(server, "", "GET_") < 3000);
    CHECK(has_status(get(server, "/api/hello"), 200));
    http_server_close(server, 0);
}

TEST(HOS_35_a_dripped_body_is_cut_by_the_minimum_rate)
{
    struct http_server *server = start(&hasty);
    CHECK(drip(server, "POST /api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
               "x") < 5000);
    CHECK_INT(settled(&open_states), 0);
    http_server_close(server, 0);
}

TEST(HOS_35_an_answer_read_too_slowly_is_cut)
{
    struct http_server *server = start(&hasty);
    int fd = dial(server);
    int64_t begin = clock_monotonic_ms();
    say(fd, "GET /api/large HTTP/1.1\r\nHost: a\r\n\r\n");
    while (atomic_load(&open_streams) == 0 && clock_monotonic_ms() - begin < 8000)
        usleep(1000);
    while (atomic_load(&open_streams) && clock_monotonic_ms() - begin < 8000) {
        char byte;
        usleep(100000);
        if (recv(fd, &byte, 1, MSG_DONTWAIT) == 0)
            break;
    }
    CHECK_INT(settled(&open_streams), 0);
    CHECK(clock_monotonic_ms() - begin < 6000);
    close(fd);
    http_server_close(server, 0);
}

TEST(an_upload_at_an_ordinary_pace_is_not_cut)
{
    struct http_server *server = start(&hasty);
    int fd = dial(server);
    static char block[1001];
    memset(block, 'x', 1000);
    say(fd, "POST /api/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            "Content-Length: 30000\r\n\r\n");
    for (int i = 0; i < 30; i++) {
        say(fd, block);
        usleep(100000);
    }
    CHECK(has_status(hear_all(fd), 200));
    http_server_close(server, 0);
}

TEST(idle_connections_are_closed_and_limits_hold_per_address)
{
    struct http_options options = hasty;
    options.connection_limit_per_address = 3;
    struct http_server *server = start(&options);
    int idle[3];
    for (int i = 0; i < 3; i++) {
        idle[i] = dial(server);
        say(idle[i], "GET /api/hello HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK(has_status(hear_until(idle[i], "hello"), 200));
    }
    const char *answer = get(server, "/api/hello");
    CHECK(has_status(answer, 503));
    CHECK(strstr(answer, "Retry-After: ") && strstr(answer, "Connection: close"));
    for (int i = 0; i < 3; i++)
        CHECK_TEXT(hear_all(idle[i]), "");
    CHECK_SOON(has_status(get(server, "/api/hello"), 200)); /* when their end is known */
    http_server_close(server, 0);
}

/* --- life --- */

static void *ask_slow(void *server)
{
    int fd = dial(server);
    say(fd, "GET /api/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    char text[1024] = "";
    for (size_t size = 0; size + 1 < sizeof(text);) {
        ssize_t got = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        if (got <= 0)
            break;
        size += (size_t)got;
    }
    close(fd);
    return strstr(text, "slow") ? server : NULL;
}

TEST(closing_lets_requests_in_work_finish)
{
    struct http_server *server = start(NULL);
    pthread_t thread;
    void *result;
    atomic_store(&slow_begun, false);
    pthread_create(&thread, NULL, ask_slow, server);
    CHECK_SOON(atomic_load(&slow_begun));
    int64_t begin = clock_monotonic_ms();
    http_server_close(server, 5000);
    CHECK(clock_monotonic_ms() - begin < 2000);
    pthread_join(thread, &result);
    CHECK(result != NULL);
}

TEST(closing_cuts_what_does_not_end_within_the_grace)
{
    struct http_server *server = start(NULL);
    int fd = dial(server);
    say(fd, "POST /api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
    CHECK_SOON(atomic_load(&open_states) == 1);
    int64_t begin = clock_monotonic_ms();
    http_server_close(server, 200);
    CHECK(clock_monotonic_ms() - begin < 2000);
    CHECK_INT(settled(&open_states), 0);
    close(fd);
}

TEST(addresses_may_be_ipv6_and_a_taken_port_is_an_error)
{
    struct http_options options = { .address = "::1" };
    struct http_server *server = start(&options);
    struct sockaddr_in6 address = { .sin6_family = AF_INET6,
                                    .sin6_port = htons(http_server_port(server)),
                                    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    say(fd, "GET /api/items/1 HTTP/1.0\r\n\r\n");
    CHECK(strstr(hear_all(fd), "1|-|http://[::1]:"));
    struct http_server *second = NULL;
    struct error err = { 0 };
    options.port = http_server_port(server);
    CHECK(!http_server_open(&options, NULL, 0, &second, &err));
    CHECK_INT(err.code, ERROR_IO);
    options.address = "localhost.invalid";
    CHECK(!http_server_open(&options, NULL, 0, &second, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    http_server_close(server, 0);
}

TEST(the_base_url_of_the_settings_wins)
{
    struct http_options options = { .base_url = "https://pacs.example" };
    struct http_server *server = start(&options);
    CHECK_TEXT(body_of(get(server, "/api/items/1")), "1|-|https://pacs.example|0|-");
    http_server_close(server, 0);
}
