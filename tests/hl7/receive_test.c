/* SPDX-License-Identifier: MIT */
#include "hl7/receive.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "archive/query.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "dicom/patient_chain.h"
#include "hl7/mllp.h"
#include "storage/storage.h"
#include "tests/test.h"
#include "worklist/steps.h"

/* A receiver with an archive and a worklist in memory, and what was answered last. */
struct site {
    struct storage *storage;
    struct archive *archive;
    struct worklist *worklist;
    struct hl7_configuration *configuration;
    struct hl7_receiver receiver;
    struct buffer answer;
    struct buffer text;
    enum hl7_received received;
};

static void open_site(struct site *site, const struct hl7_options *more)
{
    struct error err = { 0 };
    struct hl7_options options = more ? *more : (struct hl7_options){ .port = 0 };
    const struct storage_options storage = { .path = test_folder(),
                                             .segment_size = 4 << 20,
                                             .index_in_memory = true };
    const struct archive_options archive = { .ae_title = "TEST", .minimum_free_bytes = 1 };
    memset(site, 0, sizeof(*site));
    options.address = "127.0.0.1";
    CHECK_OK(storage_open(&storage, &site->storage, &err), err);
    CHECK_OK(archive_open(site->storage, &archive, &site->archive, &err), err);
    CHECK_OK(worklist_open(site->storage, NULL, &site->worklist, &err), err);
    CHECK_OK(hl7_configuration_new(&options, &site->configuration, &err), err);
    site->receiver = (struct hl7_receiver){ site->archive, site->worklist };
    site->answer = buffer_up_to(1 << 20);
    site->text = buffer_up_to(1 << 20);
}

static void close_site(struct site *site)
{
    hl7_configuration_release(site->configuration);
    worklist_close(site->worklist);
    archive_close(site->archive);
    storage_close(site->storage);
    buffer_release(&site->answer);
    buffer_release(&site->text);
}

/* The codes of what is answered: "AA", "AE 101 PID^1^3" or "CA AA". */
static const char *tell(struct site *site, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const char *tell(struct site *site, const char *format, ...)
{
    static char message[65536];
    struct address address;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    address_parse("127.0.0.1", &address);
    const struct hl7_delivery delivery = { .bytes = slice_of(message, (size_t)size),
                                           .address = &address,
                                           .peer = "test" };
    buffer_clear(&site->answer);
    buffer_clear(&site->text);
    site->received = hl7_receive(&site->receiver, site->configuration, &delivery, &site->answer);
    for (char *line = strtok((char *)(uintptr_t)buffer_text(&site->answer), "\r\v\x1c"); line;
         line = strtok(NULL, "\r\v\x1c")) {
        char code[16] = "";
        char where[32] = "";
        if (!strncmp(line, "MSA", 3))
            buffer_append_format(&site->text, "%s%.2s", site->text.size ? " " : "", line + 4);
        else if (sscanf(line, "ERR||%31[^|]|%15[0-9]", where, code) == 2)
            buffer_append_format(&site->text, " %s %s", code, where);
        else if (sscanf(line, "ERR|||%15[0-9]", code) == 1)
            buffer_append_format(&site->text, " %s", code);
    }
    return buffer_text(&site->text);
}

static bool is_answered_with(const struct site *site, const char *text)
{
    return memmem(site->answer.data, site->answer.size, text, strlen(text)) != NULL;
}

#define MSH(type)           "MSH|^~\\&|HIS|CLINIC|||20260105120000||" type "|17|P|2.5.1\r"
#define MSH_AT(type, stamp) "MSH|^~\\&|HIS|CLINIC|||" stamp "||" type "|17|P|2.5.1\r"
#define PID                 "PID|1||P1^^^HOSP||DOE^JANE||19700102|F\r"
#define ORDER(control)                                                                             \
    PID "PV1|1|I|WARD\rORC|" control "|O1^HIS|F1^RIS||||^^^20300102103000\r"                       \
        "OBR|1|O1^HIS|F1^RIS|CTH^CT HEAD^99RIS||||||||||||||A1|RP1|SPS1||||CT\r"

/* An attribute of the step with this Scheduled Procedure Step ID, in its item or at the top; "-":
 * there is no such step. */
static const char *step(struct site *site, const char *step_id, uint32_t tag)
{
    static const enum object_shelf shelves[] = { OBJECT_LIVE, OBJECT_DONE };
    static char value[1024];
    struct object object = object_init();
    struct error err = { 0 };
    bool found = false;
    snprintf(value, sizeof(value), "-");
    for (size_t i = 0; i < 2 && !found; i++) {
        const struct object_range range = { .kind = OBJECT_STEP,
                                            .shelf = shelves[i],
                                            .index = STEP_BY_ID,
                                            .value = slice_text(step_id) };
        struct object_walk *walk;
        CHECK_OK(object_walk_open(site->worklist, &range, &walk, &err), err);
        CHECK_OK(object_walk_next(walk, &object, &found, &err), err);
        object_walk_close(walk);
    }
    if (found) {
        struct dataset *dataset;
        CHECK_OK(object_dataset(&object, &dataset, &err), err);
        struct dataset *item = dataset_item(dataset, 0x00400100, 0);
        if (!dataset_string(item, tag, value, sizeof(value)))
            dataset_string(dataset, tag, value, sizeof(value));
        dataset_close(item);
        dataset_close(dataset);
    }
    object_release(&object);
    return value;
}

static size_t steps_on(struct site *site, enum object_shelf shelf)
{
    const struct object_range range = { .kind = OBJECT_STEP, .shelf = shelf };
    struct error err = { 0 };
    size_t count;
    CHECK_OK(object_walk_count(site->worklist, &range, 1000, &count, &err), err);
    return count;
}

TEST(HL7_02_a_new_order_becomes_a_scheduled_step)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW") "ZDS|1.2.3.4^HIS^Application^DICOM\r"), "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "DOE^JANE");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_ID), "P1");
    CHECK_TEXT(step(&site, "SPS1", TAG_ISSUER_OF_PATIENT_ID), "HOSP");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_BIRTH_DATE), "19700102");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_SEX), "F");
    CHECK_TEXT(step(&site, "SPS1", TAG_ACCESSION_NUMBER), "A1");
    CHECK_TEXT(step(&site, "SPS1", TAG_REQUESTED_PROCEDURE_ID), "RP1");
    CHECK_TEXT(step(&site, "SPS1", TAG_STUDY_INSTANCE_UID), "1.2.3.4");
    CHECK_TEXT(step(&site, "SPS1", TAG_MODALITY), "CT");
    CHECK_TEXT(step(&site, "SPS1", 0x00400002), "20300102");
    CHECK_TEXT(step(&site, "SPS1", 0x00400003), "103000");
    CHECK_TEXT(step(&site, "SPS1", 0x00321060), "CT HEAD");
    CHECK_TEXT(step(&site, "SPS1", 0x00402016), "O1");
    CHECK_TEXT(step(&site, "SPS1", 0x00402017), "F1");
    CHECK_TEXT(step(&site, "SPS1", 0x00380300), "WARD");
    close_site(&site);
}

