/* SPDX-License-Identifier: MIT */
#include "cast/fhir_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cast/bearer.h"
#include "http/server.h"
#include "tests/test.h"

static void answer_echo(struct request *request, struct response *response)
{
    const char *match = request_header(request, "If-Match");
    const char *authorization = request_header(request, "Authorization");
    response_text(response, 200, "%s %s %s %s", request_method(request), match ? match : "-",
                  authorization ? authorization : "-", request_header(request, "Accept"));
}

static void answer_big(struct request *request, struct response *response)
{
    struct buffer body = buffer_up_to(1 << 20);
    (void)request;
    struct space space = buffer_reserve(&body, 1 << 20);
    memset(space.data, 'x', space.size);
    buffer_advance(&body, space.size);
    response_status(response, 200);
    response_body_take(response, &body);
}

static void answer_busy(struct request *request, struct response *response)
{
    response_header(response, "Retry-After", request_query_value(request, "after"));
    response_text(response, 503, "busy");
}

static void answer_moved(struct request *request, struct response *response)
{
    (void)request;
    response_header(response, "Location", "/fhir/echo");
    response_text(response, 302, "moved");
}

static const struct route routes[] = {
    { .method = "GET", .pattern = "/echo", .respond = answer_echo },
    { .method = "DELETE", .pattern = "/echo", .respond = answer_echo },
    { .method = "GET", .pattern = "/big", .respond = answer_big },
    { .method = "GET", .pattern = "/busy", .respond = answer_busy },
    { .method = "GET", .pattern = "/moved", .respond = answer_moved },
};

struct fixture {
    struct http_server *server;
    struct fhir_client *client;
};

static struct fixture fixture_open(struct fhir_client_options options)
{
    struct fixture fixture;
    struct error err;
    struct route_table table = { "/fhir", routes, sizeof routes / sizeof *routes, NULL };
    struct http_options http = { .address = "127.0.0.1" };
    char url[64];
    CHECK_OK(http_server_open(&http, &table, 1, &fixture.server, &err), err);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/fhir/", http_server_port(fixture.server));
    options.url = url;
    CHECK_OK(fhir_client_open(&options, &fixture.client, &err), err);
    return fixture;
}

static void fixture_close(struct fixture *fixture)
{
    fhir_client_close(fixture->client);
    http_server_close(fixture->server, 1000);
}

TEST(a_request_carries_its_method_credentials_and_version)
{
    struct fixture fixture = fixture_open(
        (struct fhir_client_options){ .user = "u", .password = "p" });
    struct fhir_request request = { .method = "DELETE", .path = "echo", .if_match = "W/\"3\"" };
    struct fhir_answer answer;
    struct error err;
    CHECK_OK(fhir_client_send(fixture.client, &request, &answer, &err), err);
    CHECK_INT(answer.status, 200);
    CHECK_TEXT(buffer_text(&answer.body), "DELETE W/\"3\" Basic dTpw application/fhir+json");
    CHECK_INT(answer.retry_after_ms, -1);
    fhir_answer_release(&answer);
    /* The next one knows nothing of it. */
    request = (struct fhir_request){ .method = "GET", .path = "echo" };
    CHECK_OK(fhir_client_send(fixture.client, &request, &answer, &err), err);
    CHECK_TEXT(buffer_text(&answer.body), "GET - Basic dTpw application/fhir+json");
    fhir_answer_release(&answer);
    fixture_close(&fixture);
}

TEST(a_bearer_token_goes_before_a_user)
{
    const struct bearer_options options = { .token = "t" };
    struct bearer *bearer = NULL;
    struct error opening;
    CHECK_OK(bearer_open(&options, &bearer, &opening), opening);
    struct fixture fixture = fixture_open(
        (struct fhir_client_options){ .bearer = bearer, .user = "u", .password = "p" });
    struct fhir_request request = { .method = "GET", .path = "echo" };
    struct fhir_answer answer;
    struct error err;
    CHECK_OK(fhir_client_send(fixture.client, &request, &answer, &err), err);
    CHECK_TEXT(buffer_text(&answer.body), "GET - Bearer t application/fhir+json");
    fhir_answer_release(&answer);
    fixture_close(&fixture);
    bearer_close(bearer);
}

