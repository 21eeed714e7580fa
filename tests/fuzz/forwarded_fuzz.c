/* SPDX-License-Identifier: MIT */
/* What a proxy says of its client, and credentials: the first byte says by which field. What comes
 * out of it must be fit to stand in a URL. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/forwarded.h"
#include "http/login.h"
#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct request *request)
{
    if (*request->origin.host && !host_is_valid(request->origin.host))
        abort();
    for (const char *c = request->origin.prefix; *c; c++)
        if ((unsigned char)*c <= 0x20 || strchr("\"<>\\%?#", *c))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto",
                                         "X-Forwarded-Host", "X-Forwarded-Prefix" };
    static const char *const trusted[] = { "10.0.0.0/8", "2001:db8::/32", NULL };
    struct address peer;
    if (size < 1 || !address_parse("10.0.0.1", &peer))
        return 0;
    char *text = malloc(size);
    struct request *request = calloc(1, sizeof(*request));
    if (!text || !request)
        abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    /* Twice, as a field of several lines. */
    const char *name = names[data[0] % 5];
    request->headers[0] = (struct header){ name, text };
    request->headers[1] = (struct header){ name, text };
    request->header_count = 1 + (data[0] >> 7);
    struct proxies *proxies = proxies_new(trusted, data[0] % 5 == 0);
    proxies_resolve(proxies, &peer, false, request);
    check(request);
    proxies_free(proxies);

    const struct http_user user = { .name = "a",
                                    .token_sha256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e"
                                                    "72b9807785afee48bb" };
    const struct http_user *found;
    struct login *login = login_new(&user, 1);
    if (strncasecmp(text, "Basic", 5) != 0) /* whose hash is slow on purpose */
        login_find(login, text, &peer, &found);
    login_free(login);
    free(request);
    free(text);
    return 0;
}
