/* SPDX-License-Identifier: MIT */
/* Request-targets: whatever is taken is clean text, and nothing of it leaves its segment. */
#include <stdlib.h>
#include <string.h>

#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_clean(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *raw = malloc(size + 1);
    if (!raw)
        abort();
    memcpy(raw, data, size);
    raw[size] = '\0';
    struct target target;
    struct error err;
    if (target_parse(raw, "host", &target, &err)) {
        if (target.path[0] != '/' || !target.segment_count ||
            target.segment_count > TARGET_MAX_SEGMENTS || target.pair_count > TARGET_MAX_PAIRS)
            abort();
        for (size_t i = 0; i < target.segment_count; i++) {
            check_clean(target.segments[i]);
            if (strcmp(target.segments[i], "..") == 0)
                abort();
        }
        for (size_t i = 0; i < target.pair_count; i++) {
            check_clean(target.pairs[i].name);
            check_clean(target.pairs[i].value);
        }
        target_release(&target);
    }
    if (host_is_valid(raw) && strpbrk(raw, "/\\\"<>@ \r\n"))
        abort();
    free(raw);
    return 0;
}
