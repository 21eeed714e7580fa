/* SPDX-License-Identifier: MIT */
/* Senders of HL7 over MLLP, each on a connection of its own that waits for the answer to a message
 * before it sends the next: load_hl7 HOST:PORT CONNECTIONS COUNT orders|patients
 * orders: COUNT new orders in all, each of its own patient. patients: A08 of 1,000 patients. */
#include <stdatomic.h>

#include "bench/load.h"

static struct {
    const char *to;
    unsigned count;
    bool of_patients;
    unsigned run; /* so that a second run's orders are not those of the first */
    atomic_uint next;
    pthread_barrier_t ready;
} load;

static struct load_worker workers[LOAD_MAX_CONNECTIONS];

static int write_order(char *text, size_t size, unsigned number)
{
    return snprintf(text, size,
                    "\vMSH|^~\\&|HIS|CLINIC|PACS|RAD|20260102120000||ORM^O01|%u-%u|P|2.3.1\r"
                    "PID|1||L%u^^^LOAD||LOAD^PATIENT%u||19700102|F\r"
                    "PV1|1|I|WARD^12^1|||||5^SMITH^ANN\r"
                    "ORC|NW|%u-%u^HIS|%u-%u^RIS||||1^once^^20300102103000^^R\r"
                    "OBR|1|%u-%u^HIS|%u-%u^RIS|CTH^CT HEAD^99RIS||||||||||||77^MILL^JOHN||"
                    "A%u.%u|RP%u|S%u||||CT|||1^once^^20300102103000^^R\r\x1c\r",
                    load.run, number, number, number, load.run, number, load.run, number, load.run,
                    number, load.run, number, load.run % 10000, number, number, number);
}

static int write_patient(char *text, size_t size, unsigned number)
{
    return snprintf(text, size,
                    "\vMSH|^~\\&|HIS|CLINIC|PACS|RAD|20260102120000||ADT^A08|%u-%u|P|2.5.1\r"
                    "EVN|A08|20260102120000\rPID|1||L%u^^^LOAD||LOAD^NAME%u||19700102|F\r\x1c\r",
                    load.run, number, number % 1000, number);
}

/* The answer: true for AA. */
static bool read_answer(int fd)
{
    char answer[4096];
    size_t size = 0;
    while (size < 2 || answer[size - 2] != '\x1c') {
        ssize_t got = recv(fd, answer + size, sizeof(answer) - 1 - size, 0);
        if (got <= 0)
            load_fail("answer");
        size += (size_t)got;
    }
    answer[size] = 0;
    return strstr(answer, "\rMSA|AA|");
}

static void *send_messages(void *context)
{
    struct load_worker *worker = context;
    char text[2048];
    int fd = load_connect(load.to);
    pthread_barrier_wait(&load.ready);
    for (;;) {
        unsigned number = atomic_fetch_add(&load.next, 1);
        if (number >= load.count)
            break;
        int size = load.of_patients ? write_patient(text, sizeof(text), number)
                                    : write_order(text, sizeof(text), number);
        struct iovec part = { text, (size_t)size };
        double begun = load_now();
        if (!load_write(fd, &part, 1))
            load_fail("send");
        if (read_answer(fd))
            worker->done++;
        else
            worker->failed++;
        worker->bytes += (uint64_t)size;
        load_sample(worker, begun);
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5 || (strcmp(argv[4], "orders") && strcmp(argv[4], "patients"))) {
        fprintf(stderr, "load_hl7 HOST:PORT CONNECTIONS COUNT orders|patients\n");
        return 2;
    }
    load.to = argv[1];
    load.count = load_number(argv[3]);
    load.of_patients = !strcmp(argv[4], "patients");
    load.run = (unsigned)time(NULL);
    return load_run(workers, load_number(argv[2]), &load.ready, send_messages);
}
