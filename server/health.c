/* SPDX-License-Identifier: MIT */
#include "server/health.h"

#include <inttypes.h>

#include "base/metrics.h"
#include "cast/cast.h"
#include "cast/webhook.h"
#include "server/verifier.h"
#include "storage/storage.h"

static void answer_health(struct request *request, struct response *response)
{
    struct health *health = request_context(request);
    struct storage_figures figures;
    struct archive_counts counts;
    struct error err;
    struct buffer body = buffer_up_to(4096);
    struct verifier_status verified;
    storage_figures(health->storage, &figures);
    verifier_status(health->verifier, &verified);
    bool ok = !figures.failed && archive_count(health->archive, &counts, &err);
    /* The archive refuses new instances then; it still answers, hence 200. */
    bool full = (double)figures.free_disk_bytes < health->settings->minimum_free_mib * (1 << 20);
    if (ok)
        buffer_append_format(&body,
                             "{\"status\":\"%s\",\"version\":\"%s\",\"patients\":%" PRIu64
                             ",\"studies\":%" PRIu64 ",\"series\":%" PRIu64
                             ",\"instances\":%" PRIu64 ",\"findings\":%" PRIu64 "}\n",
                             full              ? "full"
                             : verified.damage ? "degraded"
                                               : "ok",
                             HOUNSFIELD_VERSION, counts.patients, counts.studies, counts.series,
                             counts.instances, verified.damage);
    else
        buffer_append_text(&body, "{\"status\":\"failed\",\"reason\":\"the disk failed: look at "
                                  "the log, mend the disk, restart\"}\n");
    response_status(response, ok ? 200 : 503);
    response_content_type(response, "application/json");
    response_header(response, "Cache-Control", "no-store");
    response_body_take(response, &body);
}

static void gauge(struct buffer *text, const char *name, const char *help, uint64_t value)
{
    buffer_append_format(text, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRIu64 "\n", name, help, name,
                         name, value);
}

static void write_verification(struct buffer *text, struct verifier *verifier)
{
    static const char name[] = "hounsfield_verify_findings";
    struct verifier_status status;
    verifier_status(verifier, &status);
    buffer_append_format(text, "# HELP %s What the last full verification found\n# TYPE %s gauge\n",
                         name, name);
    for (int kind = 0; kind < VERIFY_KIND_COUNT; kind++)
        buffer_append_format(text, "%s{kind=\"%s\"} %" PRIu64 "\n", name,
                             verify_kind_name((enum verify_kind)kind), status.findings[kind]);
    gauge(text, "hounsfield_verify_last_success_seconds",
          "Unix time of the last verification that looked at everything, 0 for none",
          (uint64_t)status.finished_ms / 1000);
    buffer_append_format(text,
                         "# HELP hounsfield_verify_progress_ratio How far the verification is that "
                         "runs by itself, 0 when none does\n"
                         "# TYPE hounsfield_verify_progress_ratio gauge\n"
                         "hounsfield_verify_progress_ratio %.4f\n",
                         status.progress);
}

static void answer_metrics(struct request *request, struct response *response)
{
    struct health *health = request_context(request);
    struct storage_figures figures;
    struct archive_counts counts;
    struct error err;
    struct buffer body = buffer_up_to(64 << 10);
    cast_tell_metrics(health->cast);
    webhooks_tell_metrics(health->webhooks);
    metrics_write(&body);
    storage_figures(health->storage, &figures);
    gauge(&body, "hounsfield_segments", "Segment files", figures.segments);
    gauge(&body, "hounsfield_blob_bytes", "Bytes of stored instances", figures.blob_bytes);
    gauge(&body, "hounsfield_dead_bytes", "Bytes deleted and not reclaimed yet",
          figures.dead_bytes);
    gauge(&body, "hounsfield_segments_missing", "Segment files that are gone and should be there",
          figures.missing_segments);
    gauge(&body, "hounsfield_segments_damaged",
          "Segments of which a part could not be read at the start", figures.damaged_segments);
    gauge(&body, "hounsfield_free_disk_bytes", "Free bytes of the file system",
          figures.free_disk_bytes);
    gauge(&body, "hounsfield_storage_failed", "1 when a sync failed and nothing is written",
          figures.failed);
    if (archive_count(health->archive, &counts, &err)) {
        gauge(&body, "hounsfield_patients", "Patients", counts.patients);
        gauge(&body, "hounsfield_studies", "Studies", counts.studies);
        gauge(&body, "hounsfield_series", "Series", counts.series);
        gauge(&body, "hounsfield_instances", "Instances", counts.instances);
    }
    write_verification(&body, health->verifier);
    response_status(response, 200);
    response_content_type(response, "text/plain; version=0.0.4; charset=utf-8");
    response_body_take(response, &body);
}

static void answer_page(struct request *request, struct response *response)
{
    struct health *health = request_context(request);
    const struct settings *settings = health->settings;
    const char *base = request_base_url(request);
    struct buffer body = buffer_up_to(16 << 10);
    buffer_append_format(
        &body,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Hounsfield</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:3em auto;"
        "padding:0 1em}code{background:#eee;padding:.1em .3em}</style>"
        "<h1>Hounsfield</h1><p>DICOM imaging server %s.</p><ul>"
        "<li>DICOM: AE title <code>%s</code>, port <code>%d</code>"
        "<li>DICOMweb: <a "
        "href=\"%s/studies?limit=25&amp;accept=application/json\"><code>%s%s</code></a>"
        "<li>FHIR view: <a href=\"%s/ImagingStudy\"><code>%s%s</code></a>"
        "<li>Change feed: <a href=\"%s/changefeed\"><code>%s%s/changefeed</code></a>"
        "<li>Worklist: <a href=\"%s/worklist\"><code>%s%s/worklist</code></a>"
        "%s<li><a href=\"/health\">Health</a>, <a href=\"/metrics\">metrics</a>"
        "<li>What there is: <a href=\"/conformance\">DICOM conformance</a>, "
        "<a href=\"/openapi.json\">OpenAPI</a></ul>"
        "<p>Send a first image: <code>dcmsend -aec %s HOST %d FILE.dcm</code></p></html>\n",
        HOUNSFIELD_VERSION, settings->ae_title, (int)settings->dimse_port,
        settings->dicomweb_prefix, base, settings->dicomweb_prefix, settings->fhir_prefix, base,
        settings->fhir_prefix, settings->dicomweb_prefix, base, settings->dicomweb_prefix,
        settings->dicomweb_prefix, base, settings->dicomweb_prefix,
        *settings->viewer_directory ? "<li><a href=\"/viewer\">Viewer</a>" : "", settings->ae_title,
        (int)settings->dimse_port);
    response_status(response, 200);
    response_content_type(response, "text/html; charset=utf-8");
    response_header(response, "Content-Security-Policy",
                    "default-src 'none'; style-src 'unsafe-inline'");
    response_body_take(response, &body);
}

static const struct route routes[] = {
    { .method = "GET",
      .pattern = "/",
      .respond = answer_page,
      .right = HTTP_ANYBODY,
      .summary = "A page that says where everything is",
      .produces = "text/html" },
    { .method = "GET",
      .pattern = "/health",
      .respond = answer_health,
      .right = HTTP_ANYBODY,
      .summary = "How the server is",
      .produces = "application/json" },
    { .method = "GET",
      .pattern = "/metrics",
      .respond = answer_metrics,
      .summary = "Metrics for Prometheus",
      .produces = "text/plain" },
};

struct route_table health_routes(struct health *health)
{
    struct route_table table = { "", routes, sizeof(routes) / sizeof(routes[0]), health };
    return table;
}
