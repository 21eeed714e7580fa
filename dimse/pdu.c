/* SPDX-License-Identifier: MIT */
#include "dimse/pdu.h"

#include "base/bytes.h"

/* Items and sub-items (PS3.8 9.3.2, D.3; PS3.7 D.3.3): type, reserved, 16-bit length, content. */
enum item_type {
    ITEM_APPLICATION_CONTEXT = 0x10,
    ITEM_CONTEXT_RQ = 0x20,
    ITEM_CONTEXT_AC = 0x21,
    ITEM_ABSTRACT_SYNTAX = 0x30,
    ITEM_TRANSFER_SYNTAX = 0x40,
    ITEM_USER_INFORMATION = 0x50,
    ITEM_MAX_LENGTH = 0x51,
    ITEM_IMPLEMENTATION_CLASS = 0x52,
    ITEM_ASYNCHRONOUS_WINDOW = 0x53,
    ITEM_ROLE_SELECTION = 0x54,
    ITEM_IMPLEMENTATION_VERSION = 0x55,
    ITEM_EXTENDED = 0x56,
    ITEM_COMMON_EXTENDED = 0x57,
    ITEM_IDENTITY_RQ = 0x58,
    ITEM_IDENTITY_AC = 0x59,
};
enum { ITEM_HEADER_SIZE = 4, CONTEXT_HEADER_SIZE = 4, MAX_LENGTH_SIZE = 4, WINDOW_SIZE = 4 };

struct item {
    uint8_t type;
    struct slice content;
};

/* Takes one item off the front; false when what is left cannot be one. */
static bool next_item(struct slice *items, struct item *item)
{
    if (items->size < ITEM_HEADER_SIZE)
        return false;
    size_t size = get_u16be(items->data + 2);
    if (size > items->size - ITEM_HEADER_SIZE)
        return false;
    item->type = items->data[0];
    item->content = slice_of(items->data + ITEM_HEADER_SIZE, size);
    *items = slice_skip(*items, ITEM_HEADER_SIZE + size);
    return true;
}

static bool fail(struct error *err, const char *what)
{
    return error_set(err, ERROR_INVALID, "association items: %s", what);
}

static bool decode_context(struct slice content, bool request, struct associate *associate,
                           struct error *err)
{
    if (content.size < CONTEXT_HEADER_SIZE)
        return fail(err, "presentation context cut short");
    if (associate->context_count == PDU_CONTEXTS)
        return fail(err, "more than 128 presentation contexts");
    struct associate_context context = { .id = content.data[0] };
    if (!request)
        context.result = content.data[2];
    if (context.id % 2 == 0)
        return fail(err, "even presentation context id");
    for (size_t i = 0; i < associate->context_count; i++)
        if (associate->contexts[i].id == context.id)
            return fail(err, "repeated presentation context id");
    struct slice items = slice_skip(content, CONTEXT_HEADER_SIZE);
    context.syntaxes = items;
    bool named = false;
    for (struct item item; items.size;) {
        if (!next_item(&items, &item))
            return fail(err, "sub-item overruns its presentation context");
        if (item.type != ITEM_ABSTRACT_SYNTAX)
            continue;
        if (named)
            return fail(err, "two abstract syntaxes in one presentation context");
        named = true;
        context.abstract_syntax = item.content;
    }
    associate->contexts[associate->context_count++] = context;
    return true;
}

/* A field behind its 16-bit length. */
static bool take_field(struct slice *content, struct slice *field)
{
    if (content->size < 2 || get_u16be(content->data) > content->size - 2)
        return false;
    *field = slice_of(content->data + 2, get_u16be(content->data));
    *content = slice_skip(*content, 2 + field->size);
    return true;
}

