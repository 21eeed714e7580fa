/* SPDX-License-Identifier: MIT */
/* A content tree of a peer as a page and as text. A page has no markup but ours, whatever the texts
 * say. */
#include <ctype.h>

#include "dicom/document.h"
#include "dicom/utf8.h"
#include "tests/fuzz/scanned_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool begins_with(const char *at, const char *const *list)
{
    for (; *list; list++)
        if (!strncmp(at, *list, strlen(*list)))
            return true;
    return false;
}

/* Every '<' begins a tag of ours, and an attribute ends where we end it. */
static void check_markup(const char *page)
{
    static const char *const tags[] = {
        "<!DOCTYPE html>",
        "<html>",
        "<head>",
        "<meta charset=\"utf-8\">",
        "<title>",
        "</title>",
        "<style>",
        "</style>",
        "</head>",
        "<body>",
        "</body>",
        "</html>",
        "<ul>",
        "</ul>",
        "<li>",
        "</li>",
        "<h1>",
        "<h2>",
        "<h3>",
        "<h4>",
        "<h5>",
        "<h6>",
        "</h1>",
        "</h2>",
        "</h3>",
        "</h4>",
        "</h5>",
        "</h6>",
        "<b>",
        "</b>",
        "<span>",
        "</span>",
        "<p>",
        "</p>",
        "<br>",
        "</a>",
        "<a href=\"http://service",
        NULL,
    };
    for (const char *at = strchr(page, '<'); at; at = strchr(at + 1, '<')) {
        if (!begins_with(at, tags))
            abort();
        if (!strncmp(at, "<a ", 3)) {
            const char *end = strchr(at + 9, '"');
            if (!end || end[1] != '>')
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scanned_input input;
    struct error err;
    if (!scanned_input_open(&input, slice_of(data, size)))
        return 0;
    for (int form = DOCUMENT_HTML; form <= DOCUMENT_TEXT; form++) {
        struct buffer page = buffer_up_to(1 << 20);
        if (document_write(input.header, &input.source, "http://service", (enum document_form)form,
                           &page, &err)) {
            if (!utf8_is_valid(buffer_slice(&page)))
                abort();
            if (form == DOCUMENT_HTML)
                check_markup(buffer_text(&page));
        }
        buffer_release(&page);
    }
    document_is_there(input.header);
    scanned_input_close(&input);
    return 0;
}
