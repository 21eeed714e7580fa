/* SPDX-License-Identifier: MIT */
/* DICOM peers that load a server, or stand in for one:
 *   load_dimse store HOST:PORT AET ROOT ASSOCIATIONS STUDIES INSTANCES PIXELS [FRAMES]
 *       C-STORE of INSTANCES synthetic images in each of STUDIES studies, shared out by studies
 *   load_dimse find HOST:PORT AET ROOT ASSOCIATIONS SECONDS STUDIES
 *       C-FIND at study level by Study Instance UIDs among STUDIES
 *   load_dimse move HOST:PORT AET ROOT TIMES DESTINATION LISTEN-HOST:PORT
 *       C-MOVE of study 0 to the AE title DESTINATION, which is this program
 *   load_dimse sink HOST:PORT
 *       takes every instance and forgets it: the bound of the programs themselves
 * One line of JSON tells the result. No more of PS3.7 and PS3.8 than that needs. */
#include "bench/instances.h"
#include "bench/load.h"

enum {
    MAX_PDU = 128 << 10,
    COMMAND_ROOM = 1024,
    C_STORE = 0x0001,
    C_FIND = 0x0020,
    C_MOVE = 0x0021,
    RESPONSE = 0x8000,
    NO_DATA_SET = 0x0101,
};

#define STUDY_ROOT_FIND "1.2.840.10008.5.1.4.1.2.2.1"
#define STUDY_ROOT_MOVE "1.2.840.10008.5.1.4.1.2.2.2"
#define EXPLICIT_LITTLE "1.2.840.10008.1.2.1"

struct association {
    int fd;
    uint8_t context;
    uint32_t peer_pdu; /* most bytes in a PDU that the peer takes */
    uint8_t *pdu;
};

/* A command set in implicit VR little endian. */
struct command {
    uint8_t bytes[COMMAND_ROOM];
    size_t size;
};

static void put_big(uint8_t *to, size_t bytes, uint32_t value)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static uint32_t get_big(const uint8_t *from, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}

static void add_element(struct command *command, uint16_t element, const void *value, size_t size)
{
    uint8_t *to = command->bytes + command->size;
    size_t even = (size + 1) & ~(size_t)1;
    const uint8_t head[8] = {
        0, 0, (uint8_t)element, (uint8_t)(element >> 8), (uint8_t)even, (uint8_t)(even >> 8), 0, 0
    };
    memcpy(to, head, sizeof(head));
    memcpy(to + 8, value, size);
    if (size & 1)
        to[8 + size] = element == 0x0600 ? ' ' : 0;
    command->size += 8 + even;
}

static void add_text(struct command *command, uint16_t element, const char *text)
{
    add_element(command, element, text, strlen(text));
}

static void add_short(struct command *command, uint16_t element, unsigned value)
{
    const uint8_t bytes[2] = { (uint8_t)value, (uint8_t)(value >> 8) };
    add_element(command, element, bytes, 2);
}

static void begin_command(struct command *command, const char *sop_class, unsigned field)
{
    command->size = 12; /* the group length comes at the end */
    add_text(command, 0x0002, sop_class);
    add_short(command, 0x0100, field);
}

static void end_command(struct command *command)
{
    uint32_t size = (uint32_t)command->size - 12;
    const uint8_t length[12] = { 0, 0, 0, 0, 4, 0, 0, 0, (uint8_t)size, (uint8_t)(size >> 8) };
    memcpy(command->bytes, length, sizeof(length));
}

/* The value of an element, NULL when it is absent. */
static const uint8_t *find_element(const struct command *command, uint16_t element, size_t *size)
{
    for (size_t at = 0; at + 8 <= command->size;) {
        const uint8_t *head = command->bytes + at;
        *size = (size_t)head[4] | (size_t)head[5] << 8;
        if (at + 8 + *size > command->size)
            break;
        if ((head[2] | head[3] << 8) == element && !head[0] && !head[1])
            return head + 8;
        at += 8 + *size;
    }
    return NULL;
}

