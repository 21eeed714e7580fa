/* SPDX-License-Identifier: MIT */
#include "http/forwarded.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/target.h"
#include "tests/test.h"

static const char *const trusted[] = { "10.0.0.0/8", "2001:db8:1::/48", NULL };

/* A request over 10.0.0.1, with up to two lines of a field. */
static void resolve(bool rfc_7239, const char *name, const char *first, const char *second,
                    struct request *request)
{
    struct address peer;
    CHECK(address_parse("10.0.0.1", &peer));
    memset(request, 0, sizeof(*request));
    request->headers[request->header_count++] = (struct header){ name, first };
    if (second)
        request->headers[request->header_count++] = (struct header){ name, second };
    struct proxies *proxies = proxies_new(trusted, rfc_7239);
    proxies_resolve(proxies, &peer, false, request);
    proxies_free(proxies);
}

static void check_client(const struct request *request, const char *expected)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format(&request->origin.client, text);
    CHECK_TEXT(text, expected);
}

TEST(HOS_45_a_quote_that_a_client_leaves_open_swallows_nothing_of_what_its_proxy_says)
{
    struct request request;
    resolve(true, "Forwarded", "for=\"x, for=192.0.2.7;proto=https", NULL, &request);
    check_client(&request, "192.0.2.7");
    CHECK(request.origin.secure);
    resolve(true, "Forwarded", "for=10.9.9.9;host=evil.example;x=\", for=\"[2001:db8:2::7]:4711\"",
            NULL, &request);
    check_client(&request, "2001:db8:2::7");
    CHECK_TEXT(request.origin.host, "");
    resolve(true, "Forwarded", "for=10.9.9.9;x=\"\\", "for=192.0.2.9;host=\"pacs.example:8443\"",
            &request);
    check_client(&request, "192.0.2.9");
    CHECK_TEXT(request.origin.host, "pacs.example:8443");
    resolve(false, "X-Forwarded-For", "\"", "192.0.2.8", &request);
    check_client(&request, "192.0.2.8");
}

TEST(HOS_45_however_much_a_client_says_what_its_proxy_says_counts)
{
    struct request request;
    struct buffer text = buffer_up_to(1 << 20);
    for (size_t i = 0; i < 10000; i++)
        buffer_append_text(&text, "10.1.1.1, ");
    buffer_append_text(&text, "192.0.2.8");
    resolve(false, "X-Forwarded-For", buffer_text(&text), NULL, &request);
    check_client(&request, "192.0.2.8");
    buffer_release(&text);
}

TEST(elements_are_believed_from_the_right_as_long_as_proxies_are_trusted)
{
    struct request request;
    resolve(true, "Forwarded", "for=1.2.3.4;host=evil, for=192.0.2.7;host=\"a\\\"b\";proto=https",
            "for=10.2.2.2;host=inner", &request);
    check_client(&request, "192.0.2.7");
    CHECK_TEXT(request.origin.host, "inner"); /* a"b is no host */
    CHECK(request.origin.secure);
    resolve(true, "Forwarded", "for=192.0.2.7, for=_hidden", NULL, &request);
    check_client(&request, "10.0.0.1");
}

TEST(HOS_45_a_host_is_no_longer_than_a_name_can_be)
{
    char host[300] = "[";
    memset(host + 1, '1', 280);
    memcpy(host + 281, "]", 2);
    CHECK(!host_is_valid(host));
    CHECK(host_is_valid("[2001:db8::1]:8080"));
}
