/* SPDX-License-Identifier: MIT */
#include "dimse/peers.h"

#include <arpa/inet.h>

#include "base/clock.h"
#include "tests/test.h"

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage storage = { .ss_family = AF_INET };
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&storage)->sin_addr) == 1)
        return storage;
    storage.ss_family = AF_INET6;
    CHECK_INT(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&storage)->sin6_addr), 1);
    return storage;
}

static enum admission admit(const struct dimse_options *options, const char *title,
                            const char *from)
{
    struct sockaddr_storage storage = address(from);
    return peers_admit(options, title, &storage);
}

TEST(an_ipv4_address_is_the_same_in_its_ipv6_spelling)
{
    struct sockaddr_storage v4 = address("192.0.2.7");
    struct sockaddr_storage mapped = address("::ffff:192.0.2.7");
    struct sockaddr_storage other = address("::ffff:192.0.2.8");
    struct sockaddr_storage v6 = address("2001:db8::7");
    CHECK(peers_same_host(&v4, &mapped) && peers_same_host(&mapped, &v4));
    CHECK(!peers_same_host(&v4, &other) && !peers_same_host(&v6, &mapped));
    CHECK(peers_same_host(&v6, &v6));
}

TEST(strangers_may_call_on_the_loopback_and_in_a_trusted_network_only)
{
    static const char *const loopbacks[] = { "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1" };
    static const char *const others[] = { "0.0.0.0", "::", "192.0.2.1", "2001:db8::1" };
    struct dimse_options options = { .peer_count = 0 };
    for (size_t i = 0; i < 4; i++) {
        options.address = loopbacks[i];
        CHECK_INT(admit(&options, "ANY", "127.0.0.1"), ADMITTED);
        options.address = others[i];
        CHECK_INT(admit(&options, "ANY", "127.0.0.1"), ADMISSION_UNKNOWN_TITLE);
        options.trust_network = true;
        CHECK_INT(admit(&options, "ANY", "127.0.0.1"), ADMITTED);
        options.trust_network = false;
    }
}

TEST(beyond_the_loopback_without_a_title_nobody_may_call)
{
    static const char *const titles[] = { "CT1", NULL };
    static const struct peer peer = { .ae_title = "MR1" };
    struct dimse_options options = { .address = "0.0.0.0" };
    CHECK(peers_admit_nobody(&options));
    options.trust_network = true;
    CHECK(!peers_admit_nobody(&options));
    options.trust_network = false;
    options.calling_ae_titles = titles;
    CHECK(!peers_admit_nobody(&options));
    options.calling_ae_titles = NULL;
    options.peers = &peer;
    options.peer_count = 1;
    CHECK(!peers_admit_nobody(&options));
    options.peer_count = 0;
    options.address = "127.0.0.1";
    CHECK(!peers_admit_nobody(&options));
}

TEST(a_list_of_titles_closes_and_the_table_adds_to_it)
{
    static const char *const titles[] = { "CT1", NULL };
    static const struct peer peers[] = { { .ae_title = "MR1" } };
    struct dimse_options options = { .address = "127.0.0.1",
                                     .calling_ae_titles = titles,
                                     .peers = peers,
                                     .peer_count = 1,
                                     .trust_network = true };
    CHECK_INT(admit(&options, "CT1", "192.0.2.1"), ADMITTED);
    CHECK_INT(admit(&options, "MR1", "192.0.2.1"), ADMITTED);
    CHECK_INT(admit(&options, "ANY", "192.0.2.1"), ADMISSION_UNKNOWN_TITLE);
    CHECK_INT(admit(&options, "mr1", "192.0.2.1"), ADMISSION_UNKNOWN_TITLE);
}

TEST(a_peer_with_a_host_calls_from_there)
{
    static const struct peer peers[] = { { .ae_title = "V4", .host = "192.0.2.7" },
                                         { .ae_title = "V6", .host = "2001:db8::7" },
                                         { .ae_title = "NAME", .host = "ct.example.org" } };
    struct dimse_options options = { .address = "::", .peers = peers, .peer_count = 3 };
    CHECK_INT(admit(&options, "V4", "192.0.2.7"), ADMITTED);
    CHECK_INT(admit(&options, "V4", "::ffff:192.0.2.7"), ADMITTED);
    CHECK_INT(admit(&options, "V4", "192.0.2.8"), ADMISSION_WRONG_ADDRESS);
    CHECK_INT(admit(&options, "V6", "2001:db8::7"), ADMITTED);
    CHECK_INT(admit(&options, "V6", "2001:db8::8"), ADMISSION_WRONG_ADDRESS);
    CHECK_INT(admit(&options, "NAME", "192.0.2.7"), ADMISSION_TO_RESOLVE);
}

TEST(a_name_is_resolved_to_all_its_addresses)
{
    struct sockaddr_storage loopback = address("127.0.0.1");
    struct sockaddr_storage other = address("192.0.2.7");
    int64_t deadline = clock_monotonic_ms() + 20000;
    CHECK(peers_resolve("localhost", &loopback, deadline));
    CHECK(!peers_resolve("localhost", &other, deadline));
    CHECK(!peers_resolve("no-such-host.invalid", &loopback, deadline));
}

TEST(each_service_needs_its_right_and_verification_none)
{
    static const struct {
        enum service service;
        enum right right;
    } needs[] = { { SERVICE_STORAGE, RIGHT_STORE },
                  { SERVICE_FIND, RIGHT_FIND },
                  { SERVICE_MOVE, RIGHT_MOVE },
                  { SERVICE_GET, RIGHT_GET },
                  { SERVICE_COMMITMENT, RIGHT_COMMIT } };
    CHECK(peers_may(0, SERVICE_VERIFICATION));
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
        CHECK(peers_may((uint8_t)needs[i].right, needs[i].service));
        CHECK(!peers_may((uint8_t)(RIGHT_ALL & ~needs[i].right), needs[i].service));
    }
}
