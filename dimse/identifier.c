/* SPDX-License-Identifier: MIT */
#include "dimse/identifier.h"

#include "dicom/scan.h"

enum {
    /* Ten thousand UIDs in a list take 650 KB. */
    IDENTIFIER_LIMIT = 4 << 20,
    ELEMENT_LIMIT = 20000,
    KEY_LIMIT = 1 << 10, /* of a unique key that is a single value */
};

static const struct {
    const char *name;
    uint32_t unique_key;
} levels[] = {
    [LEVEL_PATIENT] = { "PATIENT", TAG_PATIENT_ID },
    [LEVEL_STUDY] = { "STUDY", TAG_STUDY_INSTANCE_UID },
    [LEVEL_SERIES] = { "SERIES", TAG_SERIES_INSTANCE_UID },
    [LEVEL_INSTANCE] = { "IMAGE", TAG_SOP_INSTANCE_UID },
};

/* The levels of the information models (PS3.4 C.6.1, C.6.2, and C.6.3, which is retired). */
static const struct model {
    enum level first;
    enum level last;
    const char *syntaxes[3]; /* FIND, MOVE, GET */
    bool has_frames;         /* and the FRAME level below */
} models[] = {
    { LEVEL_STUDY,
      LEVEL_INSTANCE,
      { UID_STUDY_ROOT_FIND, UID_STUDY_ROOT_MOVE, UID_STUDY_ROOT_GET },
      false },
    { LEVEL_PATIENT,
      LEVEL_INSTANCE,
      { UID_PATIENT_ROOT_FIND, UID_PATIENT_ROOT_MOVE, UID_PATIENT_ROOT_GET },
      false },
    { LEVEL_PATIENT,
      LEVEL_STUDY,
      { UID_PATIENT_STUDY_FIND, UID_PATIENT_STUDY_MOVE, UID_PATIENT_STUDY_GET },
      false },
    /* Composite Instance Root (PS3.4 Y.3.1) */
    { LEVEL_INSTANCE,
      LEVEL_INSTANCE,
      { "", UID_COMPOSITE_ROOT_MOVE, UID_COMPOSITE_ROOT_GET },
      true },
    /* Composite Instance Retrieve Without Bulk Data (PS3.4 Z.1.3) */
    { LEVEL_INSTANCE, LEVEL_INSTANCE, { "", "", UID_WITHOUT_BULK_GET }, false },
};

static const struct model *find_model(const char *abstract_syntax)
{
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        for (size_t j = 0; j < 3; j++)
            if (strcmp(models[i].syntaxes[j], abstract_syntax) == 0)
                return &models[i];
    return &models[0];
}

uint32_t identifier_unique_tag(enum level level)
{
    return levels[level].unique_key;
}

const char *identifier_level_name(enum level level)
{
    return levels[level].name;
}

bool identifier_unique_key(const struct identifier *identifier, enum level level,
                           struct buffer *text)
{
    return dataset_text(identifier->dataset, levels[level].unique_key, text);
}

static bool parse(struct identifier *identifier, const struct transfer_syntax *syntax,
                  struct slice bytes, struct error *err)
{
    struct scan_limits limits = scan_default_limits;
    limits.header_size = IDENTIFIER_LIMIT;
    limits.value_size = IDENTIFIER_LIMIT; /* every value is wanted */
    limits.elements = ELEMENT_LIMIT;
    identifier->scan = scan_new(syntax, &limits);
    return scan_write(identifier->scan, bytes, err) && scan_finish(identifier->scan, err) &&
           dataset_open(scan_header(identifier->scan), syntax, NULL, 0, &identifier->dataset, err);
}

static bool find_level(struct identifier *identifier, const struct model *model, struct error *err)
{
    char name[17];
    dataset_string(identifier->dataset, TAG_QUERY_RETRIEVE_LEVEL, name, sizeof(name));
    if (model->has_frames && strcmp(name, "FRAME") == 0) {
        identifier->level = LEVEL_INSTANCE;
        identifier->of_frames = true;
        return true;
    }
    for (enum level level = model->first; level <= model->last; level++)
        if (strcmp(levels[level].name, name) == 0) {
            identifier->level = level;
            return true;
        }
    return error_set_tag(err, ERROR_MISMATCH, TAG_QUERY_RETRIEVE_LEVEL,
                         "Query/Retrieve Level missing or not of the model");
}

/* Hierarchical queries name every entity above by a single value (PS3.4 C.4.1.2.1). */
static bool check_upper_keys(const struct identifier *identifier, struct error *err)
{
    if (identifier->is_relational)
        return true;
    for (enum level level = identifier->first; level < identifier->level; level++) {
        struct buffer key = buffer_up_to(KEY_LIMIT);
        bool ok = identifier_unique_key(identifier, level, &key) && !key.overflowed &&
                  strpbrk(buffer_text(&key), "*?\\") == NULL;
        buffer_release(&key);
        if (!ok)
            return error_set_tag(err, ERROR_MISMATCH, levels[level].unique_key,
                                 "unique key of a level above is no single value");
    }
    return true;
}

bool identifier_receive_keys(struct message *request, struct identifier *identifier,
                             struct error *refusal, struct error *err)
{
    struct buffer bytes = buffer_up_to(IDENTIFIER_LIMIT);
    bool ok = false;
    memset(identifier, 0, sizeof(*identifier));
    if (!request->command.has_data_set)
        error_set(refusal, ERROR_MISMATCH, "the identifier is missing");
    else if (message_read_all(request, &bytes, err))
        ok = buffer_check(&bytes, "identifier", refusal) &&
             parse(identifier, request->context->syntax, buffer_slice(&bytes), refusal);
    buffer_release(&bytes);
    if (!ok)
        identifier_release(identifier);
    return ok;
}

bool identifier_receive(struct message *request, struct identifier *identifier,
                        struct error *refusal, struct error *err)
{
    const struct model *model = find_model(request->context->abstract_syntax);
    if (!identifier_receive_keys(request, identifier, refusal, err))
        return false;
    identifier->first = model->first;
    identifier->is_relational = request->context->extended[EXTENDED_RELATIONAL];
    bool ok = find_level(identifier, model, refusal) && check_upper_keys(identifier, refusal);
    if (!ok)
        identifier_release(identifier);
    return ok;
}

void identifier_release(struct identifier *identifier)
{
    dataset_close(identifier->dataset);
    scan_free(identifier->scan);
    identifier->dataset = NULL;
    identifier->scan = NULL;
}
