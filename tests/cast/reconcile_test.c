/* SPDX-License-Identifier: MIT */
#include "cast/reconcile.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/test.h"

static char *next_page(const char *url)
{
    char text[512];
    cJSON *page = NULL;
    struct error err;
    snprintf(
        text, sizeof text,
        "{\"link\":[{\"relation\":\"self\",\"url\":\"x\"},{\"relation\":\"next\",\"url\":\"%s\"}]}",
        url);
    CHECK_OK(json_parse(slice_text(text), &page, &err), err);
    char *path = reconcile_next_page(page, "http://fhir.example/r4");
    cJSON_Delete(page);
    return path;
}

TEST(FHIR_09_the_next_page_is_of_the_server_that_was_asked)
{
    static const struct {
        const char *url;
        const char *path;
    } cases[] = {
        { "http://fhir.example/r4?_getpages=1", "?_getpages=1" },
        { "http://fhir.example/r4/ImagingStudy?page=2", "ImagingStudy?page=2" },
        { "http://fhir.example/r4/Page/x", "Page/x" },
        { "ImagingStudy?page=2", "ImagingStudy?page=2" },
        { "?page=2", "?page=2" },
        { "http://inside.example:8080/other/ImagingStudy?page=2", "ImagingStudy?page=2" },
        { "http://169.254.169.254/latest?x=1", "?x=1" },
        { "http://fhir.example/r4@evil.example/x?y", "?y" },
        { "http://evil.example/x", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = next_page(cases[i].url);
        CHECK((path == NULL) == (cases[i].path == NULL));
        if (path && cases[i].path)
            CHECK_TEXT(path, cases[i].path);
        free(path);
    }
}
