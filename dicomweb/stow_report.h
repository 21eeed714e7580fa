/* SPDX-License-Identifier: MIT */
#pragma once
/* What became of each part of a STOW-RS request, and the Store Instances Response Module that tells
 * the client (PS3.18 annex I.2). One thread at a time. */

#include "archive/archive.h"
#include "base/buffer.h"
#include "base/error.h"

/* Failure Reason (0008,1197): PS3.18 I.2.2, PS3.7 annex C, PS3.4 B.2.3. */
enum failure_reason {
    FAILURE_NONE = 0,
    FAILURE_PROCESSING = 0x0110,
    FAILURE_DUPLICATE = 0x0111,
    FAILURE_SOP_CLASS = 0x0122,
    FAILURE_RESOURCES = 0xA700,
    FAILURE_MISMATCH = 0xA900,
    FAILURE_CANNOT_UNDERSTAND = 0xC000,
};
enum failure_reason failure_reason_of(enum error_code code);

struct stow_result {
    enum failure_reason reason; /* FAILURE_NONE: stored, or here already */
    struct identity *identity;  /* as far as it is known; NULL: nothing is. Owned */
};

struct stow_report {
    struct stow_result *results;
    size_t count;
    size_t capacity;
};

/* The place is valid until the next call. */
struct stow_result *stow_report_add(struct stow_report *report);
/* Takes a copy. A part of which nothing is known costs nothing here, as a small request can have
 * very many of them. */
void stow_result_identify(struct stow_result *result, const struct identity *identity);
/* Original Attributes Sequence of an instance whose attributes were coerced, as a data set in
 * Explicit VR Little Endian; empty: nothing was. Takes a copy. Only behind stow_result_identify. */
void stow_result_coerced(struct stow_result *result, struct slice originals);
void stow_report_release(struct stow_report *report);

/* Whether something was stored with a warning. */
bool stow_report_has_warning(const struct stow_report *report);
/* 200 all stored, 202 some, or some with a warning, 409 or what fits better for none
 * (PS3.18 10.5.3.1). */
int stow_report_status(const struct stow_report *report);

/* The module as DICOM JSON, or as an XML Native DICOM Model (PS3.19 A.1). `base_url` is that of the
 * service, `study` that of the request's path or "". */
void stow_report_write_json(const struct stow_report *report, const char *base_url,
                            const char *study, struct buffer *json);
void stow_report_write_xml(const struct stow_report *report, const char *base_url,
                           const char *study, struct buffer *xml);