TEST(HL7_02_orders_of_one_message_have_what_stands_with_them)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("OMG^O19^OMG_O19") PID
                    "NTE|1||of the patient\rPV1|1|I|WARD|||||5^SMITH^ANN\r"
                    "AL1|1||N^Nuts\rAL1|2||L^Latex\r"
                    "ORC|NW|O1|F1\rTQ1|1||||||20300102103000||R\r"
                    "OBR|1|O1|F1|A^FIRST^L^P1^PROTOCOL ONE^L||||||||||||||A1||S1||||CT\r"
                    "NTE|1||line one\rNTE|2||line two\rZDS|1.2.3.1\r"
                    "ORC|NW|O2|F2\rTQ1|1||||||20300103103000||S\r"
                    "OBR|1|O2|F2|B^SECOND^L||||||||||||||A2||S2||||MR\rZDS|1.2.3.2\r"),
               "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 2);
    CHECK_TEXT(step(&site, "S1", 0x00401400), "line one\r\nline two");
    CHECK_TEXT(step(&site, "S2", 0x00401400), "");
    CHECK_TEXT(step(&site, "S1", 0x00102110), "Nuts");
    CHECK_TEXT(step(&site, "S2", TAG_REFERRING_PHYSICIAN_NAME), "SMITH^ANN");
    CHECK_TEXT(step(&site, "S1", TAG_STUDY_INSTANCE_UID), "1.2.3.1");
    CHECK_TEXT(step(&site, "S2", TAG_STUDY_INSTANCE_UID), "1.2.3.2");
    CHECK_TEXT(step(&site, "S1", 0x00400007), "PROTOCOL ONE");
    CHECK_TEXT(step(&site, "S2", 0x00400007), "SECOND");
    CHECK_TEXT(step(&site, "S1", 0x00400002), "20300102");
    CHECK_TEXT(step(&site, "S2", 0x00400002), "20300103");
    CHECK_TEXT(step(&site, "S2", 0x00401003), "STAT");
    CHECK_TEXT(step(&site, "S2", TAG_ACCESSION_NUMBER), "A2");
    CHECK_TEXT(step(&site, "S2", 0x00402017), "F2");
    close_site(&site);
}

