/* SPDX-License-Identifier: MIT */
#include "dicomweb/dicomweb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "archive/retrieve.h"
#include "archive/transcoding.h"
#include "base/memory.h"
#include "dicom/uid.h"
#include "dicomweb/commitment_work.h"
#include "dicomweb/dataset_body.h"
#include "dicomweb/hearing.h"
#include "dicomweb/metadata_cache.h"
#include "dicomweb/picture_cache.h"
#include "dicomweb/places.h"
#include "dicomweb/routes.h"

enum {
    DEFAULT_QUERY_LIMIT = 1000,
    DEFAULT_QUERY_TIMEOUT_MS = 60 * 1000,
    DEFAULT_PART_LIMIT = 100000,
    DEFAULT_FEED_WAITERS = 64,
    TEXT_MEMORY = 384 << 20,     /* of all requests; more than the longest answer */
    METADATA_MEMORY = 256 << 20, /* of all requests; beyond, headers are looked up one by one */
};

#define STUDY    "/studies/{study}"
#define SERIES   STUDY "/series/{series}"
#define INSTANCE SERIES "/instances/{instance}"

/* What each kind of route understands, for those who ask what there is. */
#define XML_PARTS "multipart/related; type=\"application/dicom+xml\""
#define QIDO                                                                                       \
    .query = "limit,offset,fuzzymatching,emptyvaluematching,multiplevaluematching,timezone,"       \
             "orderby,includefield,*",                                                             \
    .produces = "application/dicom+json,application/json," XML_PARTS
#define PART10                                                                                     \
    .query = "accept", .produces = "multipart/related; type=\"application/dicom\",application/zip"
#define PART10_OF_ONE   PART10 ",application/dicom"
#define METADATA        .query = "accept", .produces = "application/dicom+json,application/json," XML_PARTS
#define METADATA_OF_ONE METADATA ",application/dicom+xml"
#define FRAMES                                                                                     \
    .query = "accept", .produces = "multipart/related; type=\"application/octet-stream\","         \
                                   "application/octet-stream"
#define BULK                                                                                       \
    .query = "accept", .produces = "application/octet-stream,multipart/related; "                  \
                                   "type=\"application/octet-stream\""
#define ALL_BULK                                                                                   \
    .query = "accept", .produces = "multipart/related; type=\"application/octet-stream\""
#define PICTURE  "accept,window,viewport,quality,annotation,iccprofile"
#define RENDERED .query = PICTURE, .produces = "image/jpeg,image/png,image/gif"
#define RENDERED_DOCUMENT                                                                          \
    .query = PICTURE,                                                                              \
    .produces = "image/jpeg,image/png,image/gif,text/html,text/plain,application/pdf,"             \
                "text/xml,model/stl,model/obj,model/mtl,video/mp4,video/mpeg,video/mp2t"
#define RENDERED_PARTS                                                                             \
    .query = PICTURE, .produces = "multipart/related; type=\"image/jpeg\","                        \
                                  "multipart/related; type=\"image/png\","                         \
                                  "multipart/related; type=\"image/gif\""
#define THUMBNAIL .query = "accept,viewport", .produces = "image/jpeg,image/png,image/gif"
#define URI                                                                                        \
    .query = "requestType,studyUID,seriesUID,objectUID,contentType,transferSyntax,frameNumber,"    \
             "rows,columns,region,windowCenter,windowWidth,imageQuality,annotation,iccprofile,"    \
             "presentationUID,presentationSeriesUID",                                              \
    .produces = "image/jpeg,image/png,image/gif,application/dicom"
#define STOW                                                                                       \
    .produces = "application/dicom+json,application/json,application/dicom+xml," XML_PARTS,        \
    .consumes = "multipart/related; type=\"application/dicom\",application/dicom,"                 \
                "multipart/related; type=\"application/dicom+json\"," XML_PARTS
#define MODEL_TYPES "application/dicom+json,application/json,application/dicom+xml"
#define WORKITEM    "/workitems/{workitem}"
#define DATASET_BODY                                                                               \
    .open = dataset_body_open, .body = dataset_body_piece, .close = dataset_body_close,            \
    .consumes = MODEL_TYPES
