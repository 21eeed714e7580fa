/* SPDX-License-Identifier: MIT */
#include "server/viewer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/folder.h"

enum { CONFIG_LIMIT = 1 << 20, POLICY_LIMIT = 256 << 10 };

struct viewer {
    const struct settings *settings;
    const char *folder;
    char *policy;  /* Content-Security-Policy of all its files */
    char *config;  /* app-config.js, of our making */
    char *in_text; /* '/dicomweb and "/dicomweb: how a file of the folder's own names it */
    char *in_quotes;
};

/* From viewer_config.js, made by CMake. */
extern const char viewer_config_template[];

/* --- what is the same for all requests --- */

/* OHIF's codecs of WebAssembly make functions of texts; it works in workers that it makes of blobs,
 * shows what it decoded as blobs, and begins with two scripts in its page. Nothing leaves for other
 * origins but where the settings say so. Cross-origin isolation (COOP, COEP) is not asked for: no
 * part of the viewer needs shared memory, and a system that opens it in a window of a name would
 * lose hold of that window. */
static char *make_policy(const struct text_list *origins)
{
    struct buffer others = buffer_up_to(POLICY_LIMIT);
    for (size_t i = 0; i < origins->count; i++)
        buffer_append_format(&others, " %s", origins->items[i]);
    char *policy = mem_format("default-src 'self'; "
                              "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
                              "worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
                              "img-src 'self' data: blob:%1$s; media-src 'self' blob:%1$s; "
                              "font-src 'self' data:; connect-src 'self' data: blob:%1$s; "
                              "object-src 'self' blob:; frame-src 'self' blob:%1$s; "
                              "base-uri 'self'; form-action 'self'%1$s; frame-ancestors 'self'",
                              buffer_text(&others));
    buffer_release(&others);
    return policy;
}

static char *make_config(const char *prefix)
{
    static const char mark[] = "@DICOMWEB@";
    struct buffer text = buffer_up_to(CONFIG_LIMIT);
    const char *at = viewer_config_template;
    for (const char *found; (found = strstr(at, mark)); at = found + strlen(mark)) {
        buffer_append(&text, slice_of(at, (size_t)(found - at)));
        buffer_append_text(&text, prefix);
    }
    buffer_append_text(&text, at);
    char *config = mem_copy_text(buffer_text(&text));
    buffer_release(&text);
    return config;
}

bool viewer_new(const struct settings *settings, struct viewer **out, struct error *err)
{
    struct folder_file page;
    const char *folder = settings->viewer_directory;
    struct buffer none = buffer_up_to(0);
    *out = NULL;
    if (!*folder)
        return true;
    if (!folder_find_name(folder, "index.html", &page))
        return error_set(err, ERROR_INVALID,
                         "http.viewerDirectory (--viewer): no readable index.html in %s", folder);
    folder_read_take(&page, &none);
    struct viewer *viewer = mem_alloc(sizeof(*viewer));
    viewer->settings = settings;
    viewer->folder = folder;
    viewer->policy = make_policy(&settings->viewer_origins);
    viewer->config = make_config(settings->dicomweb_prefix);
    viewer->in_text = mem_format("'%s", settings->dicomweb_prefix);
    viewer->in_quotes = mem_format("\"%s", settings->dicomweb_prefix);
    *out = viewer;
    return true;
}

void viewer_free(struct viewer *viewer)
{
    if (!viewer)
        return;
    free(viewer->policy);
    free(viewer->config);
    free(viewer->in_text);
    free(viewer->in_quotes);
    free(viewer);
}

/* --- requests --- */

static void answer_file(const struct viewer *viewer, const struct request *request,
                        struct folder_file *file, struct response *response)
{
    response_header(response, "Content-Security-Policy", viewer->policy);
    response_header(response, "Referrer-Policy", "same-origin"); /* its URLs name studies */
    folder_answer_take(response, request, file);
}

static void answer_nothing(const struct request *request, struct response *response)
{
    response_error(response, request, 404, "there is nothing at this path");
}

/* The folder's own, when whoever runs the server has pointed it at us. */
static bool has_own_config(const struct viewer *viewer)
{
    struct folder_file file;
    struct buffer text = buffer_up_to(CONFIG_LIMIT);
    if (!folder_find_name(viewer->folder, "app-config.js", &file))
        return false;
    bool own = folder_read_take(&file, &text) && (strstr(buffer_text(&text), viewer->in_text) ||
                                                  strstr(buffer_text(&text), viewer->in_quotes));
    buffer_release(&text);
    return own;
}

static void answer_config(const struct viewer *viewer, struct response *response)
{
    struct buffer body = buffer_up_to(CONFIG_LIMIT);
    buffer_append_text(&body, viewer->config);
    response_status(response, 200);
    response_content_type(response, "text/javascript; charset=utf-8");
    response_header(response, "Cache-Control", "no-cache");
    response_body_take(response, &body);
}

/* What the path names after its first segments, if it is there. */
static bool answer_named(const struct viewer *viewer, const struct request *request, size_t skipped,
                         struct response *response)
{
    struct folder_file file;
    const char *name = skipped ? strchr(request_path(request) + 1, '/') : request_path(request);
    if (name && !strcmp(name, "/app-config.js") && !has_own_config(viewer)) {
        answer_config(viewer, response);
        return true;
    }
    if (!folder_find(viewer->folder, request, skipped, &file))
        return false;
    answer_file(viewer, request, &file, response);
    return true;
}

/* The application reads the rest of the path itself. */
static void answer_page(struct request *request, struct response *response)
{
    const struct viewer *viewer = request_context(request);
    struct folder_file page;
    if (folder_find_name(viewer->folder, "index.html", &page))
        answer_file(viewer, request, &page, response);
    else
        answer_nothing(request, response);
}

/* A script that is missing must not be a page. */
static void answer_below(struct request *request, struct response *response)
{
    const char *last = strrchr(request_path(request), '/');
    if (answer_named(request_context(request), request, 1, response))
        return;
    if (folder_media_type(last))
        answer_nothing(request, response);
    else
        answer_page(request, response);
}

static void answer_at_root(struct request *request, struct response *response)
{
    if (!answer_named(request_context(request), request, 0, response))
        answer_nothing(request, response);
}

static const struct route routes[] = {
    { .method = "GET",
      .pattern = "/viewer",
      .respond = answer_page,
      .summary = "The web viewer, with http.viewerDirectory",
      .produces = "text/html" },
    { .method = "GET", .pattern = "/viewer/{path...}", .respond = answer_below },
    { .method = "GET", .pattern = "/{path...}", .respond = answer_at_root },
};

struct route_table viewer_routes(struct viewer *viewer)
{
    size_t count = viewer ? sizeof(routes) / sizeof(routes[0]) : 0;
    return (struct route_table){ "", routes, count, viewer };
}