static unsigned find_short(const struct command *command, uint16_t element)
{
    size_t size;
    const uint8_t *value = find_element(command, element, &size);
    return value && size >= 2 ? (unsigned)value[0] | (unsigned)value[1] << 8 : 0xFFFF;
}

/* --- associations --- */

static size_t put_item(uint8_t *to, uint8_t type, const void *value, size_t size)
{
    to[0] = type;
    to[1] = 0;
    put_big(to + 2, 2, (uint32_t)size);
    memcpy(to + 4, value, size);
    return 4 + size;
}

static size_t put_user_information(uint8_t *to)
{
    uint8_t items[64];
    uint8_t most[4];
    put_big(most, 4, MAX_PDU);
    size_t size = put_item(items, 0x51, most, 4);
    size += put_item(items + size, 0x52, "2.25.20240301", 13);
    return put_item(to, 0x50, items, size);
}

static void put_titles(uint8_t *to, const char *called, const char *calling)
{
    memset(to, 0, 68);
    to[1] = 1;
    memset(to + 4, ' ', 32);
    memcpy(to + 4, called, strnlen(called, 16));
    memcpy(to + 20, calling, strnlen(calling, 16));
}

static bool send_pdu(int fd, uint8_t type, const uint8_t *body, size_t size)
{
    uint8_t head[6] = { type, 0 };
    put_big(head + 2, 4, (uint32_t)size);
    struct iovec parts[] = { { head, sizeof(head) }, { (void *)(uintptr_t)body, size } };
    return load_write(fd, parts, 2);
}

/* A PDU into association->pdu; its type, 0 when the peer is gone. */
static uint8_t read_pdu(struct association *association, size_t *size)
{
    uint8_t head[6];
    if (!load_read(association->fd, head, sizeof(head)))
        return 0;
    *size = get_big(head + 2, 4);
    if (*size > MAX_PDU || !load_read(association->fd, association->pdu, *size))
        return 0;
    return head[0];
}

static void read_user_information(struct association *association, size_t size)
{
    const uint8_t *pdu = association->pdu;
    for (size_t at = 68; at + 4 <= size; at += 4 + get_big(pdu + at + 2, 2))
        if (pdu[at] == 0x50 && pdu[at + 4] == 0x51)
            association->peer_pdu = get_big(pdu + at + 8, 4);
    if (!association->peer_pdu || association->peer_pdu > MAX_PDU)
        association->peer_pdu = MAX_PDU;
}

static void request(struct association *association, const char *to, const char *called,
                    const char *sop_class)
{
    uint8_t body[1024];
    uint8_t context[256] = { 1 };
    size_t size = 4;
    association->fd = load_connect(to);
    association->context = 1;
    association->peer_pdu = 0;
    association->pdu = load_memory(MAX_PDU);
    put_titles(body, called, "LOAD");
    size += put_item(context + size, 0x30, sop_class, strlen(sop_class));
    size += put_item(context + size, 0x40, EXPLICIT_LITTLE, strlen(EXPLICIT_LITTLE));
    size_t end = 68 + put_item(body + 68, 0x10, "1.2.840.10008.3.1.1.1", 21);
    end += put_item(body + end, 0x20, context, size);
    end += put_user_information(body + end);
    if (!send_pdu(association->fd, 1, body, end) || read_pdu(association, &size) != 2) {
        fprintf(stderr, "%s: the association was not accepted\n", to);
        exit(1);
    }
    read_user_information(association, size);
}

static void release(struct association *association)
{
    static const uint8_t nothing[4];
    size_t size;
    if (send_pdu(association->fd, 5, nothing, sizeof(nothing)))
        read_pdu(association, &size);
    close(association->fd);
    free(association->pdu);
}

/* --- messages --- */

