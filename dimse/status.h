/* SPDX-License-Identifier: MIT */
#pragma once
/* Errors as DIMSE statuses (PS3.7 annex C, PS3.4 B.2.3, C.4.1.1.4, C.4.2.1.5). Thread-safe. */

#include "base/error.h"
#include "dimse/command.h"
#include "dimse/negotiate.h"

enum {
    STATUS_SUCCESS = 0x0000,
    STATUS_ATTRIBUTES_IGNORED = 0x0001, /* warning: optional attributes are not supported */
    STATUS_NO_SUCH_ATTRIBUTE = 0x0105,
    STATUS_INVALID_ATTRIBUTE = 0x0106,
    STATUS_ATTRIBUTE_LIST = 0x0107, /* warning: some attributes were not recognized */
    STATUS_PROCESSING_FAILURE = 0x0110,
    STATUS_DUPLICATE_INSTANCE = 0x0111,
    STATUS_NO_SUCH_INSTANCE = 0x0112,
    STATUS_NO_SUCH_EVENT = 0x0113,
    STATUS_INVALID_ARGUMENT = 0x0115,
    STATUS_INVALID_INSTANCE = 0x0117,
    STATUS_NO_SUCH_CLASS = 0x0118,
    STATUS_CLASS_INSTANCE_CONFLICT = 0x0119,
    STATUS_MISSING_ATTRIBUTE = 0x0120,
    STATUS_MISSING_VALUE = 0x0121,
    STATUS_SOP_CLASS_NOT_SUPPORTED = 0x0122,
    STATUS_NO_SUCH_ACTION = 0x0123,
    STATUS_NOT_AUTHORIZED = 0x0124,
    STATUS_DUPLICATE_INVOCATION = 0x0210,
    STATUS_UNRECOGNIZED_OPERATION = 0x0211,
    STATUS_MISTYPED_ARGUMENT = 0x0212,
    STATUS_RESOURCE_LIMITATION = 0x0213,
    STATUS_OUT_OF_RESOURCES = 0xA700,
    STATUS_SUBOPERATIONS_FAILED = 0xA702,
    STATUS_DESTINATION_UNKNOWN = 0xA801,
    STATUS_MISMATCH = 0xA900,
    STATUS_NO_SUCH_FRAMES = 0xAA00, /* and so on: PS3.4 table Y.4-1 */
    STATUS_NO_FRAMES_OF_CLASS = 0xAA01,
    STATUS_CANNOT_EXTRACT = 0xAA02,
    STATUS_NO_FRAME_TIMES = 0xAA03,
    STATUS_INVALID_FRAMES = 0xAA04,
    STATUS_SUBOPERATIONS_WARNING = 0xB000,
    STATUS_COERCED = 0xB000, /* of C-STORE (PS3.4 B.2.3) */
    STATUS_CANNOT_UNDERSTAND = 0xC000,
    STATUS_CANCELLED = 0xFE00,
    STATUS_PENDING = 0xFF00,
    STATUS_PENDING_WITHOUT_KEYS = 0xFF01, /* some optional keys are not supported */
};

static inline bool status_is_warning(uint16_t code)
{
    return code >> 12 == 0xB || code == 0x0001 || code == 0x0107 || code == 0x0116;
}

/* Names an attribute that the status of DIMSE-N is about; beyond STATUS_ELEMENTS none is added. */
void status_add_attribute(struct status *status, uint32_t tag);

/* With `comment` cut to what an Error Comment may hold. */
struct status status_make(uint16_t code, const char *comment);

/* Of an error of this service, with its message as Error Comment and its tag as Offending
 * Element. */
struct status status_from_error(enum service service, const struct error *err);