/* PS3.7 D.3.3.4: SOP class, SCU role, SCP role. */
static bool decode_role(struct slice content, struct associate *associate, struct error *err)
{
    struct associate_role role;
    if (!take_field(&content, &role.sop_class) || content.size != 2)
        return fail(err, "role selection of the wrong length");
    role.scu = content.data[0] == 1;
    role.scp = content.data[1] == 1;
    if (associate->role_count < PDU_SOP_CLASS_ITEMS)
        associate->roles[associate->role_count++] = role;
    return true;
}

/* PS3.7 D.3.3.5: SOP class, and what its service class says about it. */
static bool decode_extended(struct slice content, struct associate *associate, struct error *err)
{
    struct associate_extended extended;
    if (!take_field(&content, &extended.sop_class))
        return fail(err, "extended negotiation of the wrong length");
    extended.information = content;
    if (associate->extended_count < PDU_SOP_CLASS_ITEMS)
        associate->extended[associate->extended_count++] = extended;
    return true;
}

/* PS3.7 D.3.3.6: SOP class, service class, related general SOP classes (of which we need none: the
 * service class alone tells us what to do). Later versions of the item may be longer. */
static bool decode_common(struct slice content, struct associate *associate, struct error *err)
{
    struct associate_common common;
    struct slice related;
    if (!take_field(&content, &common.sop_class) || !take_field(&content, &common.service_class) ||
        !take_field(&content, &related))
        return fail(err, "common extended negotiation of the wrong length");
    if (associate->common_count < PDU_SOP_CLASS_ITEMS)
        associate->common[associate->common_count++] = common;
    return true;
}

/* PS3.7 D.3.3.7.1 and .2. */
static bool decode_identity(uint8_t item, struct slice content, struct associate *associate,
                            struct error *err)
{
    struct associate_identity *identity = &associate->identity;
    if (identity->type || identity->has_response)
        return fail(err, "two user identities");
    if (item == ITEM_IDENTITY_AC) {
        identity->has_response = true;
        return take_field(&content, &identity->response) ||
               fail(err, "user identity of the wrong length");
    }
    if (content.size < 2)
        return fail(err, "user identity of the wrong length");
    identity->type = content.data[0];
    identity->response_requested = content.data[1] == 1;
    content = slice_skip(content, 2);
    if (identity->type == IDENTITY_NONE)
        return fail(err, "user identity of no type");
    return (take_field(&content, &identity->primary) &&
            take_field(&content, &identity->secondary) && content.size == 0) ||
           fail(err, "user identity of the wrong length");
}

static bool decode_window(struct slice content, struct associate *associate, struct error *err)
{
    if (associate->has_window || content.size != WINDOW_SIZE)
        return fail(err, "asynchronous window repeated or not of four bytes");
    associate->has_window = true;
    associate->invoked = get_u16be(content.data);
    associate->performed = get_u16be(content.data + 2);
    return true;
}

static bool decode_user_item(const struct item *item, struct associate *associate,
                             struct error *err)
{
    switch (item->type) {
    case ITEM_IMPLEMENTATION_CLASS:
        associate->implementation_class = item->content;
        return true;
    case ITEM_IMPLEMENTATION_VERSION:
        associate->implementation_version = item->content;
        return true;
    case ITEM_ASYNCHRONOUS_WINDOW:
        return decode_window(item->content, associate, err);
    case ITEM_ROLE_SELECTION:
        return decode_role(item->content, associate, err);
    case ITEM_EXTENDED:
        return decode_extended(item->content, associate, err);
    case ITEM_COMMON_EXTENDED:
        return decode_common(item->content, associate, err);
    case ITEM_IDENTITY_RQ:
    case ITEM_IDENTITY_AC:
        return decode_identity(item->type, item->content, associate, err);
    default:
        return true;
    }
}