TEST(HL7_02_ORC_and_OBR_of_one_number_are_steps_of_one_order)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID
                    "ORC|NW|O1\rOBR|1|O1||A^FIRST^L||||||||||||||A1|RP1|S1||||CT\r"
                    "ORC|NW|O1\rOBR|2|O1||A^FIRST^L||||||||||||||A1|RP1|S2||||MR\r"
                    "ZDS|1.2.3.4^HIS^Application^DICOM\r"),
               "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 2);
    CHECK_TEXT(step(&site, "S1", TAG_STUDY_INSTANCE_UID), "1.2.3.4");
    CHECK_TEXT(step(&site, "S2", TAG_STUDY_INSTANCE_UID), "1.2.3.4");
    CHECK_TEXT(step(&site, "S2", TAG_MODALITY), "MR");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|CA|O1\r"), "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 0);
    close_site(&site);
}

TEST(HL7_03_each_IPC_of_an_imaging_order_becomes_a_step_of_one_procedure)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("OMI^O23^OMI_O23") PID
                    "ORC|NW|O1\rTQ1|1||||||20300102103000||S\rOBR|1|O1||CTH^CT HEAD\r"
                    "IPC|A1|RP1|1.2.3.4|S1|CT|P1^HEAD^L|CTROOM|R1^ROOM 1|CT1\r"
                    "IPC|A1|RP1|1.2.3.4|S2|MR|P2^NECK^L|MRROOM|R2^ROOM 2|MR1\r"),
               "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 2);
    CHECK_TEXT(step(&site, "S1", 0x00400001), "CT1");
    CHECK_TEXT(step(&site, "S1", 0x00400010), "CTROOM");
    CHECK_TEXT(step(&site, "S1", 0x00400011), "ROOM 1");
    CHECK_TEXT(step(&site, "S1", 0x00400007), "HEAD");
    CHECK_TEXT(step(&site, "S2", 0x00400001), "MR1");
    CHECK_TEXT(step(&site, "S2", TAG_MODALITY), "MR");
    CHECK_TEXT(step(&site, "S2", TAG_STUDY_INSTANCE_UID), "1.2.3.4");
    CHECK_TEXT(step(&site, "S2", 0x00401003), "STAT");
    CHECK_TEXT(step(&site, "S2", 0x00400003), "103000");
    close_site(&site);
}

TEST(HL7_04_orders_are_changed_followed_and_cancelled_and_come_once)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("XO")), "AE 204 ORC^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("CA")), "AE 204 ORC^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 1);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|XO|O1^HIS|||||^^^20310102\r"
                                              "OBR|1|O1^HIS||CTH^CT HEAD\r"),
               "AA");
    CHECK_TEXT(step(&site, "SPS1", 0x00400002), "20310102");
    CHECK_TEXT(step(&site, "SPS1", TAG_ACCESSION_NUMBER), "A1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|SC|O1^HIS\rOBR|1|O1^HIS\r"), "AE 101 ORC^1^5");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|SC|O1^HIS|||IP\rOBR|1|O1^HIS\r"), "AA");
    CHECK_TEXT(step(&site, "SPS1", 0x00400020), "STARTED");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|ZZ|O1^HIS\rOBR|1|O1^HIS\r"), "AE 103 ORC^1^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|CA|O1^HIS\r"), "AE 206 ORC^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O2\rOBR|1|O2||X^Y\r"), "AA");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|CA|O2\r"), "AA");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|DC|O1^HIS\r"), "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 0);
    CHECK_INT(steps_on(&site, OBJECT_DONE), 2);
    close_site(&site);
}

TEST(a_number_that_is_to_be_deleted_is_none)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|\"\"^\"\"|F1\rOBR|1||F1|X||||||||||||||"
                                              "A1||S1\r"),
               "AA");
    CHECK_TEXT(
        tell(&site, MSH("ORM^O01") PID "ORC|NW|\"\"|F2^\"\"\rOBR|1||F2|X^Y||||||||||||||A2||S2\r"),
        "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 2); /* not one order with the placer's number "" */
    CHECK_TEXT(step(&site, "S1", 0x00402016), "");
    CHECK_TEXT(step(&site, "S1", 0x00400007), "X");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|CA||F2\r"), "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 1);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O3\rOBR|1|O3||\"\"\r"), "AE 101 OBR^1^4");
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||\"\"^^^HOSP~P1^^^HOSP||ROE^JANE\r"), "AA");
    CHECK_TEXT(step(&site, "S1", TAG_PATIENT_NAME), "ROE^JANE");
    close_site(&site);
}

TEST(HOS_47_a_number_with_a_NUL_is_not_the_order_of_what_stands_before_it)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O1\rOBR|1|O1||X^Y\r"), "AA");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|CA|O1\\X00\\2\r"), "AE 102 ORC^1^2");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 1);
    close_site(&site);
}