/* The command and, behind it, the data set (size 0: none), in as few writes as PDUs. */
static bool send_message(const struct association *association, const struct command *command,
                         const uint8_t *data, size_t size)
{
    uint8_t first[12 + COMMAND_ROOM] = { 4 };
    size_t most = association->peer_pdu - 6;
    put_big(first + 2, 4, (uint32_t)command->size + 6);
    put_big(first + 6, 4, (uint32_t)command->size + 2);
    first[10] = association->context;
    first[11] = 3;
    memcpy(first + 12, command->bytes, command->size);
    struct iovec parts[3] = { { first, 12 + command->size } };
    int count = 1;
    for (;;) {
        uint8_t head[12] = { 4 };
        size_t piece = size < most ? size : most;
        if (piece) {
            put_big(head + 2, 4, (uint32_t)piece + 6);
            put_big(head + 6, 4, (uint32_t)piece + 2);
            head[10] = association->context;
            head[11] = piece == size ? 2 : 0;
            parts[count++] = (struct iovec){ head, sizeof(head) };
            parts[count++] = (struct iovec){ (void *)(uintptr_t)data, piece };
        }
        if (!load_write(association->fd, parts, count))
            return false;
        data += piece;
        size -= piece;
        count = 0;
        if (!size)
            return true;
    }
}

/* A whole message; its data set is counted in *bytes and forgotten. False when the association
 * ended; a release is answered. */
static bool read_message(struct association *association, struct command *command, uint64_t *bytes)
{
    static const uint8_t nothing[4];
    bool command_ended = false;
    command->size = 0;
    for (;;) {
        size_t size;
        uint8_t type = read_pdu(association, &size);
        if (type == 5)
            send_pdu(association->fd, 6, nothing, sizeof(nothing));
        if (type != 4)
            return false;
        for (size_t at = 0; at + 6 <= size;) {
            const uint8_t *value = association->pdu + at;
            size_t length = get_big(value, 4);
            if (length < 2 || length > size - at - 4)
                return false;
            at += 4 + length;
            association->context = value[4];
            length -= 2;
            if (!(value[5] & 1)) {
                *bytes += length;
                if (value[5] & 2)
                    return true;
                continue;
            }
            if (length > COMMAND_ROOM - command->size)
                return false;
            memcpy(command->bytes + command->size, value + 6, length);
            command->size += length;
            command_ended = value[5] & 2;
        }
        if (command_ended && find_short(command, 0x0800) == NO_DATA_SET)
            return true;
    }
}

/* --- as a receiver --- */

static void accept_association(struct association *association)
{
    uint8_t body[8192];
    size_t size;
    association->pdu = load_memory(MAX_PDU);
    if (read_pdu(association, &size) != 1 || size < 68)
        return;
    const uint8_t *pdu = association->pdu;
    read_user_information(association, size);
    memcpy(body, pdu, 68);
    size_t end = 68 + put_item(body + 68, 0x10, "1.2.840.10008.3.1.1.1", 21);
    for (size_t at = 68; at + 8 <= size; at += 4 + get_big(pdu + at + 2, 2)) {
        /* Of each context the first transfer syntax. */
        size_t transfer = at + 8 + 4 + get_big(pdu + at + 10, 2);
        size_t length = pdu[at] == 0x20 ? get_big(pdu + transfer + 2, 2) : 0;
        if (!length || length > 64 || end + 200 > sizeof(body))
            continue;
        uint8_t context[80] = { pdu[at + 4] };
        size_t taken = 4 + put_item(context + 4, 0x40, pdu + transfer + 4, length);
        end += put_item(body + end, 0x21, context, taken);
    }
    end += put_user_information(body + end);
    send_pdu(association->fd, 2, body, end);
}

static void *receive(void *context)
{
    struct association association = { .fd = (int)(intptr_t)context };
    struct command command, answer;
    uint64_t bytes = 0;
    load_no_delay(association.fd);
    accept_association(&association);
    while (read_message(&association, &command, &bytes)) {
        size_t class_size, instance_size;
        const uint8_t *sop_class = find_element(&command, 0x0002, &class_size);
        const uint8_t *instance = find_element(&command, 0x1000, &instance_size);
        if (!sop_class || !instance)
            break;
        answer.size = 12;
        add_element(&answer, 0x0002, sop_class, class_size);
        add_short(&answer, 0x0100, C_STORE | RESPONSE);
        add_short(&answer, 0x0120, find_short(&command, 0x0110));
        add_short(&answer, 0x0800, NO_DATA_SET);
        add_short(&answer, 0x0900, 0);
        add_element(&answer, 0x1000, instance, instance_size);
        end_command(&answer);
        if (!send_message(&association, &answer, NULL, 0))
            break;
    }
    close(association.fd);
    free(association.pdu);
    return NULL;
}