static bool decode_user_information(struct slice items, struct associate *associate,
                                    struct error *err)
{
    bool has_max_length = false;
    for (struct item item; items.size;) {
        if (!next_item(&items, &item))
            return fail(err, "sub-item overruns the user information");
        if (item.type == ITEM_MAX_LENGTH) {
            if (has_max_length || item.content.size != MAX_LENGTH_SIZE)
                return fail(err, "maximum length repeated or not of four bytes");
            has_max_length = true;
            associate->max_length = get_u32be(item.content.data);
        } else if (!decode_user_item(&item, associate, err)) {
            return false;
        }
    }
    return true;
}

bool associate_decode(struct slice body, enum pdu_type type, struct associate *associate,
                      struct error *err)
{
    bool request = type == PDU_ASSOCIATE_RQ;
    bool has_context = false;
    bool has_user_information = false;
    memset(associate, 0, sizeof(*associate));
    if (body.size < PDU_ASSOCIATE_LENGTH)
        return fail(err, "cut short");
    associate->protocol_version = get_u16be(body.data);
    memcpy(associate->titles, body.data + 4, PDU_TITLES_SIZE);
    /* A peer that does not say its maximum gets what nobody is too small for. */
    associate->max_length = 16384;
    struct slice items = slice_skip(body, PDU_ASSOCIATE_LENGTH);
    for (struct item item; items.size;) {
        if (!next_item(&items, &item))
            return fail(err, "item overruns the PDU");
        if (item.type == ITEM_APPLICATION_CONTEXT) {
            if (has_context)
                return fail(err, "two application contexts");
            has_context = true;
            associate->application_context = item.content;
        } else if (item.type == (request ? ITEM_CONTEXT_RQ : ITEM_CONTEXT_AC)) {
            if (!decode_context(item.content, request, associate, err))
                return false;
        } else if (item.type == ITEM_USER_INFORMATION) {
            if (has_user_information)
                return fail(err, "two user information items");
            has_user_information = true;
            if (!decode_user_information(item.content, associate, err))
                return false;
        }
    }
    return true;
}

static void append_item(struct buffer *out, enum item_type type, struct slice content)
{
    buffer_append_byte(out, (uint8_t)type);
    buffer_append_byte(out, 0);
    buffer_append_u16be(out, (uint16_t)content.size);
    buffer_append(out, content);
}

/* Begins an item whose length is known at its end. */
static size_t begin_item(struct buffer *out, enum item_type type)
{
    append_item(out, type, slice_of(NULL, 0));
    return out->size;
}

static void end_item(struct buffer *out, size_t start)
{
    if (!out->overflowed)
        put_u16be(out->data + start - 2, (uint16_t)(out->size - start));
}

static void append_context(struct buffer *out, const struct associate_context *context,
                           bool request)
{
    size_t start = begin_item(out, request ? ITEM_CONTEXT_RQ : ITEM_CONTEXT_AC);
    buffer_append_byte(out, context->id);
    buffer_append_byte(out, 0);
    buffer_append_byte(out, request ? 0 : context->result);
    buffer_append_byte(out, 0);
    if (request && context->abstract_syntax.size)
        append_item(out, ITEM_ABSTRACT_SYNTAX, context->abstract_syntax);
    buffer_append(out, context->syntaxes);
    end_item(out, start);
}

static void append_field(struct buffer *out, struct slice field)
{
    buffer_append_u16be(out, (uint16_t)field.size);
    buffer_append(out, field);
}

static void append_window(struct buffer *out, const struct associate *associate)
{
    uint8_t window[WINDOW_SIZE];
    put_u16be(window, associate->invoked);
    put_u16be(window + 2, associate->performed);
    append_item(out, ITEM_ASYNCHRONOUS_WINDOW, slice_of(window, sizeof(window)));
}

static void append_role(struct buffer *out, const struct associate_role *role)
{
    size_t start = begin_item(out, ITEM_ROLE_SELECTION);
    append_field(out, role->sop_class);
    buffer_append_byte(out, role->scu);
    buffer_append_byte(out, role->scp);
    end_item(out, start);
}

