/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <string.h>
#include <unistd.h>

#include "tests/test.h"

/* What is written on stderr by one call. */
#define CAPTURE(line, call)                                                                        \
    do {                                                                                           \
        int ends[2];                                                                               \
        int saved = dup(STDERR_FILENO);                                                            \
        CHECK(pipe(ends) == 0);                                                                    \
        dup2(ends[1], STDERR_FILENO);                                                              \
        call;                                                                                      \
        dup2(saved, STDERR_FILENO);                                                                \
        close(saved);                                                                              \
        close(ends[1]);                                                                            \
        ssize_t size = read(ends[0], line, sizeof(line) - 1);                                      \
        close(ends[0]);                                                                            \
        CHECK(size > 0);                                                                           \
        line[size] = '\0';                                                                         \
        CHECK(strchr(line, '\n') == line + size - 1);                                              \
    } while (0)

TEST(log_escapes_control_characters_so_that_no_peer_forges_a_line)
{
    char line[512];
    CAPTURE(line, log_info("dimse: calling_ae=%s", "A\nB\x1b"));
    CHECK(strstr(line, "calling_ae=A\\x0aB\\x1b\n"));
}

TEST(log_escapes_quotes_of_values_so_that_no_peer_forges_a_key)
{
    char line[512];
    CAPTURE(line, log_info("a: why=\"%s\" path=%s n=%d", "no \"x\" ok=1", "c:\\t", 7));
    CHECK(strstr(line, "a: why=\"no \\\"x\\\" ok=1\" path=c:\\\\t n=7\n"));
    CAPTURE(line, log_info("a: why=%s", "\""));
    CHECK(strstr(line, "a: why=\\\"\n"));
    CAPTURE(line, log_info("a: why=\"%s\"", "it's"));
    CHECK(strstr(line, "a: why=\"it's\"\n"));
}

TEST(log_cuts_a_long_line_also_when_all_of_it_is_escaped)
{
    static char value[3000];
    static char line[8192];
    memset(value, '"', sizeof(value) - 1);
    CAPTURE(line, log_info("a: why=\"%s\"", value));
    CHECK(strlen(line) > 2000 && strlen(line) < 2200);
    CHECK(strstr(line, "why=\"\\\"\\\""));
}