static _Noreturn void accept_all(int listening)
{
    for (;;) {
        pthread_t thread;
        int fd = accept(listening, NULL, NULL);
        if (fd < 0)
            load_fail("accept");
        if (pthread_create(&thread, NULL, receive, (void *)(intptr_t)fd))
            load_fail("thread");
        pthread_detach(thread);
    }
}

static void *accept_beside(void *context)
{
    accept_all((int)(intptr_t)context);
}

/* --- loads --- */

static struct {
    const char *to;
    const char *called;
    const char *root;
    size_t connections;
    double seconds;
    unsigned studies;
    unsigned instances;
    size_t pixels;
    unsigned frames;
    const char *destination;
    pthread_barrier_t ready; /* all associations stand */
} load;

static struct load_worker workers[LOAD_MAX_CONNECTIONS];

static bool store_one(struct association *association, uint8_t *data, unsigned study,
                      unsigned instance, struct load_worker *worker)
{
    struct instance_uids uids;
    struct command command, answer;
    uint64_t ignored = 0;
    instance_uids(load.root, study, instance, &uids);
    size_t size = instance_write(data, &uids, study, instance, load.frames, load.pixels);
    begin_command(&command, INSTANCE_SOP_CLASS, C_STORE);
    add_short(&command, 0x0110, instance & 0xFFFF);
    add_short(&command, 0x0700, 0);
    add_short(&command, 0x0800, 1);
    add_text(&command, 0x1000, uids.instance);
    end_command(&command);
    double begun = load_now();
    if (!send_message(association, &command, data, size) ||
        !read_message(association, &answer, &ignored))
        return false;
    load_sample(worker, begun);
    worker->bytes += size;
    if (find_short(&answer, 0x0900) == 0)
        worker->done++;
    else
        worker->failed++;
    return true;
}

static void *store(void *context)
{
    struct load_worker *worker = context;
    struct association association;
    uint8_t *data = load_memory(instance_room(load.pixels * load.frames));
    unsigned noise = (unsigned)worker->number + 1;
    for (size_t i = 0; i < load.pixels * load.frames; i++)
        data[i] = (uint8_t)((noise = noise * 1103515245 + 12345) >> 20);
    request(&association, load.to, load.called, INSTANCE_SOP_CLASS);
    pthread_barrier_wait(&load.ready);
    bool ok = true;
    for (unsigned study = (unsigned)worker->number; ok && study < load.studies;
         study += (unsigned)load.connections)
        for (unsigned i = 0; ok && i < load.instances; i++)
            ok = store_one(&association, data, study, i, worker);
    worker->failed += !ok;
    release(&association);
    free(data);
    return NULL;
}

/* Asks once for what the identifier says; the number of pending answers, -1 when it failed. */
static int ask(struct association *association, const struct command *command,
               const uint8_t *identifier, size_t size, struct load_worker *worker)
{
    struct command answer;
    int pending = 0;
    unsigned status;
    double begun = load_now();
    if (!send_message(association, command, identifier, size))
        return -1;
    do {
        if (!read_message(association, &answer, &worker->bytes))
            return -1;
        status = find_short(&answer, 0x0900);
        pending += (status & 0xFFFE) == 0xFF00;
    } while ((status & 0xFFFE) == 0xFF00);
    load_sample(worker, begun);
    return status == 0 ? pending : -1;
}

static uint8_t *put_key(uint8_t *to, uint16_t group, uint16_t element, const char *vr,
                        const char *value)
{
    size_t size = strlen(value);
    size_t even = (size + 1) & ~(size_t)1;
    const uint8_t head[8] = { (uint8_t)group,          (uint8_t)(group >> 8), (uint8_t)element,
                              (uint8_t)(element >> 8), (uint8_t)vr[0],        (uint8_t)vr[1],
                              (uint8_t)even,           (uint8_t)(even >> 8) };
    memcpy(to, head, sizeof(head));
    memcpy(to + 8, value, size);
    if (size & 1)
        to[8 + size] = strcmp(vr, "UI") ? ' ' : 0;
    return to + 8 + even;
}

