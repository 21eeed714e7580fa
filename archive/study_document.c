/* SPDX-License-Identifier: MIT */
#include "archive/study_document.h"

#include "archive/retrieve.h"
#include "dicom/uid.h"

enum {
    MOST_DOCUMENTS = 500,
    MOST_BYTES = 64 << 20,
    WHOLE_MAX = 4 << 20, /* of a data set that is read for its long texts */
};

struct study_budget study_budget_init(void)
{
    struct study_budget budget = { MOST_DOCUMENTS, MOST_BYTES };
    return budget;
}

/* The whole data set in the place of the header. */
static bool read_whole(struct instance *instance, uint64_t size, struct document *document,
                       struct error *err)
{
    struct buffer bytes = buffer_up_to((size_t)size);
    struct space space = buffer_reserve(&bytes, (size_t)size);
    struct dataset *dataset = NULL;
    if (!instance_read(instance, 0, space, err) ||
        !dataset_open(slice_of(space.data, space.size), instance_syntax(instance), NULL, 0,
                      &dataset, err)) {
        buffer_release(&bytes);
        return false;
    }
    document_release(document);
    document->bytes = bytes;
    document->dataset = dataset;
    return true;
}

/* Texts longer than a header keeps. Of a deflated document the header has to do. */
static bool read_long_texts(struct archive *archive, const struct identity *identity,
                            struct document *document, bool *found, struct error *err)
{
    struct instance *instance = NULL;
    struct file_range range;
    struct error why = { 0 };
    bool ok = instance_open(archive, identity->study, identity->series, identity->instance,
                            &instance, &why) &&
              instance_dataset(instance, &range, &why);
    if (ok && !instance_syntax(instance)->deflated && range.size <= WHOLE_MAX)
        ok = read_whole(instance, range.size, document, &why);
    instance_close(instance);
    if (ok)
        return true;
    *found = why.code != ERROR_NOT_FOUND && why.code != ERROR_GONE;
    if (*found && err)
        *err = why;
    return !*found;
}

bool study_document_load(struct archive *archive, const struct identity *identity,
                         struct study_budget *budget, struct document *document, bool *found,
                         bool *beyond, struct error *err)
{
    struct document_parts parts;
    *found = true;
    *beyond = !budget->documents || !budget->bytes;
    if (*beyond)
        return true;
    if (!document_load(archive, identity, document, found, err))
        return false;
    if (!*found)
        return true;
    if (!document_split(buffer_slice(&document->bytes), &parts, err))
        return false;
    if (parts.elision_count && sop_class_is_structured_document(identity->sop_class) &&
        !read_long_texts(archive, identity, document, found, err))
        return false;
    budget->documents--;
    budget->bytes -= document->bytes.size < budget->bytes ? document->bytes.size : budget->bytes;
    return true;
}