#define COMMITMENT_TYPES "application/dicom+json,application/json,application/dicom+xml"
#define COMMITMENT       .query = "accept", .produces = COMMITMENT_TYPES
#define FEED                                                                                       \
    .query = "offset,limit,includeMetadata,startTime,endTime,action,study,wait",                   \
    .produces = "application/json,application/dicom+json,text/event-stream"
#define LATEST .query = "includeMetadata", .produces = "application/json,application/dicom+json"

static const struct route routes[] = {
    /* QIDO-RS (PS3.18 10.6.1.1) */
    { .method = "GET",
      .pattern = "/studies",
      .respond = qido_studies,
      .summary = "Search for studies",
      QIDO },
    { .method = "GET",
      .pattern = "/series",
      .respond = qido_series,
      .summary = "Search for series",
      QIDO },
    { .method = "GET",
      .pattern = "/instances",
      .respond = qido_instances,
      .summary = "Search for instances",
      QIDO },
    { .method = "GET",
      .pattern = STUDY "/series",
      .respond = qido_series,
      .summary = "Search for series of a study",
      QIDO },
    { .method = "GET",
      .pattern = STUDY "/instances",
      .respond = qido_instances,
      .summary = "Search for instances of a study",
      QIDO },
    { .method = "GET",
      .pattern = SERIES "/instances",
      .respond = qido_instances,
      .summary = "Search for instances of a series",
      QIDO },

    /* WADO-RS (PS3.18 10.4.1) */
    { .method = "GET",
      .pattern = STUDY,
      .respond = wado_instances,
      .summary = "The instances of a study",
      PART10 },
    { .method = "GET",
      .pattern = SERIES,
      .respond = wado_instances,
      .summary = "The instances of a series",
      PART10 },
    { .method = "GET",
      .pattern = INSTANCE,
      .respond = wado_instances,
      .summary = "An instance as it is stored, or transcoded",
      PART10_OF_ONE },
    { .method = "GET",
      .pattern = STUDY "/metadata",
      .respond = wado_metadata,
      .summary = "Metadata of a study",
      METADATA },
    { .method = "GET",
      .pattern = SERIES "/metadata",
      .respond = wado_metadata,
      .summary = "Metadata of a series",
      METADATA },
    { .method = "GET",
      .pattern = INSTANCE "/metadata",
      .respond = wado_metadata,
      .summary = "Metadata of an instance",
      METADATA_OF_ONE },
    { .method = "GET",
      .pattern = INSTANCE "/frames/{frames}",
      .respond = wado_frames,
      .summary = "Frames, as they are stored or decoded",
      FRAMES },
    { .method = "GET",
      .pattern = INSTANCE "/bulkdata/{path}",
      .respond = wado_bulk_data,
      .summary = "A value that metadata refers to",
      BULK },
    { .method = "GET",
      .pattern = STUDY "/bulkdata",
      .respond = wado_all_bulk_data,
      .summary = "All bulk data of a study",
      ALL_BULK },
    { .method = "GET",
      .pattern = SERIES "/bulkdata",
      .respond = wado_all_bulk_data,
      .summary = "All bulk data of a series",
      ALL_BULK },
    { .method = "GET",
      .pattern = INSTANCE "/bulkdata",
      .respond = wado_all_bulk_data,
      .summary = "All bulk data of an instance",
      ALL_BULK },
    { .method = "GET",
      .pattern = STUDY "/pixeldata",
      .respond = wado_pixel_data,
      .summary = "The pixel data of a study",
      ALL_BULK },
    { .method = "GET",
      .pattern = SERIES "/pixeldata",
      .respond = wado_pixel_data,
      .summary = "The pixel data of a series",
      ALL_BULK },
    { .method = "GET",
      .pattern = INSTANCE "/pixeldata",
      .respond = wado_pixel_data,
      .summary = "The pixel data of an instance",
      ALL_BULK },
    { .method = "GET",
      .pattern = STUDY "/rendered",
      .respond = wado_rendered,
      .summary = "Pictures of a study",
      RENDERED_PARTS },
    { .method = "GET",
      .pattern = SERIES "/rendered",
      .respond = wado_rendered,
      .summary = "Pictures of a series",
      RENDERED_PARTS },
    { .method = "GET",
      .pattern = INSTANCE "/rendered",
      .respond = wado_rendered,
      .summary = "An instance as a picture, or the document that it is",
      RENDERED_DOCUMENT },
    { .method = "GET",
      .pattern = INSTANCE "/frames/{frames}/rendered",
      .respond = wado_rendered,
      .summary = "Frames of an instance as a picture",
      RENDERED },
    { .method = "GET",
      .pattern = STUDY "/thumbnail",
      .respond = wado_thumbnail,
      .summary = "A small picture of a study",
      THUMBNAIL },
    { .method = "GET",
      .pattern = SERIES "/thumbnail",
      .respond = wado_thumbnail,
      .summary = "A small picture of a series",
      THUMBNAIL },
    { .method = "GET",
      .pattern = INSTANCE "/thumbnail",
      .respond = wado_thumbnail,
      .summary = "A small picture of an instance",
      THUMBNAIL },
    { .method = "GET",
      .pattern = INSTANCE "/frames/{frames}/thumbnail",
      .respond = wado_thumbnail,
      .summary = "A small picture of frames of an instance",
      THUMBNAIL },

    /* WADO-URI (PS3.18 9) */
    { .method = "GET",
      .pattern = "/wado",
      .respond = wado_uri,
      .summary = "WADO-URI: an instance, or a picture of it",
      URI },

    /* STOW-RS (PS3.18 10.5) */
    { .method = "POST",
      .pattern = "/studies",
      .respond = stow_respond,
      .open = stow_open,
      .body = stow_body,
      .close = stow_close,
      .summary = "Store instances",
      STOW },
    { .method = "POST",
      .pattern = STUDY,
      .respond = stow_respond,
      .open = stow_open,
      .body = stow_body,
      .close = stow_close,
      .summary = "Store instances of one study",
      STOW },

    /* UPS-RS (PS3.18 11) */
    { .method = "POST",
      .pattern = "/workitems",
      .respond = workitems_create,
      DATASET_BODY,
      .summary = "Create a work item",
      .query = "workitem" },
    { .method = "GET",
      .pattern = "/workitems",
      .respond = workitems_search,
      .summary = "Search for work items",
      .query = "*,includefield,fuzzymatching,limit,offset,accept",
      .produces = "application/dicom+json,application/json," XML_PARTS },
    { .method = "GET",
      .pattern = WORKITEM,
      .respond = workitems_get,
      .summary = "A work item",
      .query = "accept",
      .produces = MODEL_TYPES },
    { .method = "POST",
      .pattern = WORKITEM,
      .respond = workitems_update,
      DATASET_BODY,
      .summary = "Change a work item",
      .query = "transaction" },
    { .method = "PUT",
      .pattern = WORKITEM "/state",
      .respond = workitems_change_state,
      DATASET_BODY,
      .summary = "Claim a work item, or end it" },
    { .method = "POST",
      .pattern = WORKITEM "/cancelrequest",
      .respond = workitems_request_cancel,
      DATASET_BODY,
      .summary = "Ask that a work item is cancelled" },
    { .method = "POST",
      .pattern = WORKITEM "/subscribers/{subscriber}",
      .respond = workitems_subscribe,
      .summary = "Subscribe to a work item, or to all",
      .query = "deletionlock,filter" },
    { .method = "DELETE",
      .pattern = WORKITEM "/subscribers/{subscriber}",
      .respond = workitems_unsubscribe,
      .right = HTTP_WRITE,
      .summary = "End a subscription" },
    { .method = "POST",
      .pattern = WORKITEM "/subscribers/{subscriber}/suspend",
      .respond = workitems_suspend,
      .summary = "Subscribe to no further work items" },
    { .method = "GET",
      .pattern = "/subscribers/{subscriber}",
      .respond = workitems_hear,
      .close = workitems_hear_close,
      .summary = "Events of work items, over a WebSocket" },

    /* Modality performed procedure steps (PS3.18 15) */
    { .method = "POST",
      .pattern = "/modality-performed-procedure-steps/{mpps}",
      .respond = performed_steps_post,
      DATASET_BODY,
      .summary = "Begin a performed step, or change and end it",
      .query = "update" },
    { .method = "GET",
      .pattern = "/modality-performed-procedure-steps/{mpps}",
      .respond = performed_steps_get,
      .summary = "A performed step",
      .query = "accept,includefield",
      .produces = MODEL_TYPES },

    /* Storage commitment (PS3.18 13) */
    { .method = "POST",
      .pattern = "/commitment-requests/{transaction}",
      .respond = commitment_request_respond,
      .open = commitment_request_open,
      .body = commitment_request_body,
      .close = commitment_request_close,
      .summary = "Ask that instances are kept for certain",
      COMMITMENT,
      .consumes = COMMITMENT_TYPES },
    { .method = "GET",
      .pattern = "/commitment-requests/{transaction}",
      .respond = commitment_result_respond,
      .summary = "What became of such a request",
      COMMITMENT },

    /* Beyond the standard. */
    { .method = "DELETE",
      .pattern = STUDY,
      .respond = delete_instances,
      .summary = "Delete a study" },
    { .method = "DELETE",
      .pattern = SERIES,
      .respond = delete_instances,
      .summary = "Delete a series" },
    { .method = "DELETE",
      .pattern = INSTANCE,
      .respond = delete_instances,
      .summary = "Delete an instance" },
    { .method = "GET",
      .pattern = "/holds",
      .respond = hold_get_all,
      .summary = "The studies under a legal hold",
      .query = "after,limit",
      .produces = "application/json" },
    { .method = "GET",
      .pattern = STUDY "/hold",
      .respond = hold_get,
      .summary = "The legal hold of a study",
      .produces = "application/json" },
    { .method = "PUT",
      .pattern = STUDY "/hold",
      .respond = hold_put,
      .open = hold_open,
      .body = hold_body,
      .close = hold_close,
      .right = HTTP_ADMIN,
      .summary = "Hold a study: nothing of it is deleted",
      .produces = "application/json",
      .consumes = "application/json" },
    { .method = "DELETE",
      .pattern = STUDY "/hold",
      .respond = hold_delete,
      .right = HTTP_ADMIN,
      .summary = "Lift the legal hold of a study" },
    { .method = "GET",
      .pattern = "/worklist",
      .respond = worklist_list,
      .summary = "What is planned, and what became of it",
      .query = "limit,offset,fuzzymatching,all,*",
      .produces = "application/json,application/dicom+json" },
    { .method = "POST",
      .pattern = "/worklist",
      .respond = worklist_post,
      .open = worklist_body_open,
      .body = worklist_body_take,
      .close = worklist_body_close,
      .summary = "Order: the entries are the steps of one order",
      .produces = "application/json,application/dicom+json",
      .consumes = "application/dicom+json,application/json" },
    { .method = "GET",
      .pattern = "/worklist/{entry}",
      .respond = worklist_get,
      .summary = "One step, and what became of it",
      .produces = "application/json,application/dicom+json" },
    { .method = "PUT",
      .pattern = "/worklist/{entry}",
      .respond = worklist_put,
      .open = worklist_body_open,
      .body = worklist_body_take,
      .close = worklist_body_close,
      .summary = "Change attributes of a step",
      .produces = "application/json,application/dicom+json",
      .consumes = "application/dicom+json,application/json" },
    { .method = "DELETE",
      .pattern = "/worklist/{entry}",
      .respond = worklist_delete,
      .summary = "Take a step out of the worklist" },
    { .method = "GET",
      .pattern = "/changefeed",
      .respond = changefeed_list,
      .summary = "What was stored and deleted, in order",
      FEED },
    { .method = "GET",
      .pattern = "/changefeed/latest",
      .respond = changefeed_latest,
      .summary = "The last change",
      LATEST },
    { .method = "GET",
      .pattern = "/extendedquerytags",
      .respond = query_tags_get_all,
      .summary = "Attributes with an index of their own",
      .query = "offset,limit",
      .produces = "application/json" },
    { .method = "POST",
      .pattern = "/extendedquerytags",
      .respond = query_tags_post,
      .open = query_tags_open,
      .body = query_tags_body,
      .close = query_tags_close,
      .right = HTTP_ADMIN,
      .summary = "Have attributes indexed",
      .produces = "application/json",
      .consumes = "application/json" },
    { .method = "GET",
      .pattern = "/extendedquerytags/{tag}",
      .respond = query_tags_get,
      .summary = "An attribute with an index, and how far that is",
      .produces = "application/json" },
    { .method = "PATCH",
      .pattern = "/extendedquerytags/{tag}",
      .respond = query_tags_patch,
      .open = query_tags_open,
      .body = query_tags_body,
      .close = query_tags_close,
      .right = HTTP_ADMIN,
      .summary = "Use an index, or do not",
      .produces = "application/json",
      .consumes = "application/json" },
    { .method = "DELETE",
      .pattern = "/extendedquerytags/{tag}",
      .respond = query_tags_delete,
      .right = HTTP_ADMIN,
      .summary = "Remove an index" },
    { .method = "GET",
      .pattern = "/extendedquerytags/{tag}/errors",
      .respond = query_tags_get_errors,
      .summary = "Values that are not what their attribute says",
      .query = "offset,limit",
      .produces = "application/json" },
    { .method = "GET",
      .pattern = "/operations/{operation}",
      .respond = query_tags_get_operation,
      .summary = "How far the index of an attribute is",
      .produces = "application/json" },
};

