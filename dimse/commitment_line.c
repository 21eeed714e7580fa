/* SPDX-License-Identifier: MIT */
/* The associations' side of storage commitment: reports that go out over the requester's own. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "dimse/commitment_parts.h"
#include "dimse/status.h"

struct commitment_line *commitment_line_new(struct commitment *commitment)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return NULL;
    struct commitment_line *line = mem_alloc(sizeof(*line));
    line->commitment = commitment;
    line->fd = fd;
    return line;
}

int commitment_line_fd(const struct commitment_line *line)
{
    return line->fd;
}

void commitment_raise_event(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof(one)) < 0)
        break; /* only when it is raised already */
}

/* With the lock held: the job is the thread's again. */
static void give_back(struct job *job)
{
    job->line = NULL;
    if (job->state != JOB_ON_LINE)
        return;
    job->state = JOB_WAITS;
    job->due_ms = clock_monotonic_ms();
}

void commitment_line_close(struct commitment_line *line)
{
    if (!line)
        return;
    struct commitment *commitment = line->commitment;
    pthread_mutex_lock(&commitment->lock);
    for (struct job *job = commitment->jobs; job; job = job->next)
        if (job->line == line)
            give_back(job);
    pthread_cond_broadcast(&commitment->changed);
    pthread_mutex_unlock(&commitment->lock);
    while (line->handed) {
        struct handed *handed = line->handed;
        line->handed = handed->next;
        commitment_report_free(handed->report);
        free(handed);
    }
    close(line->fd);
    free(line);
}

const struct commitment_report *commitment_line_take(struct commitment_line *line,
                                                     uint16_t *message_id)
{
    struct commitment_report *report = NULL;
    uint64_t count;
    while (read(line->fd, &count, sizeof(count)) > 0)
        continue;
    pthread_mutex_lock(&line->commitment->lock);
    struct handed *handed = line->handed;
    while (handed && (handed->is_taken || !handed->job))
        handed = handed->next;
    if (handed) {
        handed->is_taken = true;
        *message_id = handed->message_id;
        report = handed->report;
    }
    pthread_mutex_unlock(&line->commitment->lock);
    return report;
}

void commitment_line_answered(struct commitment_line *line, uint16_t message_id, uint16_t status)
{
    struct commitment *commitment = line->commitment;
    pthread_mutex_lock(&commitment->lock);
    struct handed **link = &line->handed;
    while (*link && (*link)->message_id != message_id)
        link = &(*link)->next;
    struct handed *handed = *link;
    if (handed) {
        *link = handed->next;
        if (handed->job && status == STATUS_SUCCESS) {
            /* The thread writes it down. */
            handed->job->state = JOB_REPORTED;
            handed->job->due_ms = 0;
            handed->job->line = NULL;
        } else if (handed->job) {
            give_back(handed->job);
        }
        pthread_cond_broadcast(&commitment->changed);
    }
    pthread_mutex_unlock(&commitment->lock);
    if (handed)
        commitment_report_free(handed->report);
    free(handed);
}

void commitment_hand_over(struct job *job, struct commitment_report *report, int64_t deadline_ms)
{
    struct commitment_line *line = job->line;
    struct handed *handed = mem_alloc(sizeof(*handed));
    struct handed **end = &line->handed;
    handed->report = report;
    handed->job = job;
    handed->message_id = ++line->last_id;
    while (*end)
        end = &(*end)->next;
    *end = handed;
    job->state = JOB_ON_LINE;
    job->due_ms = deadline_ms;
    commitment_raise_event(line->fd);
}

void commitment_forget_line(struct job *job)
{
    for (struct handed *handed = job->line->handed; handed; handed = handed->next)
        if (handed->job == job)
            handed->job = NULL;
    give_back(job);
}
