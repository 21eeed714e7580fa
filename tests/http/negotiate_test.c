/* SPDX-License-Identifier: MIT */
#include "http/negotiate.h"

#include <string.h>

#include "http/exchange.h"
#include "http/media_type.h"
#include "tests/test.h"

enum { DICOM, DICOM_J2K, JSON, JPEG, PNG, OFFERS };

static const struct offer offers[OFFERS] = {
    [DICOM] = { "multipart/related", "application/dicom", "1.2.840.10008.1.2.1", false },
    [DICOM_J2K] = { "multipart/related", "application/dicom", "1.2.840.10008.1.2.4.90", true },
    [JSON] = { "application/dicom+json", NULL, NULL, false },
    [JPEG] = { "image/jpeg", NULL, NULL, false },
    [PNG] = { "image/png", NULL, NULL, false },
};

static int choose(const char *field)
{
    return negotiate(field, offers, OFFERS);
}

TEST(WEB_01_wildcards_choose_the_first_offer_of_their_category)
{
    CHECK_INT(choose("*/*"), DICOM);
    CHECK_INT(choose("application/*"), DICOM);
    CHECK_INT(choose("image/*"), JPEG);
    CHECK_INT(choose("text/*"), -1);
}

TEST(WEB_01_wildcards_in_the_type_of_a_multipart_are_understood)
{
    CHECK_INT(choose("multipart/related; type=\"*/*\""), DICOM);
    CHECK_INT(choose("multipart/related; type=\"application/*\""), DICOM);
    CHECK_INT(choose("multipart/related; type=\"image/*\""), -1);
    CHECK_INT(choose("multipart/related; type=\"*/*\"; transfer-syntax=1.2.840.10008.1.2.4.90"),
              DICOM_J2K);
    CHECK_INT(choose("multipart/related; type=\"*/*\";q=0.5, image/png"), PNG);
    CHECK_INT(choose("multipart/related; type=\"*/*\"; transfer-syntax=*"), DICOM);
}

TEST(WEB_02_quality_decides_then_how_specific_then_the_servers_order)
{
    CHECK_INT(choose("image/jpeg;q=0.5, image/png;q=0.9"), PNG);
    CHECK_INT(choose("image/png, image/jpeg"), JPEG);
    CHECK_INT(choose("*/*, image/png"), PNG);
    CHECK_INT(choose("image/*;q=0.9, application/dicom+json;q=0.8"), JPEG);
    CHECK_INT(choose("*/*, image/jpeg;q=0, multipart/related;q=0, application/*;q=0"), PNG);
    CHECK_INT(choose("image/jpeg;q=0"), -1);
    CHECK_INT(choose("image/jpeg;q=0.001"), JPEG);
}

TEST(WEB_02_malformed_members_are_ignored_and_the_rest_counts)
{
    CHECK_INT(choose("image, /, image/png;q=7, image/png;q=x, ;;, image/jpeg"), JPEG);
    CHECK_INT(choose("image/png;q=\"0.5, image/jpeg"), -1);
    CHECK_INT(choose(",,image/png,"), PNG);
    CHECK_INT(choose("*/jpeg, image/png"), PNG);
    CHECK_INT(choose("nonsense"), -1);
}

TEST(WEB_03_unsupported_types_choose_nothing_and_the_offers_can_be_listed)
{
    struct buffer text = buffer_up_to(4096);
    CHECK_INT(choose("application/pdf, video/mp4"), -1);
    offers_write(offers, 3, &text);
    CHECK_TEXT(
        buffer_text(&text),
        "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.1, "
        "multipart/related; type=\"application/dicom\"; "
        "transfer-syntax=1.2.840.10008.1.2.4.90, application/dicom+json");
    buffer_release(&text);
}

TEST(WEB_05_no_field_is_as_any_type)
{
    CHECK_INT(choose(NULL), DICOM);
    CHECK_INT(choose(""), DICOM);
}

