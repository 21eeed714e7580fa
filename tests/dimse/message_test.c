/* SPDX-License-Identifier: MIT */
#include "dimse/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/memory.h"
#include "tests/test.h"

#define CT_IMAGE "1.2.840.10008.5.1.4.1.1.2"

/* An accepted association on one end of a socket pair, the bare peer on the other. */
struct pair {
    struct association *association;
    int peer;
    struct buffer out; /* what the peer is about to send */
};

static struct buffer make_request(uint32_t max_length)
{
    struct associate *associate = mem_alloc(sizeof(*associate));
    struct buffer syntaxes = buffer_up_to(1000);
    struct buffer pdu = buffer_up_to(10000);
    pdu_append_syntax(&syntaxes, slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    associate->protocol_version = 1;
    associate_set_titles(associate, "HOUNSFIELD", "CT1");
    associate->application_context = slice_text(UID_APPLICATION_CONTEXT);
    associate->max_length = max_length;
    associate->context_count = 2;
    for (size_t i = 0; i < 2; i++) {
        associate->contexts[i].id = (uint8_t)(2 * i + 1);
        associate->contexts[i].abstract_syntax = slice_text(CT_IMAGE);
        associate->contexts[i].syntaxes = buffer_slice(&syntaxes);
    }
    associate_encode(associate, PDU_ASSOCIATE_RQ, &pdu);
    buffer_release(&syntaxes);
    free(associate);
    return pdu;
}

static struct pair open_pair(uint32_t peer_max_length, unsigned message_timeout_ms)
{
    static const struct policy policy = { .ae_title = "HOUNSFIELD", .max_pdu = 65536 };
    struct association_settings settings = { 65536, 1000, message_timeout_ms, -1, -1 };
    struct pair pair = { .out = buffer_up_to(1 << 20) };
    struct buffer request = make_request(peer_max_length);
    struct error err = { .code = ERROR_NONE };
    uint8_t header[PDU_HEADER_SIZE];
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    pair.peer = fds[1];
    struct transport transport = { .fd = fds[0], .kill_fd = -1 };
    pair.association = association_accept_take(
        &transport, slice_skip(buffer_slice(&request), PDU_HEADER_SIZE), &policy, &settings, &err);
    CHECK(pair.association);
    CHECK(recv(pair.peer, header, sizeof(header), MSG_WAITALL) == sizeof(header));
    CHECK_INT(header[0], PDU_ASSOCIATE_AC);
    uint32_t length = get_u32be(header + 2);
    uint8_t *body = mem_alloc(length);
    CHECK(recv(pair.peer, body, length, MSG_WAITALL) == (ssize_t)length);
    free(body);
    buffer_release(&request);
    return pair;
}

static void close_pair(struct pair *pair)
{
    int fd = association_close(pair->association);
    if (fd >= 0)
        close(fd);
    close(pair->peer);
    buffer_release(&pair->out);
}

static void add_header(struct pair *pair, uint32_t length)
{
    buffer_append_byte(&pair->out, PDU_DATA);
    buffer_append_byte(&pair->out, 0);
    buffer_append_u32be(&pair->out, length);
}

static void add_pdv(struct pair *pair, uint8_t id, uint8_t control, struct slice bytes)
{
    buffer_append_u32be(&pair->out, (uint32_t)bytes.size + 2);
    buffer_append_byte(&pair->out, id);
    buffer_append_byte(&pair->out, control);
    buffer_append(&pair->out, bytes);
}

static void add_pdu(struct pair *pair, uint8_t id, uint8_t control, struct slice bytes)
{
    add_header(pair, (uint32_t)bytes.size + PDV_HEADER_SIZE);
    add_pdv(pair, id, control, bytes);
}

static void flush(struct pair *pair)
{
    CHECK(send(pair->peer, pair->out.data, pair->out.size, 0) == (ssize_t)pair->out.size);
    buffer_clear(&pair->out);
}

static struct buffer store_command(void)
{
    struct buffer command = buffer_up_to(COMMAND_LIMIT);
    struct command store = { .message_id = 1 };
    memcpy(store.sop_class, CT_IMAGE, sizeof(CT_IMAGE));
    memcpy(store.sop_instance, "1.2.3", 6);
    command_encode_store(&store, &command);
    return command;
}

static bool receive(struct pair *pair, struct buffer *data)
{
    struct message message;
    struct error err;
    bool released;
    return association_wait(pair->association, &err) &&
           message_receive(pair->association, &message, &released, &err) && !released &&
           message_read_all(&message, data, &err);
}

/* Is the last thing that came an A-ABORT of the provider? */
static bool was_aborted(struct pair *pair, uint8_t reason)
{
    uint8_t pdu[PDU_SHORT_SIZE];
    return recv(pair->peer, pdu, sizeof(pdu), MSG_WAITALL) == sizeof(pdu) && pdu[0] == PDU_ABORT &&
           pdu[8] == ABORT_BY_PROVIDER && pdu[9] == reason;
}

TEST(a_message_in_one_pdu_is_received)
{
    struct pair pair = open_pair(0, 1000);
    struct buffer command = store_command();
    struct buffer data = buffer_up_to(100);
    add_header(&pair, (uint32_t)command.size + 3 + 4 + 3 * PDV_HEADER_SIZE);
    add_pdv(&pair, 1, PDV_COMMAND | PDV_LAST | 0xF0, buffer_slice(&command));
    add_pdv(&pair, 1, 0, slice_of("abc", 3));
    add_pdv(&pair, 1, PDV_LAST, slice_of("defg", 4));
    flush(&pair);
    CHECK(receive(&pair, &data));
    CHECK(slice_equals_text(buffer_slice(&data), "abcdefg"));
    buffer_release(&data);
    buffer_release(&command);
    close_pair(&pair);
}

TEST(a_command_in_fragments_of_two_bytes_and_empty_fragments_is_received)
{
    struct pair pair = open_pair(0, 1000);
    struct buffer command = store_command();
    struct buffer data = buffer_up_to(100);
    for (size_t at = 0; at < command.size; at += 2) {
        add_pdu(&pair, 1, PDV_COMMAND, slice_of(NULL, 0));
        add_pdu(&pair, 1, PDV_COMMAND, slice_of(command.data + at, 2));
    }
    add_pdu(&pair, 1, PDV_COMMAND | PDV_LAST, slice_of(NULL, 0));
    add_pdu(&pair, 1, 0, slice_of(NULL, 0));
    add_pdu(&pair, 1, 0, slice_of("abc", 3));
    add_pdu(&pair, 1, PDV_LAST, slice_of(NULL, 0));
    flush(&pair);
    CHECK(receive(&pair, &data));
    CHECK(slice_equals_text(buffer_slice(&data), "abc"));
    buffer_release(&data);
    buffer_release(&command);
    close_pair(&pair);
}

TEST(messages_behind_each_other_in_one_send_are_received_in_turn)
{
    struct pair pair = open_pair(0, 1000);
    struct buffer command = store_command();
    struct buffer data = buffer_up_to(60000);
    static uint8_t large[50000];
    memset(large, 'x', sizeof(large));
    for (int i = 0; i < 3; i++) {
        add_pdu(&pair, 1, PDV_COMMAND | PDV_LAST, buffer_slice(&command));
        add_pdu(&pair, 1, PDV_LAST, slice_of(large, sizeof(large)));
    }
    flush(&pair);
    for (int i = 0; i < 3; i++) {
        buffer_clear(&data);
        CHECK(receive(&pair, &data));
        CHECK(slice_equal(buffer_slice(&data), slice_of(large, sizeof(large))));
    }
    buffer_release(&data);
    buffer_release(&command);
    close_pair(&pair);
}

TEST(fragments_that_do_not_belong_end_the_association)
{
    static const struct {
        uint8_t id;
        uint8_t control;
        bool after_command;
    } wrong[] = {
        { 1, 0, false },                      /* data before the command */
        { 1, PDV_COMMAND, true },             /* a command within the data set */
        { 3, 0, true },                       /* another context within the message */
        { 5, PDV_COMMAND | PDV_LAST, false }, /* a context that was not proposed */
        { 2, PDV_COMMAND | PDV_LAST, false },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct pair pair = open_pair(0, 1000);
        struct buffer command = store_command();
        struct buffer data = buffer_up_to(100);
        if (wrong[i].after_command)
            add_pdu(&pair, 1, PDV_COMMAND | PDV_LAST, buffer_slice(&command));
        add_pdu(&pair, wrong[i].id, wrong[i].control, slice_of("abcd", 4));
        flush(&pair);
        CHECK(!receive(&pair, &data));
        CHECK(was_aborted(&pair, ABORT_INVALID_PARAMETER));
        CHECK(association_has_ended(pair.association));
        buffer_release(&data);
        buffer_release(&command);
        close_pair(&pair);
    }
}

TEST(a_fragment_of_a_wrong_length_ends_the_association)
{
    static const uint32_t lengths[] = { 0, 1, 11, 0xFFFFFFFF };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct pair pair = open_pair(0, 1000);
        struct buffer data = buffer_up_to(100);
        add_header(&pair, 12);
        buffer_append_u32be(&pair.out, lengths[i]);
        buffer_append(&pair.out, slice_of("\1\3abcdef", 8));
        flush(&pair);
        CHECK(!receive(&pair, &data));
        CHECK(was_aborted(&pair, ABORT_INVALID_PARAMETER));
        close_pair(&pair);
    }
}

