/* SPDX-License-Identifier: MIT */
#pragma once
/* The handlers behind the route table of dicomweb.c, one file per transaction, and what they share.
 */

#include <stdatomic.h>

#include "base/buffer.h"
#include "base/decode_budget.h"
#include "dicomweb/dicomweb.h"
#include "http/negotiate.h"

struct dicomweb {
    struct archive *archive;
    struct worklist *worklist; /* NULL: there is none */
    char *ae_title;
    char *prefix;
    uint64_t query_limit;
    uint64_t part_limit;
    int64_t query_timeout_ms;              /* of a search without another match */
    struct decode_budget *decoding;        /* the archive's */
    struct decode_budget *metadata_memory; /* for the headers that metadata is written from */
    struct decode_budget *text_memory;     /* for bodies and answers that are gathered */
    struct metadata_cache *metadata_cache;
    struct picture_cache *picture_cache;
    struct commitment_work *commitments;
    struct hearings *hearings;  /* of events of work items */
    struct places *feed_places; /* of clients that wait for changes */
    atomic_uint stow_workers;   /* threads that commit parts, of all requests */
};

/* Appends the URL of the service as this client sees it: "http://host:port/dicomweb". */
void dicomweb_base_url(const struct dicomweb *dicomweb, const struct request *request,
                       struct buffer *url);

/* Negotiates by the Accept fields or parameter (PS3.18 8.7). False: the response is filled, 406
 * with what there is, or 400. */
bool dicomweb_choose(struct request *request, struct response *response, const struct offer *offers,
                     size_t count, size_t *choice);

/* Names what is answered of an instance under a path: its stored bytes, the media type `as` and all
 * that the query says. */
enum { DICOMWEB_ETAG_SIZE = 80 };
struct instance;
void dicomweb_etag(const struct request *request, const char *path, const struct instance *instance,
                   const char *as, char etag[DICOMWEB_ETAG_SIZE]);
/* True: the client has that already, and the response is filled (304). */
bool dicomweb_is_known(struct request *request, struct response *response,
                       const struct instance *instance, const char *as);

/* The same of a whole study or series, by the number of its last change. Weak, as an answer may be
 * compressed, or have a boundary of its own (RFC 9110 8.8.1). The URL stands in the answer. */
bool dicomweb_is_known_set(struct request *request, struct response *response, const char *base_url,
                           const char *as, uint64_t change);

/* The UIDs that stand in the path: "" where the route has none. False: the response is filled, 400.
 */
struct path_uids {
    const char *study;
    const char *series;
    const char *instance;
};
bool dicomweb_path_uids(struct request *request, struct response *response, struct path_uids *uids);

/* A parameter of a list: `fallback` when it is not given. */
bool dicomweb_page_number(struct request *request, const char *name, uint64_t most,
                          uint64_t fallback, uint64_t *value, struct error *err);
bool dicomweb_is_json(const char *content_type);

/* Appends the metadata of an instance as DICOM JSON, its bulk data referred to below `base_url`,
 * that of the service: wado_metadata.c */
bool dicomweb_write_metadata(const char *base_url, struct instance *instance, struct buffer *json,
                             struct error *err);

/* STOW-RS (PS3.18 10.5): stow.c */
bool stow_open(struct request *request, struct response *response);
bool stow_body(struct request *request, struct slice piece);
void stow_respond(struct request *request, struct response *response);
void stow_close(struct request *request, bool complete);

/* QIDO-RS (PS3.18 10.6): qido.c */
void qido_studies(struct request *request, struct response *response);
void qido_series(struct request *request, struct response *response);
void qido_instances(struct request *request, struct response *response);

/* WADO-RS (PS3.18 10.4): wado.c, wado_metadata.c, wado_frames.c, wado_bulk_data.c */
void wado_instances(struct request *request, struct response *response);
void wado_metadata(struct request *request, struct response *response);
void wado_frames(struct request *request, struct response *response);
void wado_bulk_data(struct request *request, struct response *response);
/* wado_bulk_set.c */
void wado_all_bulk_data(struct request *request, struct response *response);
void wado_pixel_data(struct request *request, struct response *response);
/* wado_rendered.c, wado_thumbnail.c */
void wado_rendered(struct request *request, struct response *response);
void wado_thumbnail(struct request *request, struct response *response);

/* UPS-RS (PS3.18 11): workitems.c, workitems_search.c, workitems_subscribe.c, workitems_events.c */
void workitems_create(struct request *request, struct response *response);
void workitems_search(struct request *request, struct response *response);
void workitems_get(struct request *request, struct response *response);
void workitems_update(struct request *request, struct response *response);
void workitems_change_state(struct request *request, struct response *response);
void workitems_request_cancel(struct request *request, struct response *response);
void workitems_subscribe(struct request *request, struct response *response);
void workitems_unsubscribe(struct request *request, struct response *response);
void workitems_suspend(struct request *request, struct response *response);
void workitems_hear(struct request *request, struct response *response);
void workitems_hear_close(struct request *request, bool complete);

/* Modality performed procedure steps (PS3.18 15): performed_steps.c */
void performed_steps_post(struct request *request, struct response *response);
void performed_steps_get(struct request *request, struct response *response);

/* Storage commitment (PS3.18 13): commitment.c */
bool commitment_request_open(struct request *request, struct response *response);
bool commitment_request_body(struct request *request, struct slice piece);
void commitment_request_close(struct request *request, bool complete);
void commitment_request_respond(struct request *request, struct response *response);
void commitment_result_respond(struct request *request, struct response *response);

/* WADO-URI (PS3.18 9): wado_uri.c */
void wado_uri(struct request *request, struct response *response);

/* Not in the standard: query_tags.c */
bool query_tags_open(struct request *request, struct response *response);
bool query_tags_body(struct request *request, struct slice piece);
void query_tags_close(struct request *request, bool complete);
void query_tags_post(struct request *request, struct response *response);
void query_tags_get_all(struct request *request, struct response *response);
void query_tags_get(struct request *request, struct response *response);
void query_tags_patch(struct request *request, struct response *response);
void query_tags_delete(struct request *request, struct response *response);
void query_tags_get_errors(struct request *request, struct response *response);
void query_tags_get_operation(struct request *request, struct response *response);

/* The worklist for those who plan: worklist.c */
bool worklist_body_open(struct request *request, struct response *response);
bool worklist_body_take(struct request *request, struct slice piece);
void worklist_body_close(struct request *request, bool complete);
void worklist_list(struct request *request, struct response *response);
void worklist_post(struct request *request, struct response *response);
void worklist_get(struct request *request, struct response *response);
void worklist_put(struct request *request, struct response *response);
void worklist_delete(struct request *request, struct response *response);

/* Legal holds: hold.c */
bool hold_open(struct request *request, struct response *response);
bool hold_body(struct request *request, struct slice piece);
void hold_close(struct request *request, bool complete);
void hold_put(struct request *request, struct response *response);
void hold_get(struct request *request, struct response *response);
void hold_delete(struct request *request, struct response *response);
void hold_get_all(struct request *request, struct response *response);

/* Not in the standard: delete.c, changefeed.c */
void delete_instances(struct request *request, struct response *response);
void changefeed_list(struct request *request, struct response *response);
void changefeed_latest(struct request *request, struct response *response);
