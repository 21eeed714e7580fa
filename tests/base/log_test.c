/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <string.h>
#include <unistd.h>

#include "tests/test.h"

TEST(log_escapes_control_characters_so_that_no_peer_forges_a_line)
{
    int ends[2];
    char line[512];
    int saved = dup(STDERR_FILENO);
    CHECK(pipe(ends) == 0);
    dup2(ends[1], STDERR_FILENO);
    log_info("dimse: calling_ae=%s", "A\nB\x1b");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t size = read(ends[0], line, sizeof(line) - 1);
    close(ends[0]);
    CHECK(size > 0);
    line[size] = '\0';
    CHECK(strstr(line, "calling_ae=A\\x0aB\\x1b\n"));
    CHECK(strchr(line, '\n') == line + size - 1);
}