static void append_extended(struct buffer *out, const struct associate_extended *extended)
{
    size_t start = begin_item(out, ITEM_EXTENDED);
    append_field(out, extended->sop_class);
    buffer_append(out, extended->information);
    end_item(out, start);
}

static void append_common(struct buffer *out, const struct associate_common *common)
{
    size_t start = begin_item(out, ITEM_COMMON_EXTENDED);
    append_field(out, common->sop_class);
    append_field(out, common->service_class);
    append_field(out, slice_of(NULL, 0));
    end_item(out, start);
}

static void append_identity(struct buffer *out, const struct associate_identity *identity)
{
    if (identity->type) {
        size_t start = begin_item(out, ITEM_IDENTITY_RQ);
        buffer_append_byte(out, identity->type);
        buffer_append_byte(out, identity->response_requested);
        append_field(out, identity->primary);
        append_field(out, identity->secondary);
        end_item(out, start);
    }
    if (identity->has_response) {
        size_t start = begin_item(out, ITEM_IDENTITY_AC);
        append_field(out, identity->response);
        end_item(out, start);
    }
}

/* In ascending order of the types, as PS3.7 D.3.3 asks. */
static void append_user_information(struct buffer *out, const struct associate *associate)
{
    size_t start = begin_item(out, ITEM_USER_INFORMATION);
    uint8_t max_length[MAX_LENGTH_SIZE];
    put_u32be(max_length, associate->max_length);
    append_item(out, ITEM_MAX_LENGTH, slice_of(max_length, sizeof(max_length)));
    append_item(out, ITEM_IMPLEMENTATION_CLASS, associate->implementation_class);
    if (associate->has_window)
        append_window(out, associate);
    for (size_t i = 0; i < associate->role_count; i++)
        append_role(out, &associate->roles[i]);
    append_item(out, ITEM_IMPLEMENTATION_VERSION, associate->implementation_version);
    for (size_t i = 0; i < associate->extended_count; i++)
        append_extended(out, &associate->extended[i]);
    for (size_t i = 0; i < associate->common_count; i++)
        append_common(out, &associate->common[i]);
    append_identity(out, &associate->identity);
    end_item(out, start);
}

void associate_encode(const struct associate *associate, enum pdu_type type, struct buffer *out)
{
    size_t start = out->size;
    buffer_append_byte(out, (uint8_t)type);
    buffer_append_byte(out, 0);
    buffer_append_u32be(out, 0);
    buffer_append_u16be(out, associate->protocol_version);
    buffer_append_u16be(out, 0);
    buffer_append(out, slice_of(associate->titles, PDU_TITLES_SIZE));
    append_item(out, ITEM_APPLICATION_CONTEXT, associate->application_context);
    for (size_t i = 0; i < associate->context_count; i++)
        append_context(out, &associate->contexts[i], type == PDU_ASSOCIATE_RQ);
    append_user_information(out, associate);
    if (!out->overflowed)
        put_u32be(out->data + start + 2, (uint32_t)(out->size - start - PDU_HEADER_SIZE));
}

bool pdu_next_syntax(struct slice *syntaxes, struct slice *uid)
{
    for (struct item item; next_item(syntaxes, &item);)
        if (item.type == ITEM_TRANSFER_SYNTAX) {
            *uid = item.content;
            return true;
        }
    return false;
}

void pdu_append_syntax(struct buffer *syntaxes, struct slice uid)
{
    append_item(syntaxes, ITEM_TRANSFER_SYNTAX, uid);
}

static void copy_title(const uint8_t *field, char ae_title[AE_TITLE_SIZE])
{
    size_t start = 0;
    size_t end = AE_TITLE_SIZE - 1;
    while (start < end && field[start] == ' ')
        start++;
    while (end > start && (field[end - 1] == ' ' || field[end - 1] == '\0'))
        end--;
    memcpy(ae_title, field + start, end - start);
    ae_title[end - start] = '\0';
}

void associate_called_ae(const struct associate *associate, char ae_title[AE_TITLE_SIZE])
{
    copy_title(associate->titles, ae_title);
}

