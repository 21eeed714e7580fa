/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of document: a page as it is written, in either form. All text comes in UTF-8
 * from peers, and is escaped here, nowhere else. By value. */

#include "dicom/document.h"

struct page {
    struct buffer *out;
    enum document_form form;
    unsigned depth; /* lists that are open */
};

void page_begin(struct page *page, const char *title);
void page_end(struct page *page);
void page_list_begin(struct page *page);
void page_list_end(struct page *page);
void page_entry_begin(struct page *page);
void page_entry_end(struct page *page);
/* Of the list's depth. */
void page_heading(struct page *page, const char *text);
/* "name: value"; either may be empty. */
void page_name(struct page *page, const char *name);
void page_text(struct page *page, const char *text);
void page_link(struct page *page, const char *url, const char *text);