TEST(an_order_is_not_cancelled_for_another_patient)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||P2^^^HOSP||ROE^JOHN\rORC|CA|O1^HIS\r"),
               "AE 205 ORC^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||P2^^^HOSP||ROE^JOHN\rORC|SC|O1^HIS|||CM\r"),
               "AE 205 ORC^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||P2^^^HOSP||ROE^JOHN\rORC|XO|O1^HIS\r"
                                          "OBR|1|O1^HIS||X^Y\r"),
               "AE 205 ORC^1");
    CHECK_TEXT(step(&site, "SPS1", 0x00400020), "SCHEDULED");
    /* Whose ID was merged is the same patient. */
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P2^^^HOSP||ROE^JOHN\rMRG|P1^^^HOSP\r"), "AA");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||P1^^^HOSP||DOE^JANE\rORC|CA|O1^HIS\r"), "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 0);
    close_site(&site);
}

TEST(HL7_05_demographics_flow_into_steps_and_a_late_message_does_not_win)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, MSH_AT("ADT^A08", "20260105130000") "EVN|A08|20260105130000\rPID|1||P1^^"
                                                               "^HOSP||ROE^JANE||19700103|F\r"),
               "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "ROE^JANE");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_BIRTH_DATE), "19700103");
    CHECK_TEXT(
        tell(&site,
             MSH_AT("ADT^A08",
                    "20260105123000") "EVN|A08|20260105123000\rPID|1||P1^^^HOSP||OLD^NAME\r"),
        "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "ROE^JANE");
    /* Sent late, of an event that is older. */
    CHECK_TEXT(
        tell(&site,
             MSH_AT("ADT^A08",
                    "20260105140000") "EVN|A08|20260105123000\rPID|1||P1^^^HOSP||OLD^NAME\r"),
        "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "ROE^JANE");
    close_site(&site);
}

TEST(HL7_05_an_event_of_a_day_is_not_older_than_what_was_heard_on_that_day)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA"); /* at noon */
    CHECK_TEXT(tell(&site, MSH_AT("ADT^A08", "20260105130000") "EVN|A08|20260105\r"
                                                               "PID|1||P1^^^HOSP||ROE^JANE\r"),
               "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "ROE^JANE");
    CHECK_TEXT(tell(&site, MSH_AT("ADT^A08", "20260105140000") "EVN|A08|20260104\r"
                                                               "PID|1||P1^^^HOSP||OLD^NAME\r"),
               "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "ROE^JANE");
    close_site(&site);
}

TEST(HL7_05_an_event_of_today_in_a_message_without_a_time_is_not_of_this_evening)
{
    struct site site;
    char today[16], soon[16];
    time_t now = (time_t)(clock_unix_ms() / 1000), later = now + 60;
    struct tm parts;
    strftime(today, sizeof(today), "%Y%m%d", localtime_r(&now, &parts));
    strftime(soon, sizeof(soon), "%Y%m%d%H%M%S", localtime_r(&later, &parts));
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, MSH_AT("ADT^A08", "") "EVN|A08|%s\rPID|1||P1^^^HOSP||ROE^JANE\r", today),
               "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "ROE^JANE");
    CHECK_TEXT(tell(&site, MSH_AT("ADT^A08", "%s") "PID|1||P1^^^HOSP||ROE^JOAN\r", soon), "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "ROE^JOAN");
    close_site(&site);
}

TEST(HL7_06_merges_end_at_the_last_of_a_chain_and_may_be_repeated)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    const char *first = MSH("ADT^A40") "EVN|A40\rPID|1||P2^^^HOSP||DOE^TWO\rMRG|P1^^^HOSP\r";
    CHECK_TEXT(tell(&site, "%s", first), "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_ID), "P2");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_NAME), "DOE^TWO");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "EVN|A40\rPID|1||P3^^^HOSP||DOE^THREE\rMRG|P2^^^HOSP\r"),
               "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_ID), "P3");
    CHECK_TEXT(tell(&site, "%s", first), "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_ID), "P3");
    close_site(&site);
}

TEST(HL7_06_an_ID_that_goes_without_an_authority_is_of_that_which_stays)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P2^^^HOSP||DOE^TWO\rMRG|P1\r"), "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_ID), "P2");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P2^^^HOSP\rMRG|P2\r"), "AE 205 MRG^1^1");
    close_site(&site);
}

TEST(HOS_47_merges_that_cannot_be_are_refused)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P1^^^HOSP\rMRG|P1^^^HOSP\r"), "AE 205 MRG^1^1");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P1^^^HOSP\rMRG|\r"), "AE 101 MRG^1^1");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P1^^^HOSP\r"), "AE 100 MRG^1");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||A^^^HOSP\rMRG|B^^^HOSP\r"), "AA");
    CHECK(strstr("AE 206 MRG^1 AE 205 MRG^1",
                 tell(&site, MSH("ADT^A40") "PID|1||B^^^HOSP\rMRG|A^^^HOSP\r")));
    close_site(&site);
}

