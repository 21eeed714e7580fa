/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "dimse/forward_parts.h"
#include "dimse/status.h"

static bool is_listed(const char *const *list, const char *text)
{
    if (!list || !*list)
        return true;
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

bool forward_wants(const struct dimse_options *options, const char *to, const char *source_ae,
                   const char *modality)
{
    if (strcmp(to, source_ae) == 0)
        return false;
    for (size_t i = 0; i < options->forward_rule_count; i++) {
        const struct forward_rule *rule = &options->forward_rules[i];
        if (strcmp(rule->to, to) == 0 && is_listed(rule->modalities, modality) &&
            is_listed(rule->calling_ae_titles, source_ae))
            return true;
    }
    return false;
}

enum forward_outcome forward_judge(uint16_t status)
{
    if (status == STATUS_SUCCESS || status_is_warning(status) ||
        status == STATUS_DUPLICATE_INSTANCE)
        return FORWARD_SENT;
    if (status >> 8 == STATUS_OUT_OF_RESOURCES >> 8 || status == STATUS_RESOURCE_LIMITATION)
        return FORWARD_LATER;
    return FORWARD_REFUSED;
}

bool forward_has_rules(const struct dimse_options *options, const char *to)
{
    for (size_t i = 0; i < options->forward_rule_count; i++)
        if (strcmp(options->forward_rules[i].to, to) == 0)
            return true;
    return false;
}