TEST(an_answer_beyond_the_limit_is_refused)
{
    struct fixture fixture = fixture_open(
        (struct fhir_client_options){ .answer_limit = 64 * 1024 });
    struct fhir_request request = { .method = "GET", .path = "big" };
    struct fhir_answer answer;
    struct error err;
    CHECK(!fhir_client_send(fixture.client, &request, &answer, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK(answer.body.size <= 64 * 1024);
    fhir_answer_release(&answer);
    request.path = "echo";
    CHECK_OK(fhir_client_send(fixture.client, &request, &answer, &err), err);
    fhir_answer_release(&answer);
    fixture_close(&fixture);
}

static int64_t retry_after(struct fixture *fixture, const char *path)
{
    struct fhir_request request = { .method = "GET", .path = path };
    struct fhir_answer answer;
    struct error err;
    CHECK_OK(fhir_client_send(fixture->client, &request, &answer, &err), err);
    CHECK_INT(answer.status, 503);
    fhir_answer_release(&answer);
    return answer.retry_after_ms;
}

TEST(FHIR_07_retry_after_is_read_as_seconds_or_as_a_date)
{
    struct fixture fixture = fixture_open((struct fhir_client_options){ 0 });
    CHECK_INT(retry_after(&fixture, "busy?after=7"), 7000);
    CHECK_INT(retry_after(&fixture, "busy?after=0"), 0);
    CHECK_INT(retry_after(&fixture, "busy?after=99999999999"), 86400000);
    CHECK_INT(retry_after(&fixture, "busy?after=Thu,%2001%20Jan%201970%2000:00:10%20GMT"), 0);
    CHECK_INT(retry_after(&fixture, "busy?after=soon"), -1);
    char path[128];
    time_t later = time(NULL) + 30;
    struct tm tm;
    gmtime_r(&later, &tm);
    strftime(path, sizeof path, "busy?after=Sun,%%20%d%%20%b%%20%Y%%20%H:%M:%S%%20GMT", &tm);
    int64_t wait = retry_after(&fixture, path);
    CHECK(wait > 25000 && wait <= 30000);
    fixture_close(&fixture);
}

TEST(a_redirect_is_an_answer_and_is_not_followed)
{
    struct fixture fixture = fixture_open((struct fhir_client_options){ 0 });
    struct fhir_request request = { .method = "GET", .path = "moved" };
    struct fhir_answer answer;
    struct error err;
    CHECK_OK(fhir_client_send(fixture.client, &request, &answer, &err), err);
    CHECK_INT(answer.status, 302);
    fhir_answer_release(&answer);
    fixture_close(&fixture);
}

/* A server that takes the connection and says nothing, ever. */
static int silent_listener(char *url, size_t size)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(listener >= 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, 8) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(url, size, "http://127.0.0.1:%d/fhir", ntohs(address.sin_port));
    return listener;
}

TEST(a_server_that_says_nothing_times_out)
{
    char url[64];
    struct error err;
    struct fhir_answer answer;
    struct fhir_client *client = NULL;
    int listener = silent_listener(url, sizeof url);
    struct fhir_client_options options = { .url = url, .timeout_ms = 300 };
    struct fhir_request request = { .method = "GET", .path = "Patient" };
    CHECK_OK(fhir_client_open(&options, &client, &err), err);
    int64_t began = clock_monotonic_ms();
    CHECK(!fhir_client_send(client, &request, &answer, &err));
    CHECK_INT(err.code, ERROR_TIMEOUT);
    CHECK(clock_monotonic_ms() - began < 3000);
    fhir_answer_release(&answer);
    fhir_client_close(client);
    close(listener);
}

static void *stop_soon(void *client)
{
    usleep(100 * 1000);
    fhir_client_stop(client);
    return NULL;
}

TEST(FHIR_06_a_stop_ends_the_request_in_flight_and_all_later_ones)
{
    char url[64];
    struct error err;
    struct fhir_answer answer;
    struct fhir_client *client = NULL;
    pthread_t thread;
    int listener = silent_listener(url, sizeof url);
    struct fhir_client_options options = { .url = url };
    struct fhir_request request = { .method = "GET", .path = "Patient" };
    CHECK_OK(fhir_client_open(&options, &client, &err), err);
    int64_t began = clock_monotonic_ms();
    CHECK(pthread_create(&thread, NULL, stop_soon, client) == 0);
    CHECK(!fhir_client_send(client, &request, &answer, &err));
    CHECK_INT(err.code, ERROR_STOPPED);
    fhir_answer_release(&answer);
    CHECK(!fhir_client_send(client, &request, &answer, &err));
    CHECK_INT(err.code, ERROR_STOPPED);
    CHECK(clock_monotonic_ms() - began < 2000);
    fhir_answer_release(&answer);
    pthread_join(thread, NULL);
    fhir_client_close(client);
    close(listener);
}

TEST(a_refused_connection_is_an_error_of_the_network)
{
    char url[64];
    struct error err;
    struct fhir_answer answer;
    struct fhir_client *client = NULL;
    close(silent_listener(url, sizeof url));
    struct fhir_client_options options = { .url = url };
    struct fhir_request request = { .method = "GET", .path = "Patient" };
    CHECK_OK(fhir_client_open(&options, &client, &err), err);
    CHECK(!fhir_client_send(client, &request, &answer, &err));
    CHECK_INT(err.code, ERROR_IO);
    fhir_answer_release(&answer);
    fhir_client_close(client);
}

TEST(a_url_that_is_none_is_refused_at_the_start)
{
    static const char *const urls[] = { "",           "ftp://x",           "file:///etc/passwd",
                                        "http://a b", "http://a/\r\nX: y", "http://a/fhir?x=1",
                                        "x" };
    struct fhir_client *client = NULL;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct fhir_client_options options = { .url = urls[i] };
        CHECK(!fhir_client_open(&options, &client, NULL) && !client);
    }
    struct bearer_options token = { .token = "x\r\ny: z" };
    struct bearer *bearer = NULL;
    CHECK(!bearer_open(&token, &bearer, NULL) && !bearer);
}