TEST(HOS_47_a_chain_of_merges_that_is_too_long_is_refused_before_anything_is_written)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    for (int i = 1; i <= PATIENT_CHAIN_MAX; i++)
        CHECK_TEXT(
            tell(&site, MSH("ADT^A40") "PID|1||P%d^^^HOSP||DOE^JANE\rMRG|P%d^^^HOSP\r", i + 1, i),
            "AA");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_ID), "P65");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P66^^^HOSP||ROE^NEW\rMRG|P65^^^HOSP\r"),
               "AE 102 MRG^1");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P1^^^HOSP||ROE^NEW\rMRG|P0^^^HOSP\r"),
               "AE 102 MRG^1");
    CHECK_TEXT(step(&site, "SPS1", TAG_PATIENT_ID), "P65");
    /* What was told with it was not kept either. */
    CHECK_TEXT(tell(&site,
                    MSH_AT("ORM^O01", "20260105110000") "PID|1||P66^^^HOSP||OLD^NAME\rORC|NW|O2\r"
                                                        "OBR|1|O2||X^Y||||||||||||||||S2\r"),
               "AA");
    CHECK_TEXT(step(&site, "S2", TAG_PATIENT_NAME), "OLD^NAME");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P65^^^HOSP||DOE^JANE\rMRG|P64^^^HOSP\r"), "AA");
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P65^^^HOSP||DOE^JANE\rMRG|X^^^HOSP\r"), "AA");
    close_site(&site);
}

TEST(HL7_09_that_nothing_stored_is_reached_is_told_with_the_acceptance)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, MSH("ORU^R01") PID "OBR|1|O1^HIS|F1^RIS|CTH\rOBX|1|TX|F^F^L||Text.\r"),
               "AA");
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||P1^^^HOSP||ROE^JANE\r"), "AA");
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||P9^^^OTHER||ROE^JANE\r"), "AA");
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||P1^^^OTHER||ROE^JANE\r"), "AA 204 PID^1^3^1^4");
    CHECK(is_answered_with(&site, "|I|"));
    CHECK_TEXT(tell(&site, MSH("ADT^A40") "PID|1||P2^^^OTHER||ROE^JANE\rMRG|P1^^^OTHER\r"),
               "AA 204 MRG^1^1^1^4");
    close_site(&site);
}

TEST(HL7_05_late_and_repeated_messages_are_counted)
{
    struct site site;
    open_site(&site, NULL);
    int64_t repeated = metric_get(METRIC_HL7_REPEATED), stale = metric_get(METRIC_HL7_STALE);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||P1^^^HOSP||ROE^JANE\r"), "AA");
    CHECK_INT(metric_get(METRIC_HL7_REPEATED), repeated);
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||P1^^^HOSP||ROE^JANE\r"), "AA");
    CHECK_INT(metric_get(METRIC_HL7_REPEATED), repeated + 1);
    CHECK_INT(metric_get(METRIC_HL7_STALE), stale);
    CHECK_TEXT(tell(&site, MSH_AT("ADT^A08", "20260105110000") "PID|1||P1^^^HOSP||OLD^NAME\r"),
               "AA");
    CHECK_INT(metric_get(METRIC_HL7_STALE), stale + 1);
    CHECK_INT(metric_get(METRIC_HL7_REPEATED), repeated + 1);
    close_site(&site);
}

TEST(HL7_07_who_assigned_an_ID_makes_it_another_and_repetitions_are_other_IDs)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||7^^^NORTH~8^^^SOUTH||DOE^A\r"
                                          "ORC|NW|N1\rOBR|1|N1||X^Y||||||||||||||||S1\r"),
               "AA");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||7^^^SOUTH||DOE^B\r"
                                          "ORC|NW|N2\rOBR|1|N2||X^Y||||||||||||||||S2\r"),
               "AA");
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||7^^^SOUTH||ROE^B\r"), "AA");
    CHECK_TEXT(step(&site, "S1", TAG_PATIENT_NAME), "DOE^A");
    CHECK_TEXT(step(&site, "S1", 0x00101000), "8");
    CHECK_TEXT(step(&site, "S2", TAG_PATIENT_NAME), "ROE^B");
    close_site(&site);
}

TEST(the_ID_of_the_authority_of_the_settings_is_the_patients)
{
    struct site site;
    open_site(&site, &(struct hl7_options){ .assigning_authority = "SOUTH" });
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||7^^^NORTH~8^^^SOUTH||DOE^A\r"
                                          "ORC|NW|N1\rOBR|1|N1||X^Y||||||||||||||||S1\r"),
               "AA");
    CHECK_TEXT(step(&site, "S1", TAG_PATIENT_ID), "8");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||9||DOE^A\r"
                                          "ORC|NW|N2\rOBR|1|N2||X^Y||||||||||||||||S2\r"),
               "AA");
    CHECK_TEXT(step(&site, "S2", TAG_ISSUER_OF_PATIENT_ID), "SOUTH");
    close_site(&site);
}