void associate_calling_ae(const struct associate *associate, char ae_title[AE_TITLE_SIZE])
{
    copy_title(associate->titles + AE_TITLE_SIZE - 1, ae_title);
}

void associate_user(const struct associate *associate, char name[USER_NAME_SIZE])
{
    const struct associate_identity *identity = &associate->identity;
    bool has_name = (identity->type == IDENTITY_USER || identity->type == IDENTITY_PASSCODE) &&
                    identity->primary.size && identity->primary.size < USER_NAME_SIZE &&
                    !memchr(identity->primary.data, '\0', identity->primary.size);
    name[0] = '\0';
    if (has_name) {
        memcpy(name, identity->primary.data, identity->primary.size);
        name[identity->primary.size] = '\0';
    }
}

void associate_set_titles(struct associate *associate, const char *called, const char *calling)
{
    struct slice titles[] = { slice_text(called), slice_text(calling) };
    memset(associate->titles, 0, PDU_TITLES_SIZE);
    for (size_t i = 0; i < 2; i++) {
        uint8_t *field = associate->titles + i * (AE_TITLE_SIZE - 1);
        struct slice title = slice_take(titles[i], AE_TITLE_SIZE - 1);
        memset(field, ' ', AE_TITLE_SIZE - 1);
        if (title.size)
            memcpy(field, title.data, title.size);
    }
}

static void encode_short(enum pdu_type type, uint8_t second, uint8_t third, uint8_t fourth,
                         uint8_t pdu[PDU_SHORT_SIZE])
{
    const uint8_t bytes[PDU_SHORT_SIZE] = { (uint8_t)type,    0, 0,      0,     0,
                                            PDU_SHORT_LENGTH, 0, second, third, fourth };
    memcpy(pdu, bytes, PDU_SHORT_SIZE);
}

void reject_encode(struct rejection rejection, uint8_t pdu[PDU_SHORT_SIZE])
{
    encode_short(PDU_ASSOCIATE_RJ, rejection.result, rejection.source, rejection.reason, pdu);
}

void release_encode(enum pdu_type type, uint8_t pdu[PDU_SHORT_SIZE])
{
    encode_short(type, 0, 0, 0, pdu);
}

void abort_encode(enum abort_source source, enum abort_reason reason, uint8_t pdu[PDU_SHORT_SIZE])
{
    encode_short(PDU_ABORT, 0, (uint8_t)source, (uint8_t)reason, pdu);
}

void data_header_encode(uint8_t context_id, uint8_t control, uint32_t size,
                        uint8_t header[PDU_DATA_HEADER_SIZE])
{
    header[0] = PDU_DATA;
    header[1] = 0;
    put_u32be(header + 2, size + PDV_HEADER_SIZE);
    put_u32be(header + 6, size + 2);
    header[10] = context_id;
    header[11] = control;
}

enum abort_reason pdu_check_header(uint8_t type, uint32_t length, uint32_t max_length)
{
    switch (type) {
    case PDU_ASSOCIATE_RQ:
    case PDU_ASSOCIATE_AC:
        return length < PDU_ASSOCIATE_LENGTH || length > PDU_REQUEST_LIMIT ? ABORT_INVALID_PARAMETER
                                                                           : ABORT_NOT_SPECIFIED;
    case PDU_DATA:
        return length < PDV_HEADER_SIZE || length > max_length ? ABORT_INVALID_PARAMETER
                                                               : ABORT_NOT_SPECIFIED;
    case PDU_ASSOCIATE_RJ:
    case PDU_RELEASE_RQ:
    case PDU_RELEASE_RP:
    case PDU_ABORT:
        return length != PDU_SHORT_LENGTH ? ABORT_INVALID_PARAMETER : ABORT_NOT_SPECIFIED;
    default:
        return ABORT_UNRECOGNIZED_PDU;
    }
}
