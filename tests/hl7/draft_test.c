/* SPDX-License-Identifier: MIT */
#include "hl7/draft.h"

#include <stdio.h>

#include "dicom/dataset.h"
#include "tests/test.h"

/* "(tag) value" of all that is in the encoded draft, sequences as brackets. */
static const char *encoded(const struct draft *draft)
{
    static char text[4096];
    struct buffer bytes = buffer_up_to(1 << 20);
    struct buffer told = buffer_up_to(sizeof(text) - 1);
    struct buffer value = buffer_up_to(4096);
    struct dataset *dataset;
    struct element element;
    enum walk_event event;
    struct error err = { 0 };
    CHECK(draft_encode(draft, &bytes));
    CHECK_OK(dataset_open(buffer_slice(&bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &dataset, &err),
             err);
    struct walk walk = dataset_walk(dataset);
    while ((event = walk_next(&walk, &element)) != WALK_END) {
        if (event == WALK_SEQUENCE)
            buffer_append_format(&told, "%08x[", (unsigned)element.tag);
        if (event == WALK_ITEM || event == WALK_ITEM_END)
            buffer_append_text(&told, event == WALK_ITEM ? "{" : "}");
        if (event == WALK_SEQUENCE_END)
            buffer_append_text(&told, "]");
        if (event != WALK_ELEMENT)
            continue;
        buffer_clear(&value);
        dataset_element_text(dataset, &element, &value);
        buffer_append_format(&told, "%08x=%s;", (unsigned)element.tag, buffer_text(&value));
    }
    CHECK(!walk.broken);
    snprintf(text, sizeof(text), "%s", buffer_text(&told));
    dataset_close(dataset);
    buffer_release(&bytes);
    buffer_release(&told);
    buffer_release(&value);
    return text;
}

TEST(values_set_in_any_order_are_encoded_in_that_of_a_data_set)
{
    struct draft draft = draft_init();
    struct draft_place step = draft_in(0x00400100, 0, 0x00400008);
    draft_set_text(&draft, draft_at(0x00401001), "RP");
    draft_set_text(&draft, draft_under(step, 1, 0x00080100), "C2");
    draft_set_text(&draft, draft_in(0x00400100, 0, 0x00400009), "S1");
    draft_set_text(&draft, draft_under(step, 0, 0x00080104), "M1");
    draft_set_text(&draft, draft_under(step, 0, 0x00080100), "C1");
    draft_set_text(&draft, draft_in(0x00400100, 0, 0x00080060), "CT");
    draft_set_text(&draft, draft_at(0x00100010), "DOE");
    draft_set_text(&draft, draft_at(0x00401001), "RP2");
    draft_set_text(&draft, draft_in(0x00101002, 1, 0x00100020), "2");
    draft_set_text(&draft, draft_in(0x00101002, 0, 0x00100020), "1");
    draft_set_text(&draft, draft_at(0x00321064), "");
    CHECK_TEXT(encoded(&draft),
               "00100010=DOE;00101002[{00100020=1;}{00100020=2;}]00321064[]"
               "00400100[{00080060=CT;00400008[{00080100=C1;00080104=M1;}{00080100=C2;}]"
               "00400009=S1;}]00401001=RP2;");
    draft_release(&draft);
}

TEST(a_draft_in_more_than_ASCII_says_so)
{
    struct draft draft = draft_init();
    draft_set_text(&draft, draft_at(0x00100010), "M\xC3\xBCLLER");
    CHECK_TEXT(encoded(&draft), "00080005=ISO_IR 192;00100010=M\xC3\xBCLLER;");
    draft_release(&draft);
}

TEST(a_value_of_a_draft_may_be_set_elsewhere_in_it)
{
    struct draft draft = draft_init();
    draft_set_text(&draft, draft_at(0x00080050), "0123456789012345678901234567890123456789");
    for (uint32_t i = 0; i < 64; i++)
        draft_set(&draft, draft_at(0x00402000 + i), draft_get(&draft, draft_at(0x00080050)));
    CHECK(slice_equals_text(draft_get(&draft, draft_at(0x0040203F)),
                            "0123456789012345678901234567890123456789"));
    draft_release(&draft);
}

TEST(a_draft_is_bounded)
{
    struct draft draft = draft_init();
    struct buffer bytes = buffer_up_to(1 << 20);
    for (uint32_t i = 0; i < DRAFT_MAX_VALUES + 1; i++)
        draft_set_text(&draft, draft_at(0x00102000 + i), "");
    CHECK(draft.overflowed);
    CHECK(!draft_encode(&draft, &bytes));
    buffer_release(&bytes);
    draft_release(&draft);
}
