/* SPDX-License-Identifier: MIT */
#include "cast/cast.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/fhir_time.h"
#include "cast/fhir_view.h"
#include "cast/follower.h"
#include "cast/text.h"

enum { TEXTS = 8, MAXIMUM_AGE_MS = 60 * 1000 };

struct cast {
    struct archive *archive;
    struct mapping_options mapping;
    struct follower *follower; /* NULL: no FHIR server */
    struct fhir_view *view;
    char *texts[TEXTS]; /* what the options above point into */
    size_t text_count;
};

static const char *keep(struct cast *cast, const char *text)
{
    return text && *text ? cast->texts[cast->text_count++] = mem_copy_text(text) : NULL;
}

static const char *own_system(struct cast *cast, const char *ae_title)
{
    struct buffer system = buffer_up_to(1024);
    buffer_append_text(&system, "urn:hounsfield:");
    text_percent_encode(slice_text(ae_title && *ae_title ? ae_title : "HOUNSFIELD"), &system);
    const char *kept = keep(cast, buffer_text(&system));
    buffer_release(&system);
    return kept;
}

static bool check_options(const struct cast_options *options, struct error *err)
{
    char zone[FHIR_TIME_SIZE];
    if (options->identifier_system && *options->identifier_system &&
        !text_is_uri(options->identifier_system))
        return error_set(err, ERROR_INVALID,
                         "the identifier system (fhir.identifierSystem) is no URI");
    if (options->timezone && *options->timezone && !fhir_zone(options->timezone, zone))
        return error_set(err, ERROR_INVALID,
                         "the time zone (fhir.timezone) is not of the form +01:00");
    if (options->dicomweb_url && *options->dicomweb_url && !text_is_uri(options->dicomweb_url))
        return error_set(err, ERROR_INVALID, "the cast's DICOMweb address is no URL");
    return true;
}

static void set_mapping(struct cast *cast, const struct cast_options *options)
{
    const char *source = own_system(cast, options->ae_title);
    const char *prefix = keep(cast, options->identifier_system);
    cast->mapping = (struct mapping_options){
        .prefix = prefix ? prefix : source,
        .source = source,
        .dicomweb_url = keep(cast, options->dicomweb_url),
        .timezone = keep(cast, options->timezone),
    };
}

static bool start_follower(struct cast *cast, const struct cast_options *options, struct error *err)
{
    struct follower_options follower = {
        .client = { .url = options->fhir_url,
                    .bearer_token = options->bearer_token,
                    .user = options->user,
                    .password = options->password },
        .mapping = cast->mapping,
        .quiet_ms = (int64_t)(options->quiet_seconds * 1000),
        .maximum_age_ms = options->maximum_age_seconds > 0
                              ? (int64_t)(options->maximum_age_seconds * 1000)
                              : MAXIMUM_AGE_MS,
        .strict = options->strict,
    };
    return follower_open(cast->archive, &follower, &cast->follower, err);
}

bool cast_open(struct archive *archive, const struct cast_options *options, struct cast **out,
               struct error *err)
{
    *out = NULL;
    if (!check_options(options, err))
        return false;
    struct cast *cast = mem_alloc(sizeof *cast);
    cast->archive = archive;
    set_mapping(cast, options);
    cast->view = fhir_view_new(archive, &cast->mapping);
    if (options->fhir_url && *options->fhir_url && !start_follower(cast, options, err)) {
        cast_close(cast);
        return false;
    }
    *out = cast;
    return true;
}

void cast_close(struct cast *cast)
{
    if (!cast)
        return;
    follower_close(cast->follower);
    fhir_view_free(cast->view);
    for (size_t i = 0; i < cast->text_count; i++)
        free(cast->texts[i]);
    free(cast);
}

struct route_table cast_routes(struct cast *cast, const char *prefix)
{
    return fhir_view_routes(cast->view, prefix);
}