struct dicomweb *dicomweb_new(struct archive *archive, const struct dicomweb_options *options)
{
    struct dicomweb *dicomweb = mem_alloc(sizeof(*dicomweb));
    dicomweb->archive = archive;
    dicomweb->worklist = options->worklist;
    dicomweb->ae_title = mem_copy_text(options->ae_title);
    dicomweb->query_limit = options->query_limit ? options->query_limit : DEFAULT_QUERY_LIMIT;
    dicomweb->query_timeout_ms = options->query_timeout_ms ? options->query_timeout_ms
                                                           : DEFAULT_QUERY_TIMEOUT_MS;
    dicomweb->part_limit = options->part_limit ? options->part_limit : DEFAULT_PART_LIMIT;
    dicomweb->feed_places = places_new(options->feed_waiters ? options->feed_waiters
                                                             : DEFAULT_FEED_WAITERS);
    dicomweb->decoding = archive_decoding(archive);
    dicomweb->metadata_memory = decode_budget_new(METADATA_MEMORY);
    dicomweb->text_memory = decode_budget_new(TEXT_MEMORY);
    dicomweb->metadata_cache = metadata_cache_new(options->metadata_cache_bytes);
    dicomweb->picture_cache = picture_cache_new(archive, options->picture_cache_bytes);
    dicomweb->commitments = commitment_work_new(archive);
    dicomweb->hearings = hearings_new();
    return dicomweb;
}