TEST(HL7_09_what_is_missing_or_unknown_is_told_with_its_code)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ZZZ^Z01")), "AR 200 MSH^1^9");
    CHECK_TEXT(tell(&site, MSH("ADT^A99")), "AR 201 MSH^1^9");
    CHECK_TEXT(tell(&site, "MSH|^~\\&|||||||ADT^A08|1|P|3.1\r" PID), "AR 203 MSH^1^12");
    CHECK_TEXT(tell(&site, "MSH|^~\\&|||||||ADT^A08|1|X|2.5\r" PID), "AR 202 MSH^1^11");
    CHECK_TEXT(tell(&site, "MSH|^~\\&|||||||ADT^A08|1|P\r" PID), "AE 101 MSH^1^12");
    CHECK_TEXT(tell(&site, "MSH|^~\\&||||||||1|P|2.5\r" PID), "AE 101 MSH^1^9");
    CHECK_TEXT(tell(&site, MSH("ADT^A08")), "AE 100 PID^1");
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||||DOE\r"), "AE 101 PID^1^3");
    CHECK_TEXT(tell(&site, MSH("ADT^A08") "PID|1||P1\r"), "AE 101 PID^1^5");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID), "AE 100 ORC^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O1\r"), "AE 100 OBR^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC||O1\rOBR|1|O1||X\r"), "AE 101 ORC^1^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O1\rOBR|1|O1\r"), "AE 101 OBR^1^4");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW\rOBR|1|||X^Y\r"), "AE 101 ORC^1^2");
    CHECK_TEXT(tell(&site, MSH("SIU^S13") PID), "AE 100 SCH^1");
    CHECK_TEXT(tell(&site, MSH("ORU^R01") PID), "AE 100 OBR^1");
    CHECK_TEXT(tell(&site, MSH("ORU^R01") PID "OBR|1|O1||X^Y\r"), "AE 100 OBX^1");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 0);
    close_site(&site);
}

TEST(HOS_46_a_batch_is_refused_in_the_words_of_the_protocol_and_nothing_of_it_is_done)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(
        tell(&site, "FHS|^~\\&|HIS|CLINIC|||20260105||||F9\rBHS|^~\\&|HIS|CLINIC|||||||B7\r" MSH(
                        "ORM^O01") ORDER("NW") "BTS|1\rFTS|1\r"),
        "AR 200 BHS^1");
    CHECK(is_answered_with(&site, "MSA|AR|B7|"));
    CHECK_TEXT(tell(&site, "BHS|^~\\&|HIS\r" MSH("ORM^O01") ORDER("NW") "BTS|1\r"), "AR 200 BHS^1");
    CHECK(is_answered_with(&site, "MSA|AR|17|")); /* that of the first message */
    CHECK_TEXT(tell(&site, "BHS|^~\\&|||||||||B7\rBTS|0\r"), "");
    CHECK_INT(site.received, HL7_UNREADABLE);
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 0);
    struct hl7_rehearsal rehearsal;
    CHECK(!hl7_rehearse(site.configuration,
                        slice_text("BHS|^~\\&|||||||||B7\r" MSH("ORM^O01") ORDER("NW")),
                        &rehearsal));
    CHECK(memmem(rehearsal.answers.data, rehearsal.answers.size, "MSA|AR|B7|", 10));
    hl7_rehearsal_release(&rehearsal);
    close_site(&site);
}

TEST(HL7_10_accept_and_application_acknowledgements_come_as_asked)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, "MSH|^~\\&|||||||ADT^A08|1|P|2.5|||AL|AL\r" PID), "CA AA");
    CHECK_TEXT(tell(&site, "MSH|^~\\&|||||||ADT^A08|1|P|2.5|||AL|NE\r" PID), "CA");
    CHECK_TEXT(tell(&site, "MSH|^~\\&|||||||ADT^A08|1|P|2.5|||NE|NE\r" PID), "");
    CHECK_TEXT(tell(&site, "MSH|^~\\&|||||||ADT^A99|1|P|2.5|||AL|AL\r" PID), "CR 201 MSH^1^9");
    CHECK_TEXT(tell(&site, MSH("ACK^A08^ACK") "MSA|AA|7\r"), "");
    CHECK_INT(site.received, HL7_IGNORED);
    close_site(&site);
}