TEST(WEB_07_parameters_are_understood_in_any_case_order_and_quoting)
{
    CHECK_INT(choose("multipart/related; type=application/dicom"), DICOM);
    CHECK_INT(choose("MULTIPART/Related ; TYPE = \"Application/DICOM\" ; q=1"), DICOM);
    CHECK_INT(choose("multipart/related;transfer-syntax=\"*\";type=\"application/dicom\""), DICOM);
    CHECK_INT(choose("multipart/related; type=\"application/octet-stream\""), -1);
    CHECK_INT(choose("multipart/related"), DICOM);
}

TEST(a_named_transfer_syntax_chooses_its_offer)
{
    CHECK_INT(choose("multipart/related; type=\"application/dicom\"; "
                     "transfer-syntax=1.2.840.10008.1.2.4.90"),
              DICOM_J2K);
    CHECK_INT(choose("multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.3"), -1);
    CHECK_INT(choose("application/dicom+json; transfer-syntax=1.2.3"), JSON);
    struct accept accept;
    size_t range = 9;
    accept_parse("image/gif, multipart/related; type=application/dicom; transfer-syntax=*",
                 &accept);
    CHECK_INT(accept_choose(&accept, offers, OFFERS, &range), DICOM);
    CHECK_INT(range, 1);
    CHECK_TEXT(accept.ranges[1].transfer_syntax, "*");
}

/* A request of one query and one Accept field. */
static bool choose_by_request(const char *target, const char *field, int *choice)
{
    struct request request = { 0 };
    struct accept accept;
    struct error err = { 0 };
    CHECK_OK(target_parse(target, NULL, &request.target, &err), err);
    if (field) {
        request.headers[0].name = "Accept";
        request.headers[0].value = field;
        request.header_count = 1;
    }
    bool ok = accept_of_request(&request, &accept, &err);
    *choice = ok ? accept_choose(&accept, offers, OFFERS, NULL) : -1;
    target_release(&request.target);
    return ok;
}

TEST(WEB_04_the_accept_parameter_goes_before_the_header)
{
    int choice;
    CHECK(choose_by_request("/a?accept=image/png", "image/jpeg", &choice));
    CHECK_INT(choice, PNG);
    CHECK(choose_by_request("/a?accept=application/dicom+json", "*/*", &choice));
    CHECK_INT(choice, JSON);
    CHECK(choose_by_request("/a?accept=image%2Fgif,application%2Fdicom%2Bjson", NULL, &choice));
    CHECK_INT(choice, JSON);
    CHECK(choose_by_request("/a?accept=multipart/related;%20type%3D%22application/dicom%22", NULL,
                            &choice));
    CHECK_INT(choice, DICOM);
    CHECK(!choose_by_request("/a?accept=image/*", "image/jpeg", &choice));
    CHECK(choose_by_request("/a", "image/jpeg", &choice));
    CHECK_INT(choice, JPEG);
}

TEST(media_types_keep_their_parameters)
{
    struct media_type type;
    CHECK(media_type_parse(
        slice_text("Multipart/Related; type=\"application/dicom\"; Boundary=\"a b\\\"c\"; start=1"),
        &type));
    CHECK_TEXT(type.type, "multipart/related");
    CHECK_TEXT(media_type_parameter(&type, "boundary"), "a b\"c");
    CHECK_TEXT(media_type_parameter(&type, "start"), "1");
    CHECK(media_type_parameter(&type, "none") == NULL);
    CHECK(!media_type_parse(slice_text(""), &type));
    CHECK(!media_type_parse(slice_text("text"), &type));
    CHECK(!media_type_parse(slice_text("text/"), &type));
    CHECK(!media_type_parse(slice_text("text/plain; a"), &type));
    CHECK(!media_type_parse(slice_text("text/plain x"), &type));
    CHECK(!media_type_parse(slice_text("text/plain; a=\"x"), &type));
    CHECK(media_type_parse(slice_text("text/plain;;"), &type));
    CHECK(media_type_parse(slice_text("text/plain; a=; b=\"\""), &type));
    CHECK_TEXT(media_type_parameter(&type, "a"), "");
    CHECK_TEXT(media_type_parameter(&type, "b"), "");
}
