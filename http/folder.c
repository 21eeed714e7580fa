/* SPDX-License-Identifier: MIT */
#include "http/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "http/compress.h"
#include "http/exchange.h"

enum { NAME_LIMIT = 255 };

/* Browsers refuse a script, a style sheet or a module of WebAssembly under any other type. */
static const struct {
    const char *ending;
    const char *type;
} types[] = {
    { ".css", "text/css; charset=utf-8" },
    { ".gif", "image/gif" },
    { ".htm", "text/html; charset=utf-8" },
    { ".html", "text/html; charset=utf-8" },
    { ".ico", "image/x-icon" },
    { ".jpeg", "image/jpeg" },
    { ".jpg", "image/jpeg" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".json", "application/json" },
    { ".jsonc", "application/json" },
    { ".map", "application/json" },
    { ".mjs", "text/javascript; charset=utf-8" },
    { ".onnx", "application/octet-stream" },
    { ".otf", "font/otf" },
    { ".pdf", "application/pdf" },
    { ".png", "image/png" },
    { ".svg", "image/svg+xml" },
    { ".ttf", "font/ttf" },
    { ".txt", "text/plain; charset=utf-8" },
    { ".wasm", "application/wasm" },
    { ".webapp", "application/manifest+json" },
    { ".webmanifest", "application/manifest+json" },
    { ".webp", "image/webp" },
    { ".woff", "font/woff" },
    { ".woff2", "font/woff2" },
    { ".xml", "application/xml" },
};

const char *folder_media_type(const char *name)
{
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcasecmp(ending, types[i].ending) == 0)
            return types[i].type;
    return NULL;
}

/* A segment is percent-decoded, so it may hold slashes. */
static bool is_name(const char *segment)
{
    return segment[0] && segment[0] != '.' && !strchr(segment, '/') &&
           strlen(segment) <= NAME_LIMIT;
}

/* One step at a time, and never through a link: nothing leads out of the folder. */
static int open_below(const char *folder, const char *const *segments, size_t count)
{
    int fd = count ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    for (size_t i = 0; i < count && fd >= 0; i++) {
        /* O_NONBLOCK: opening a pipe must not wait for its other end. */
        int kind = i + 1 < count ? O_DIRECTORY : O_NONBLOCK;
        int next = is_name(segments[i])
                       ? openat(fd, segments[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind)
                       : -1;
        close(fd);
        fd = next;
    }
    return fd;
}

static bool take_descriptor(int fd, const char *name, bool gzip, struct folder_file *file)
{
    struct stat status;
    file->fd = -1;
    if (fd < 0)
        return false;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return false;
    }
    const char *type = folder_media_type(name);
    file->fd = fd;
    file->type = type ? type : "application/octet-stream";
    file->gzip = gzip;
    file->size = (uint64_t)status.st_size;
    snprintf(file->etag, sizeof(file->etag), "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%" PRIx64 "\"",
             (uint64_t)status.st_ino, file->size, (uint64_t)status.st_mtim.tv_sec,
             (uint64_t)status.st_mtim.tv_nsec);
    return true;
}

static bool find_packed(const char *folder, const char *const *segments, size_t count,
                        struct folder_file *file)
{
    const char *path[TARGET_MAX_SEGMENTS];
    char *packed = mem_format("%s.gz", segments[count - 1]);
    memcpy(path, segments, (count - 1) * sizeof(path[0]));
    path[count - 1] = packed;
    bool found = take_descriptor(open_below(folder, path, count), segments[count - 1], true, file);
    free(packed);
    return found;
}

bool folder_find(const char *folder, const struct request *request, size_t skipped,
                 struct folder_file *file)
{
    const struct target *target = &request->target;
    file->fd = -1;
    if (target->segment_count <= skipped)
        return false;
    const char *const *segments = (const char *const *)target->segments + skipped;
    size_t count = target->segment_count - skipped;
    if (!take_descriptor(open_below(folder, segments, count), segments[count - 1], false, file))
        return false;
    const char *accepted = request_header(request, "Accept-Encoding");
    struct folder_file packed;
    if (accepted && accepts_gzip(accepted) && find_packed(folder, segments, count, &packed)) {
        close(file->fd);
        *file = packed;
    }
    return true;
}

bool folder_find_name(const char *folder, const char *name, struct folder_file *file)
{
    return take_descriptor(open_below(folder, &name, 1), name, false, file);
}

bool folder_read_take(struct folder_file *file, struct buffer *bytes)
{
    uint8_t piece[8192];
    ssize_t size;
    while ((size = read(file->fd, piece, sizeof(piece))) > 0)
        if (!buffer_append(bytes, slice_of(piece, (size_t)size)))
            break;
    close(file->fd);
    file->fd = -1;
    return size == 0;
}

/* --- the body --- */

struct whole_file {
    struct file_range range;
    bool given;
};

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    (void)err;
    struct whole_file *whole = state;
    piece->kind = whole->given || !whole->range.size ? PIECE_END : PIECE_FILE;
    piece->file = whole->range;
    whole->given = true;
    return true;
}

static void close_file(void *state)
{
    struct whole_file *whole = state;
    close(whole->range.fd);
    free(whole);
}

void folder_answer_take(struct response *response, const struct request *request,
                        struct folder_file *file)
{
    if (response_etag(response, request, file->etag)) {
        close(file->fd);
    } else {
        struct whole_file *whole = mem_alloc(sizeof(*whole));
        whole->range = (struct file_range){ file->fd, 0, file->size };
        const struct body_source source = { next_piece, close_file, whole };
        response_status(response, 200);
        response_content_type(response, file->type);
        if (file->gzip) {
            response_header(response, "Content-Encoding", "gzip");
            response_header(response, "Vary", "Accept-Encoding");
        }
        response_stream_take(response, &source, file->size);
    }
    file->fd = -1;
}