static void *find(void *context)
{
    struct load_worker *worker = context;
    struct association association;
    struct command command;
    unsigned study = (unsigned)worker->number * 7919;
    request(&association, load.to, load.called, STUDY_ROOT_FIND);
    begin_command(&command, STUDY_ROOT_FIND, C_FIND);
    add_short(&command, 0x0110, 1);
    add_short(&command, 0x0700, 0);
    add_short(&command, 0x0800, 1);
    end_command(&command);
    pthread_barrier_wait(&load.ready);
    for (double end = load_now() + load.seconds; load_now() < end;) {
        struct instance_uids uids;
        uint8_t identifier[512];
        study = (study + 104729) % load.studies;
        instance_uids(load.root, study, 0, &uids);
        uint8_t *at = put_key(identifier, 0x0008, 0x0020, "DA", "");
        at = put_key(at, 0x0008, 0x0050, "SH", "");
        at = put_key(at, 0x0008, 0x0052, "CS", "STUDY");
        at = put_key(at, 0x0010, 0x0010, "PN", "");
        at = put_key(at, 0x0010, 0x0020, "LO", "");
        at = put_key(at, 0x0020, 0x000D, "UI", uids.study);
        if (ask(&association, &command, identifier, (size_t)(at - identifier), worker) == 1)
            worker->done++;
        else
            worker->failed++;
    }
    release(&association);
    return NULL;
}

static void *move(void *context)
{
    struct load_worker *worker = context;
    struct association association;
    struct command command;
    struct instance_uids uids;
    uint8_t identifier[256];
    request(&association, load.to, load.called, STUDY_ROOT_MOVE);
    begin_command(&command, STUDY_ROOT_MOVE, C_MOVE);
    add_short(&command, 0x0110, 1);
    add_text(&command, 0x0600, load.destination);
    add_short(&command, 0x0700, 0);
    add_short(&command, 0x0800, 1);
    end_command(&command);
    instance_uids(load.root, 0, 0, &uids);
    uint8_t *at = put_key(identifier, 0x0008, 0x0052, "CS", "STUDY");
    at = put_key(at, 0x0020, 0x000D, "UI", uids.study);
    pthread_barrier_wait(&load.ready);
    for (unsigned i = 0; i < load.instances; i++) {
        if (ask(&association, &command, identifier, (size_t)(at - identifier), worker) >= 0)
            worker->done++;
        else
            worker->failed++;
    }
    release(&association);
    return NULL;
}

static int run(void *(*work)(void *context))
{
    return load_run(workers, load.connections, &load.ready, work);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 2 ? argv[1] : "";
    if (!strcmp(mode, "sink"))
        accept_all(load_listen(argv[2]));
    if (argc < 8) {
        fprintf(stderr, "see the beginning of bench/load_dimse.c\n");
        return 2;
    }
    load.to = argv[2];
    load.called = argv[3];
    load.root = argv[4];
    load.connections = load_number(argv[5]);
    load.frames = 1;
    if (!strcmp(mode, "store") && argc >= 9) {
        load.studies = load_number(argv[6]);
        load.instances = load_number(argv[7]);
        load.pixels = load_number(argv[8]);
        load.frames = argc > 9 ? load_number(argv[9]) : 1;
        if (!load.frames)
            return 2;
        return run(store);
    }
    if (!strcmp(mode, "find")) {
        load.seconds = atof(argv[6]);
        load.studies = load_number(argv[7]);
        return run(find);
    }
    if (!strcmp(mode, "move")) {
        pthread_t thread;
        load.instances = load_number(argv[5]);
        load.connections = 1;
        load.destination = argv[6];
        if (pthread_create(&thread, NULL, accept_beside, (void *)(intptr_t)load_listen(argv[7])))
            load_fail("thread");
        return run(move);
    }
    return 2;
}