TEST(a_pdu_longer_than_announced_ends_the_association_before_it_is_read)
{
    struct pair pair = open_pair(0, 1000);
    struct buffer data = buffer_up_to(100);
    add_header(&pair, 65537);
    flush(&pair);
    CHECK(!receive(&pair, &data));
    CHECK(was_aborted(&pair, ABORT_INVALID_PARAMETER));
    close_pair(&pair);
}

TEST(a_command_without_end_is_cut_off_at_its_limit)
{
    struct pair pair = open_pair(0, 1000);
    struct buffer data = buffer_up_to(100);
    static const uint8_t bytes[30000];
    for (int i = 0; i < 3; i++)
        add_pdu(&pair, 1, PDV_COMMAND, slice_of(bytes, sizeof(bytes)));
    flush(&pair);
    CHECK(!receive(&pair, &data));
    CHECK(was_aborted(&pair, ABORT_INVALID_PARAMETER));
    close_pair(&pair);
}

TEST(a_message_that_stops_half_way_is_aborted_in_time)
{
    struct pair pair = open_pair(0, 50);
    struct buffer data = buffer_up_to(100);
    int64_t began_ms = clock_monotonic_ms();
    add_header(&pair, 100);
    flush(&pair);
    CHECK(!receive(&pair, &data));
    CHECK(clock_monotonic_ms() - began_ms < 2000);
    CHECK(was_aborted(&pair, ABORT_NOT_SPECIFIED));
    close_pair(&pair);
}

