/* SPDX-License-Identifier: MIT */
#include "dicom/document_page.h"

enum { DEEPEST_HEADING = 6, DEEPEST_INDENT = 32 };

static bool is_html(const struct page *page)
{
    return page->form == DOCUMENT_HTML;
}

static void indent(struct page *page)
{
    for (unsigned i = 1; i < page->depth && i < DEEPEST_INDENT; i++)
        buffer_append_text(page->out, "  ");
}

/* Lines stay lines; what no text has in it is left out. */
static void append_plain(struct page *page, const char *text)
{
    for (; *text; text++) {
        uint8_t byte = (uint8_t)*text;
        if (byte == '\n') {
            buffer_append_byte(page->out, '\n');
            indent(page);
            buffer_append_text(page->out, "  ");
        } else if (byte == '\t' || (byte >= ' ' && byte != 0x7F)) {
            buffer_append_byte(page->out, byte);
        }
    }
}

static void append_html(struct page *page, const char *text)
{
    for (; *text; text++) {
        uint8_t byte = (uint8_t)*text;
        switch (byte) {
        case '&':
            buffer_append_text(page->out, "&amp;");
            break;
        case '<':
            buffer_append_text(page->out, "&lt;");
            break;
        case '>':
            buffer_append_text(page->out, "&gt;");
            break;
        case '"':
            buffer_append_text(page->out, "&quot;");
            break;
        case '\'':
            buffer_append_text(page->out, "&#39;");
            break;
        default:
            if (byte == '\n' || byte == '\t' || (byte >= ' ' && byte != 0x7F))
                buffer_append_byte(page->out, byte);
        }
    }
}

static void append(struct page *page, const char *text)
{
    if (is_html(page))
        append_html(page, text);
    else
        append_plain(page, text);
}

static void append_markup(struct page *page, const char *markup)
{
    if (is_html(page))
        buffer_append_text(page->out, markup);
}

void page_begin(struct page *page, const char *title)
{
    append_markup(page, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>");
    append(page, title);
    append_markup(page, "</title><style>body{font-family:sans-serif;max-width:50em;margin:2em auto;"
                        "padding:0 1em}ul{list-style:none;padding-left:1.2em}"
                        "span{white-space:pre-wrap}</style></head>\n<body><h1>");
    if (is_html(page))
        append(page, title);
    else
        buffer_append_byte(page->out, '\n');
    append_markup(page, "</h1>\n");
}

void page_end(struct page *page)
{
    append_markup(page, "</body></html>\n");
}

void page_list_begin(struct page *page)
{
    page->depth++;
    append_markup(page, "<ul>\n");
}

void page_list_end(struct page *page)
{
    page->depth--;
    append_markup(page, "</ul>\n");
}

void page_entry_begin(struct page *page)
{
    append_markup(page, "<li>");
}

void page_entry_end(struct page *page)
{
    append_markup(page, "</li>\n");
}

void page_heading(struct page *page, const char *text)
{
    unsigned level = page->depth + 1 < DEEPEST_HEADING ? page->depth + 1 : DEEPEST_HEADING;
    if (is_html(page))
        buffer_append_format(page->out, "<h%u>", level);
    else
        buffer_append_byte(page->out, '\n');
    if (!is_html(page))
        indent(page);
    append(page, text);
    if (is_html(page))
        buffer_append_format(page->out, "</h%u>", level);
    buffer_append_byte(page->out, '\n');
}

void page_name(struct page *page, const char *name)
{
    if (!is_html(page))
        indent(page);
    if (!*name)
        return;
    append_markup(page, "<b>");
    append(page, name);
    append_markup(page, "</b>");
    buffer_append_text(page->out, ": ");
}

static void end_line(struct page *page)
{
    if (!is_html(page))
        buffer_append_byte(page->out, '\n');
}

void page_text(struct page *page, const char *text)
{
    append_markup(page, "<span>");
    append(page, text);
    append_markup(page, "</span>");
    end_line(page);
}

void page_link(struct page *page, const char *url, const char *text)
{
    append_markup(page, "<a href=\"");
    if (is_html(page))
        append(page, url);
    append_markup(page, "\">");
    append(page, text);
    append_markup(page, "</a>");
    if (!is_html(page)) {
        buffer_append_text(page->out, " <");
        append(page, url);
        buffer_append_text(page->out, ">");
    }
    end_line(page);
}
