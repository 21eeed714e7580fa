/* SPDX-License-Identifier: MIT */
#pragma once
/* How a sub-command asks the daemon that has the data directory: by the Unix socket `control` in
 * it, which only the user who runs the daemon (and root) can open. Lines of JSON:
 *
 *     > {"command": "verify", "options": {"quick": false, ...}}
 *     < {"progress": {"phase": "reading records", "unit": "bytes", "done": 1, "total": 2}}   often
 *     < {"result": {...}}  or  {"error": {"code": "busy", "message": "..."}}                 once
 *
 * A client that ends its side cancels its job. */

#include "server/operation.h"

struct control;

/* `place` is borrowed. Removes a socket that a daemon before left behind: the directory is ours. */
bool control_open(const struct operation_place *place, struct control **out, struct error *err);
void control_close(struct control *control); /* cancels what runs, and waits for it */

/* Asks whoever has the directory. Its progress goes to `job`, whose cancelled stops it. *result is
 * the caller's. *is_there is false when nobody listens; any other error is of the work itself. */
bool control_ask(const char *data_directory, const struct operation *operation,
                 const struct operation_options *options, struct job *job, cJSON **result,
                 bool *is_there, struct error *err);

/* Shared by both ends. */
enum { CONTROL_REQUEST_MAX = 64 << 10, CONTROL_ANSWER_MAX = 8 << 20 };
struct sockaddr_un;
/* The address of the socket: through /proc/self/fd when the path is too long for one. *folder_fd
 * (or -1) stays open until the address was used. */
bool control_address(const char *data_directory, struct sockaddr_un *address, int *folder_fd,
                     struct error *err);
bool control_send(int fd, const cJSON *line); /* false when the other side does not take it */