TEST(a_data_set_beyond_the_callers_limit_is_drained)
{
    struct pair pair = open_pair(0, 1000);
    struct buffer command = store_command();
    struct buffer data = buffer_up_to(10);
    static const uint8_t bytes[40000];
    for (int i = 0; i < 2; i++) {
        add_pdu(&pair, 1, PDV_COMMAND | PDV_LAST, buffer_slice(&command));
        add_pdu(&pair, 1, 0, slice_of(bytes, sizeof(bytes)));
        add_pdu(&pair, 1, PDV_LAST, slice_of("end", 3));
    }
    flush(&pair);
    CHECK(receive(&pair, &data));
    CHECK(data.overflowed);
    buffer_clear(&data);
    CHECK(receive(&pair, &data));
    CHECK(data.overflowed);
    buffer_release(&data);
    buffer_release(&command);
    close_pair(&pair);
}

TEST(no_pdu_is_longer_than_the_peer_takes)
{
    struct pair pair = open_pair(128, 1000);
    struct error err;
    uint8_t bytes[1000];
    uint8_t header[PDU_DATA_HEADER_SIZE];
    uint8_t payload[128];
    struct slice data = slice_of(bytes, sizeof(bytes));
    size_t received = 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    CHECK_INT(association_max_fragment(pair.association), 128 - PDV_HEADER_SIZE);
    CHECK_OK(message_send(pair.association, 1, slice_of("command", 7), &data, &err), err);
    for (bool is_last = false; !is_last;) {
        CHECK(recv(pair.peer, header, sizeof(header), MSG_WAITALL) == sizeof(header));
        uint32_t length = get_u32be(header + 2);
        CHECK(length <= 128);
        size_t size = length - PDV_HEADER_SIZE;
        CHECK_INT(get_u32be(header + 6), size + 2);
        CHECK(recv(pair.peer, payload, size, MSG_WAITALL) == (ssize_t)size);
        if (header[11] & PDV_COMMAND)
            continue;
        CHECK(memcmp(payload, bytes + received, size) == 0);
        received += size;
        is_last = header[11] & PDV_LAST;
    }
    CHECK_INT(received, sizeof(bytes));
    close_pair(&pair);
}

TEST(a_data_set_written_in_pieces_arrives_as_one)
{
    struct pair pair = open_pair(128, 1000);
    struct message_writer writer = message_writer_init(pair.association, 1, slice_of("command", 7));
    struct error err;
    uint8_t received[2000];
    CHECK_OK(message_write(&writer, slice_of("0123456789", 10), &err), err);
    CHECK(!writer.begun && recv(pair.peer, received, 1, MSG_DONTWAIT) < 0); /* no trace so far */
    for (int i = 1; i < 61; i++)
        CHECK_OK(message_write(&writer, slice_of("0123456789", 10), &err), err);
    CHECK_OK(message_end_data(&writer, &err), err);
    message_writer_release(&writer);
    ssize_t size = recv(pair.peer, received, sizeof(received), 0);
    CHECK_INT(size, 7 + 610 + (1 + 5) * PDU_DATA_HEADER_SIZE);
    CHECK_INT(received[PDU_DATA_HEADER_SIZE + 7 + 11], 0);
    CHECK_INT(received[PDU_DATA_HEADER_SIZE + 7 + 4 * (122 + PDU_DATA_HEADER_SIZE) + 11], PDV_LAST);
    close_pair(&pair);
}

