/* SPDX-License-Identifier: MIT */
#include "dimse/attributes.h"

#include "dicom/scan.h"

enum { ELEMENT_LIMIT = 100000 };

static bool parse(struct attributes *attributes, const struct transfer_syntax *syntax,
                  struct slice bytes, struct error *err)
{
    struct scan_limits limits = scan_default_limits;
    limits.header_size = bytes.size;
    limits.value_size = bytes.size; /* every value is wanted */
    limits.elements = ELEMENT_LIMIT;
    attributes->scan = scan_new(syntax, &limits);
    return scan_write(attributes->scan, bytes, err) && scan_finish(attributes->scan, err) &&
           dataset_open(scan_header(attributes->scan), syntax, NULL, 0, &attributes->dataset, err);
}

bool attributes_receive(struct message *request, size_t limit, struct attributes *attributes,
                        struct error *refusal, struct error *err)
{
    struct buffer bytes = buffer_up_to(limit);
    bool ok = false;
    *attributes = (struct attributes){ .scan = NULL };
    if (!request->command.has_data_set)
        error_set(refusal, ERROR_INVALID, "the data set is missing");
    else if (message_read_all(request, &bytes, err))
        ok = buffer_check(&bytes, "the data set", refusal) &&
             parse(attributes, request->context->syntax, buffer_slice(&bytes), refusal);
    buffer_release(&bytes);
    if (!ok)
        attributes_release(attributes);
    return ok;
}

void attributes_release(struct attributes *attributes)
{
    dataset_close(attributes->dataset);
    scan_free(attributes->scan);
    *attributes = (struct attributes){ .scan = NULL };
}