TEST(SIU_moves_the_steps_of_an_order)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(
        tell(&site,
             MSH_AT("SIU^S13",
                    "20260105130000") "SCH|AP1||||||||||^^^20300201090000|||||||||||||||O1^HIS|F1^"
                                      "RIS\r" PID
                                      "RGS|1\rAIS|1||CTH^CT HEAD|20300201091500\rAIL|1||ROOM7\r"),
        "AA");
    CHECK_TEXT(step(&site, "SPS1", 0x00400002), "20300201");
    CHECK_TEXT(step(&site, "SPS1", 0x00400003), "091500");
    CHECK_TEXT(step(&site, "SPS1", 0x00400011), "ROOM7");
    CHECK_TEXT(step(&site, "SPS1", TAG_ACCESSION_NUMBER), "A1");
    CHECK_TEXT(tell(&site, MSH_AT("SIU^S15",
                                  "20260105140000") "SCH|AP1|||||||||||||||||||||||||O1^HIS\r" PID),
               "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 0);
    CHECK_TEXT(
        tell(&site,
             MSH_AT(
                 "SIU^S12",
                 "20260105150000") "SCH|AP1||||||||||^^^20300301090000|||||||||||||||O1^HIS\r" PID),
        "AA");
    CHECK_INT(steps_on(&site, OBJECT_LIVE), 1);
    CHECK_TEXT(step(&site, "SPS1", 0x00400002), "20300301");
    close_site(&site);
}

TEST(HOS_47_values_of_senders_never_break_a_data_set)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site,
                    MSH("ORM^O01") "PID|1||P1||D\\E\\OE=X\\S\\Y\\.br\\Z^JANE||19991399|X\r"
                                   "ORC|NW|O1\rOBR|1|O1||C^A\\E\\B%0100d||||||||||||||||S1\r",
                    7),
               "AA 102 PID^1^5 102 PID^1^7 102 PID^1^8 102 OBR^1^4^1^2 102 OBR^1^4^1^2");
    CHECK_TEXT(step(&site, "S1", TAG_PATIENT_NAME), "D OE X Y Z^JANE");
    CHECK_TEXT(step(&site, "S1", TAG_PATIENT_BIRTH_DATE), "");
    CHECK_INT(strlen(step(&site, "S1", 0x00321060)), 64);
    CHECK(!strncmp(step(&site, "S1", 0x00321060), "A/B0000", 7));
    /* What identifies is not cut. */
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||%070d||D\rORC|NW|O2\rOBR|1|O2||C^A\r", 7),
               "AE 102 PID^1^3^1^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O2\rOBR|1|O2||C^A||||||||||||||%020d\r", 7),
               "AE 102 OBR^1^18^1^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O2\rOBR|1|O2||C^A\rZDS|../../etc\r"),
               "AE 102 ZDS^1^1^1^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O2|||||^^^tomorrow\rOBR|1|O2||C^A\r"),
               "AE 102 ORC^1^7^1^4");
    CHECK_TEXT(step(&site, "S2", TAG_PATIENT_ID), "-");
    close_site(&site);
}

TEST(the_sites_own_rules_come_before_the_table)
{
    static const struct hl7_rule rules[] = { { "ZXX-2", "RequestedProcedureComments" },
                                             { "OBR-21", "ScheduledStationAETitle" },
                                             { "PID-13", "" },
                                             { "OBR-10", "(0040,0006)" } };
    struct site site;
    open_site(&site, &(struct hl7_options){ .rules = rules, .rule_count = 4, .station_ae = "ANY" });
    CHECK_TEXT(tell(&site, MSH("ORM^O01") "PID|1||P1||DOE||||||||0123\r"
                                          "ORC|NW|O1\rOBR|1|O1||C^A||||||9^WHO^IS||||||||||S1|CT7\r"
                                          "ZXX|1|as told\r"),
               "AA");
    CHECK_TEXT(step(&site, "S1", 0x00401400), "as told");
    CHECK_TEXT(step(&site, "S1", 0x00400001), "CT7");
    CHECK_TEXT(step(&site, "S1", 0x00400006), "WHO^IS");
    CHECK_TEXT(step(&site, "S1", 0x00102154), "");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") PID "ORC|NW|O2\rOBR|1|O2||C^A||||||||||||||||S2\r"),
               "AA");
    CHECK_TEXT(step(&site, "S2", 0x00400001), "ANY");
    close_site(&site);
}

TEST(rules_that_name_nothing_are_refused)
{
    static const struct hl7_rule wrong[] = {
        { "ZXX", "PatientName" },   { "zx-1", "PatientName" },    { "ZXX-1.", "PatientName" },
        { "ZXX-0", "PatientName" }, { "ZXX-1", "NoSuchKeyword" }, { "ZXX-1", "PixelData" },
        { "ZXX-1", "PatientID" }
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct hl7_mapping *mapping;
        struct error err = { 0 };
        const struct hl7_options options = { .rules = &wrong[i], .rule_count = 1 };
        CHECK(!hl7_mapping_new(&options, &mapping, &err));
        CHECK_INT(err.code, ERROR_INVALID);
    }
}

