/* SPDX-License-Identifier: MIT */
#include "http/router.h"

#include "http/target.h"
#include "tests/test.h"

static void respond(struct request *request, struct response *response)
{
    (void)request;
    (void)response;
}

static const struct route first[] = {
    { .method = "GET", .pattern = "/studies", .respond = respond },
    { .method = "POST", .pattern = "/studies", .respond = respond },
    { .method = "GET", .pattern = "/studies/latest", .respond = respond },
    { .method = "GET", .pattern = "/studies/{study}", .respond = respond },
    { .method = "DELETE", .pattern = "/studies/{study}/series/{series}", .respond = respond },
};
static const struct route second[] = { { .method = "GET", .pattern = "/", .respond = respond } };

static struct router *make_router(void)
{
    static int context;
    const struct route_table tables[] = { { "/dicomweb", first, 5, &context },
                                          { "", second, 1, NULL } };
    return router_new(tables, 2);
}

static bool match(const struct router *router, const char *method, const char *path,
                  struct target *target, struct route_match *result)
{
    struct error err = { 0 };
    CHECK_OK(target_parse(path, NULL, target, &err), err);
    return router_match(router, method, target->segments, target->segment_count, result);
}

TEST(paths_find_their_route_and_parameters)
{
    struct router *router = make_router();
    struct target target;
    struct route_match result;
    CHECK(match(router, "GET", "/dicomweb/studies/1.2", &target, &result));
    CHECK(result.route == &first[3] && result.context != NULL);
    CHECK_TEXT(result.pattern, "/dicomweb/studies/{study}");
    CHECK_INT(result.parameter_count, 1);
    CHECK_TEXT(result.names[0], "study");
    CHECK_TEXT(result.values[0], "1.2");
    target_release(&target);
    CHECK(match(router, "GET", "/dicomweb/studies/latest", &target, &result));
    CHECK(result.route == &first[2]);
    target_release(&target);
    CHECK(match(router, "DELETE", "/dicomweb/studies/a%2Fb/series/2", &target, &result));
    CHECK(result.route == &first[4]);
    CHECK_TEXT(result.values[0], "a/b");
    CHECK_TEXT(result.values[1], "2");
    target_release(&target);
    CHECK(match(router, "HEAD", "/", &target, &result));
    CHECK(result.route == &second[0]);
    target_release(&target);
    router_free(router);
}

TEST(unknown_paths_and_methods_are_told_apart)
{
    struct router *router = make_router();
    struct target target;
    struct route_match result;
    struct buffer allow = buffer_up_to(100);
    static const char *const unknown[] = { "/dicomweb",          "/studies", "/dicomweb/studies/",
                                           "/dicomweb//studies", "//",       "/dicomweb/Studies" };
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        CHECK(!match(router, "GET", unknown[i], &target, &result));
        target_release(&target);
    }
    CHECK(match(router, "PUT", "/dicomweb/studies", &target, &result));
    CHECK(result.route == NULL);
    router_allow(router, target.segments, target.segment_count, &allow);
    CHECK_TEXT(buffer_text(&allow), "GET, HEAD, POST, OPTIONS");
    target_release(&target);
    buffer_release(&allow);
    router_free(router);
}

TEST(queries_keep_order_plus_signs_and_raw_values)
{
    struct target target;
    struct error err = { 0 };
    CHECK_OK(target_parse("/a%20b?x=1%2C2,3&&y&z=a+b%2B&=v", NULL, &target, &err), err);
    CHECK_TEXT(target.path, "/a b");
    CHECK_INT(target.pair_count, 4);
    CHECK_TEXT(target.pairs[0].value, "1,2,3");
    CHECK_TEXT(target.pairs[0].raw, "1%2C2,3");
    CHECK_TEXT(target.pairs[1].name, "y");
    CHECK_TEXT(target.pairs[1].value, "");
    CHECK_TEXT(target.pairs[1].raw, "");
    CHECK_TEXT(target.pairs[2].value, "a+b+");
    CHECK_TEXT(target.pairs[3].name, "");
    CHECK_TEXT(target.pairs[3].value, "v");
    target_release(&target);
}

TEST(targets_that_are_no_path_of_ours_are_refused)
{
    struct target target;
    struct error err = { 0 };
    static const char *const bad[] = {
        "", "*", "a/b", "http://other/a", "http://host", "/a#b", "ftp://host/a", "http://host:80/"
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!target_parse(bad[i], "host", &target, &err));
        CHECK_INT(err.code, ERROR_INVALID);
    }
    CHECK_OK(target_parse("HTTP://Host/a?b", "host", &target, &err), err);
    CHECK_TEXT(target.path, "/a");
    target_release(&target);
}

TEST(host_fields_are_names_or_addresses_with_an_optional_port)
{
    static const char *const good[] = { "a", "pacs.example:8080", "127.0.0.1", "[::1]:80", "a:" };
    static const char *const bad[] = { "",      "a b", "a/b",      "a@b",  "[::1",
                                       "[]:80", "a:x", "a:999999", "a\"b", "<a>" };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK(host_is_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(!host_is_valid(bad[i]));
}

TEST(a_rest_takes_the_paths_that_no_other_pattern_has)
{
    static const struct route own[] = {
        { .method = "POST", .pattern = "/app/login", .respond = respond }
    };
    static const struct route rest[] = {
        { .method = "GET", .pattern = "/app/{path...}", .respond = respond },
        { .method = "GET", .pattern = "/{path...}", .respond = respond },
    };
    const struct route_table tables[] = { { "", rest, 2, NULL }, { "", own, 1, NULL } };
    struct router *router = router_new(tables, 2);
    struct target target;
    struct route_match result;
    static const char *const below[] = { "/app/", "/app/a", "/app/a/b/c" };
    for (size_t i = 0; i < 3; i++) {
        CHECK(match(router, "GET", below[i], &target, &result));
        CHECK(result.route == &rest[0]);
        CHECK_INT(result.parameter_count, 0);
        target_release(&target);
    }
    CHECK(match(router, "GET", "/app", &target, &result));
    CHECK(result.route == &rest[1]);
    target_release(&target);
    CHECK(match(router, "POST", "/app/login", &target, &result));
    CHECK(result.route == &own[0]);
    target_release(&target);
    CHECK(match(router, "GET", "/app/login", &target, &result));
    CHECK(result.route == NULL); /* that path is another's: 405 */
    target_release(&target);
    CHECK(!match(router, "PUT", "/app/a", &target, &result));
    target_release(&target);
    router_free(router);
}
