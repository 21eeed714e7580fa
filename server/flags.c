/* SPDX-License-Identifier: MIT */
#include "server/flags.h"

#include <stdlib.h>
#include <string.h>

static bool is_taken(const struct flag *flag, unsigned commands)
{
    return !flag->commands || (commands & flag->commands);
}

static bool set(const struct flag *flag, void *object, const char *value, struct error *err)
{
    void *field = (char *)object + flag->offset;
    if (flag->set)
        return flag->set(object, value) ||
               error_set(err, ERROR_INVALID, "%s takes %s, not \"%.60s\"", flag->name, flag->takes,
                         value);
    if (flag->value)
        *(const char **)field = value;
    else
        *(bool *)field = true;
    return true;
}

bool flags_take(const struct flag *flags, size_t count, unsigned commands, void *object,
                char **words, int left, int *taken, struct error *err)
{
    const char *word = strcmp(words[0], "-h") ? words[0] : "--help";
    *taken = 0;
    for (size_t i = 0; i < count; i++) {
        const struct flag *flag = &flags[i];
        if (strcmp(flag->name, word) || !is_taken(flag, commands))
            continue;
        if (flag->value && left < 2)
            return error_set(err, ERROR_INVALID, "%s needs a value: %s %s", word, word,
                             flag->value);
        *taken = flag->value ? 2 : 1;
        return set(flag, object, flag->value ? words[1] : NULL, err);
    }
    return true;
}

void flags_print(const struct flag *flags, size_t count, unsigned commands, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        char usage[32];
        if (!is_taken(&flags[i], commands))
            continue;
        snprintf(usage, sizeof(usage), "%s %s", flags[i].name,
                 flags[i].value ? flags[i].value : "");
        fprintf(out, "  %-18s %s\n", usage, flags[i].help);
    }
}

bool flags_read_count(const char *value, unsigned minimum, unsigned maximum, unsigned *number)
{
    char *end;
    unsigned long long read = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || read < minimum || read > maximum)
        return false;
    *number = (unsigned)read;
    return true;
}

bool flags_read_number(const char *value, double minimum, double maximum, double *number)
{
    char *end;
    *number = strtod(value, &end);
    return *value && !*end && *number >= minimum && *number <= maximum;
}