/* How many instances the study of an accession number has, and what they are. */
static const char *stored(struct site *site, const char *accession)
{
    static char text[256];
    static const uint32_t key = TAG_ACCESSION_NUMBER;
    struct error err = { 0 };
    const struct dataset *match;
    struct query *query = query_new(site->archive, LEVEL_STUDY);
    CHECK_OK(query_add_key(query, &key, 1, slice_text(accession), &err), err);
    CHECK_OK(query_add_return(query, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, &err), err);
    CHECK_OK(query_add_return(query, TAG_MODALITIES_IN_STUDY, &err), err);
    CHECK_OK(query_next(query, &match, &err), err);
    text[0] = 0;
    if (match) {
        char count[16];
        char modalities[64];
        dataset_string(match, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, count, sizeof(count));
        struct buffer all = buffer_up_to(64);
        dataset_text(match, TAG_MODALITIES_IN_STUDY, &all);
        snprintf(modalities, sizeof(modalities), "%s", buffer_text(&all));
        snprintf(text, sizeof(text), "%s %s", count, modalities);
        buffer_release(&all);
    }
    query_close(query);
    return text;
}

TEST(a_report_is_stored_with_the_study_of_its_order_once)
{
    struct site site;
    open_site(&site, NULL);
    const char *report = MSH("ORU^R01") PID
        "ORC|RE|O1^HIS|F1^RIS\r"
        "OBR|1|O1^HIS|F1^RIS|CTH^CT HEAD|||20300102||||||||||||||||20300103|||F|||||||5&READ&ANN\r"
        "OBX|1|TX|F^FINDINGS^L||No bleeding.||||||F\rOBX|2|TX|F^FINDINGS^L||Ventricles normal.\r"
        "OBX|3|CE|I^IMPRESSION^L||N^Normal^L\r";
    CHECK_TEXT(tell(&site, "%s", report), "AE 204 OBR^1");
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, "%s", report), "AA");
    CHECK_TEXT(stored(&site, ""), "1 SR");
    CHECK_TEXT(tell(&site, "%s", report), "AA");
    CHECK_TEXT(stored(&site, ""), "1 SR");
    CHECK_TEXT(
        tell(&site,
             MSH("ORU^R01") "PID|1||P9^^^HOSP||DOE^JANE\r"
                            "OBR|1|O1^HIS|F1^RIS|CTH^CT HEAD\rOBX|1|TX|F^FINDINGS^L||Not hers.\r"),
        "AE 205 OBR^1");
    CHECK_TEXT(tell(&site, MSH("ORU^R01") PID
                    "OBR|1|O1^HIS|F1^RIS|CTH^CT HEAD\r"
                    "OBX|1|ED|PDF^Report||^application^PDF^Base64^JVBERi0xLjQKJSVFT0YK\r"),
               "AA");
    CHECK_TEXT(stored(&site, ""), "2 DOC\\SR");
    CHECK_TEXT(tell(&site,
                    MSH("ORU^R01") PID "OBR|1|O1^HIS|F1^RIS|CTH^CT HEAD\r"
                                       "OBX|1|ED|PDF^Report||^application^PDF^Base64^bm8gUERG\r"),
               "AE 102 OBR^1");
    close_site(&site);
}

TEST(documents_of_one_message_that_begin_alike_are_two)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site,
                    MSH("ORU^R01") PID
                    "OBR|1|O1^HIS|F1^RIS|CTH^CT HEAD\r"
                    "OBX|1|ED|PDF^Report||^application^PDF^Base64^JVBERi0x%0100dAAAA\r"
                    "OBX|2|ED|PDF^Report||^application^PDF^Base64^JVBERi0x%0100dBBBB\r",
                    0, 0),
               "AA");
    CHECK_TEXT(stored(&site, ""), "2 DOC");
    close_site(&site);
}

TEST(a_report_of_an_order_of_another_patient_is_refused_before_there_are_images)
{
    struct site site;
    open_site(&site, NULL);
    CHECK_TEXT(tell(&site, MSH("ORM^O01") ORDER("NW")), "AA");
    CHECK_TEXT(tell(&site, MSH("ORU^R01") "PID|1||P9^^^HOSP||DOE^JANE\r"
                                          "OBR|1|O1^HIS|F1^RIS|CTH\rOBX|1|TX|F^F^L||Not hers.\r"),
               "AE 205 OBR^1");
    CHECK_TEXT(stored(&site, ""), "");
    /* Who reports need not know who assigned the ID. */
    CHECK_TEXT(tell(&site, MSH("ORU^R01") "PID|1||P1||DOE^JANE\r"
                                          "OBR|1|O1^HIS|F1^RIS|CTH\rOBX|1|TX|F^F^L||Hers.\r"
                                          "OBX|2|TX|F^F^L||\"\"\r"),
               "AA");
    CHECK_TEXT(stored(&site, ""), "1 SR");
    CHECK_TEXT(tell(&site, MSH("ORU^R01") PID "OBR|1|O1^HIS\rOBX|1|TX|F^F^L||\"\"\r"),
               "AE 100 OBX^1");
    close_site(&site);
}