void dicomweb_free(struct dicomweb *dicomweb)
{
    if (!dicomweb)
        return;
    decode_budget_free(dicomweb->metadata_memory);
    decode_budget_free(dicomweb->text_memory);
    commitment_work_free(dicomweb->commitments);
    hearings_free(dicomweb->hearings);
    places_free(dicomweb->feed_places);
    metadata_cache_free(dicomweb->metadata_cache);
    picture_cache_free(dicomweb->picture_cache);
    free(dicomweb->ae_title);
    free(dicomweb->prefix);
    free(dicomweb);
}

struct route_table dicomweb_routes(struct dicomweb *dicomweb, const char *prefix)
{
    free(dicomweb->prefix);
    dicomweb->prefix = mem_copy_text(prefix);
    struct route_table table = { dicomweb->prefix, routes, sizeof(routes) / sizeof(routes[0]),
                                 dicomweb };
    return table;
}

void dicomweb_base_url(const struct dicomweb *dicomweb, const struct request *request,
                       struct buffer *url)
{
    buffer_append_text(url, request_base_url(request));
    buffer_append_text(url, dicomweb->prefix);
}

bool dicomweb_choose(struct request *request, struct response *response, const struct offer *offers,
                     size_t count, size_t *choice)
{
    struct accept accept;
    struct error err;
    const char *charset = request_query_value(request, "charset");
    /* All text that is sent is UTF-8 (PS3.18 8.8). */
    if (charset && strcasecmp(charset, "utf-8") != 0) {
        response_error(response, request, 400, "charset: only UTF-8 is sent");
        return false;
    }
    if (!accept_of_request(request, &accept, &err)) {
        response_error(response, request, 400, err.message);
        return false;
    }
    int best = accept_choose(&accept, offers, count, NULL);
    if (best < 0) {
        struct buffer text = buffer_up_to(4096);
        buffer_append_text(&text, "available: ");
        offers_write(offers, count, &text);
        response_error(response, request, 406, buffer_text(&text));
        buffer_release(&text);
        return false;
    }
    *choice = (size_t)best;
    return true;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        hash = (hash ^ *c) * 0x100000001B3u; /* FNV-1a */
    return (hash ^ '\n') * 0x100000001B3u;
}

