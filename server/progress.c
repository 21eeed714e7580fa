/* SPDX-License-Identifier: MIT */
#include "server/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/operation.h"

enum { REDRAW_MS = 200, LINE_MS = 10000, BAR = 24, ETA_AFTER_MS = 1000 };

void progress_init(struct progress *progress, bool quiet)
{
    memset(progress, 0, sizeof(*progress));
    progress->quiet = quiet;
    progress->terminal = isatty(STDERR_FILENO);
}

static void format_amount(char *text, size_t size, const char *unit, uint64_t amount)
{
    if (!strcmp(unit, "bytes"))
        snprintf(text, size, "%s", operation_size((double)amount));
    else
        snprintf(text, size, "%" PRIu64, amount);
}

static void format_rate(char *text, size_t size, const char *unit, double per_second)
{
    if (!strcmp(unit, "bytes"))
        snprintf(text, size, "%s/s", operation_size(per_second));
    else
        snprintf(text, size, "%.0f %s/s", per_second, unit);
}

static void format_bar(char bar[BAR + 3], double share)
{
    int filled = (int)(share * BAR);
    bar[0] = '[';
    for (int i = 0; i < BAR; i++)
        bar[i + 1] = i < filled ? '#' : '.';
    bar[BAR + 1] = ']';
    bar[BAR + 2] = '\0';
}

static void format_line(const struct progress *progress, const char *unit, uint64_t done,
                        uint64_t total, char *line, size_t size)
{
    char of_done[40], of_total[40], rate[64], bar[BAR + 3];
    int64_t elapsed_ms = clock_monotonic_ms() - progress->phase_began_ms;
    double per_second = elapsed_ms > 0
                            ? (double)(done - progress->phase_began_at) * 1000 / (double)elapsed_ms
                            : 0;
    double share = total && done <= total ? (double)done / (double)total : 0;
    format_amount(of_done, sizeof(of_done), unit, done);
    format_amount(of_total, sizeof(of_total), unit, total);
    format_rate(rate, sizeof(rate), unit, per_second);
    format_bar(bar, share);
    int written = snprintf(line, size, "%s: ", progress->phase);
    if (progress->terminal && total)
        written += snprintf(line + written, size - (size_t)written, "%s ", bar);
    const char *what = strcmp(unit, "bytes") ? unit : "";
    const char *gap = *what ? " " : "";
    if (total)
        written += snprintf(line + written, size - (size_t)written, "%s of %s%s%s (%.0f %%)",
                            of_done, of_total, gap, what, share * 100);
    else
        written += snprintf(line + written, size - (size_t)written, "%s%s%s", of_done, gap, what);
    if (elapsed_ms < ETA_AFTER_MS || per_second <= 0)
        return;
    written += snprintf(line + written, size - (size_t)written, ", %s", rate);
    if (total > done)
        snprintf(line + written, size - (size_t)written, ", ETA %s",
                 operation_duration((double)(total - done) * 1000 / per_second));
}

void progress_show(struct progress *progress, const char *phase, const char *unit, uint64_t done,
                   uint64_t total)
{
    char line[400];
    if (progress->quiet)
        return;
    int64_t now = clock_monotonic_ms();
    bool is_new = strncmp(progress->phase, phase, sizeof(progress->phase) - 1) != 0;
    if (is_new) {
        snprintf(progress->phase, sizeof(progress->phase), "%s", phase);
        progress->phase_began_ms = now;
        progress->phase_began_at = done;
    }
    if (!is_new && now - progress->shown_ms < (progress->terminal ? REDRAW_MS : LINE_MS))
        return;
    progress->shown_ms = now;
    format_line(progress, unit, done, total, line, sizeof(line));
    /* Erases what the last line has more than this one. */
    fprintf(stderr, progress->terminal ? "\r%s\033[K" : "%s\n", line);
    progress->drawn = progress->terminal;
    fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
    fflush(stderr);
}