TEST(an_unexpected_pdu_is_answered_with_its_reason)
{
    static const struct {
        uint8_t type;
        uint32_t length;
        uint8_t reason;
    } wrong[] = {
        { PDU_ASSOCIATE_RQ, 68, ABORT_UNEXPECTED_PDU },
        { PDU_ASSOCIATE_AC, 68, ABORT_UNEXPECTED_PDU },
        { PDU_ASSOCIATE_RJ, 4, ABORT_UNEXPECTED_PDU },
        { PDU_RELEASE_RP, 4, ABORT_UNEXPECTED_PDU },
        { 0x55, 4, ABORT_UNRECOGNIZED_PDU },
        { PDU_RELEASE_RQ, 0, ABORT_INVALID_PARAMETER },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct pair pair = open_pair(0, 1000);
        struct buffer data = buffer_up_to(100);
        buffer_append_byte(&pair.out, wrong[i].type);
        buffer_append_byte(&pair.out, 0);
        buffer_append_u32be(&pair.out, wrong[i].length);
        flush(&pair);
        CHECK(!receive(&pair, &data));
        CHECK(was_aborted(&pair, wrong[i].reason));
        close_pair(&pair);
    }
}

TEST(an_abort_of_the_peer_is_answered_with_silence)
{
    struct pair pair = open_pair(0, 1000);
    struct buffer data = buffer_up_to(100);
    uint8_t pdu[PDU_SHORT_SIZE];
    abort_encode(ABORT_BY_USER, ABORT_NOT_SPECIFIED, pdu);
    buffer_append(&pair.out, slice_of(pdu, sizeof(pdu)));
    flush(&pair);
    CHECK(!receive(&pair, &data));
    CHECK(association_has_ended(pair.association));
    CHECK_INT(recv(pair.peer, pdu, sizeof(pdu), 0), 0);
    close_pair(&pair);
}

TEST(a_release_is_told_and_confirmed)
{
    struct pair pair = open_pair(0, 1000);
    struct message message;
    struct error err;
    uint8_t pdu[PDU_SHORT_SIZE];
    bool released = false;
    release_encode(PDU_RELEASE_RQ, pdu);
    buffer_append(&pair.out, slice_of(pdu, sizeof(pdu)));
    flush(&pair);
    CHECK_OK(message_receive(pair.association, &message, &released, &err), err);
    CHECK(released);
    association_confirm_release(pair.association);
    CHECK(recv(pair.peer, pdu, sizeof(pdu), MSG_WAITALL) == sizeof(pdu));
    CHECK_INT(pdu[0], PDU_RELEASE_RP);
    /* We do not close first. */
    CHECK(recv(pair.peer, pdu, sizeof(pdu), MSG_DONTWAIT) < 0);
    close_pair(&pair);
}

TEST(an_idle_association_is_aborted)
{
    struct pair pair = open_pair(0, 1000);
    struct error err;
    CHECK(!association_wait(pair.association, &err));
    CHECK_INT(err.code, ERROR_TIMEOUT);
    CHECK(was_aborted(&pair, ABORT_NOT_SPECIFIED));
    close_pair(&pair);
}

TEST(data_that_still_comes_does_not_lengthen_the_wait_for_the_end_of_a_release)
{
    static const uint8_t bytes[10000];
    struct pair pair = open_pair(0, 3000);
    add_header(&pair, 20000 + PDV_HEADER_SIZE);
    buffer_append_u32be(&pair.out, 20000 + 2);
    buffer_append_byte(&pair.out, 1);
    buffer_append_byte(&pair.out, PDV_LAST);
    buffer_append(&pair.out, slice_of(bytes, sizeof(bytes))); /* and then nothing more */
    flush(&pair);
    int64_t began_ms = clock_monotonic_ms();
    association_release(pair.association, 200);
    CHECK(clock_monotonic_ms() - began_ms < 2000);
    CHECK(association_has_ended(pair.association));
    close_pair(&pair);
}

TEST(a_stored_file_that_ends_too_early_is_told_from_a_peer_that_is_gone)
{
    struct pair pair = open_pair(0, 1000);
    struct error err;
    FILE *file = tmpfile();
    CHECK(file && fwrite("0123456789", 1, 10, file) == 10 && fflush(file) == 0);
    struct file_range range = { fileno(file), 4, 100 };
    CHECK(!association_send_file(pair.association, &range, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    CHECK(association_has_ended(pair.association));
    fclose(file);
    close_pair(&pair);
}