void dicomweb_etag(const struct request *request, const char *path, const struct instance *instance,
                   const char *as, char etag[DICOMWEB_ETAG_SIZE])
{
    size_t count;
    const struct query_pair *query = request_query(request, &count);
    uint64_t hash = hash_text(0xCBF29CE484222325u, path);
    hash = hash_text(hash, as);
    for (size_t i = 0; i < count; i++)
        hash = hash_text(hash_text(hash, query[i].name), query[i].raw);
    snprintf(etag, DICOMWEB_ETAG_SIZE, "\"%08" PRIx32 "-%" PRIx64 "-%016" PRIx64 "\"",
             instance_checksum(instance), (uint64_t)instance_stored_at_ms(instance), hash);
}

bool dicomweb_is_known(struct request *request, struct response *response,
                       const struct instance *instance, const char *as)
{
    char etag[DICOMWEB_ETAG_SIZE];
    dicomweb_etag(request, request_path(request), instance, as, etag);
    return response_etag(response, request, etag);
}

bool dicomweb_is_known_set(struct request *request, struct response *response, const char *base_url,
                           const char *as, uint64_t change)
{
    char etag[64];
    uint64_t hash = hash_text(hash_text(0xCBF29CE484222325u, base_url), as);
    snprintf(etag, sizeof(etag), "W/\"%" PRIx64 "-%016" PRIx64 "\"", change, hash);
    return response_etag(response, request, etag);
}

static bool path_uid(struct request *request, const char *name, const char **uid)
{
    const char *value = request_parameter(request, name);
    *uid = value ? value : "";
    return !value || uid_is_safe(slice_text(value));
}

bool dicomweb_path_uids(struct request *request, struct response *response, struct path_uids *uids)
{
    if (path_uid(request, "study", &uids->study) && path_uid(request, "series", &uids->series) &&
        path_uid(request, "instance", &uids->instance))
        return true;
    response_error(response, request, 400, "a UID in the path is no UID");
    return false;
}

bool dicomweb_page_number(struct request *request, const char *name, uint64_t most,
                          uint64_t fallback, uint64_t *value, struct error *err)
{
    const char *text = request_query_value(request, name);
    *value = fallback;
    if (!text)
        return true;
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return (digits && !text[digits] && !errno && *value <= most) ||
           error_set(err, ERROR_INVALID, "%s must be a whole number, %" PRIu64 " at most", name,
                     most);
}

bool dicomweb_is_json(const char *content_type)
{
    return content_type && strncasecmp(content_type, "application/json", 16) == 0 &&
           strchr("; \t", content_type[16]);
}
