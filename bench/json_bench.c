/* SPDX-License-Identifier: MIT */
/* Microseconds from the encoded header of a CT image (about 100 attributes) to its DICOM JSON, and
 * of the steps on the way. Plain and Latin-1 patient names. json_bench [BATCHES] */
#include "dicom/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dicom/charset.h"
#include "dicom/encode.h"

static const struct {
    uint32_t tag;
    const char *text;
} texts[] = {
    { 0x00080005, "ISO_IR 100" },
    { 0x00080008, "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI" },
    { 0x00080012, "20240301" },
    { 0x00080013, "101112.345000" },
    { 0x00080016, "1.2.840.10008.5.1.4.1.1.2" },
    { 0x00080018, "1.2.826.0.1.3680043.8.498.20240301101112.1.1" },
    { 0x00080020, "20240301" },
    { 0x00080021, "20240301" },
    { 0x00080022, "20240301" },
    { 0x00080023, "20240301" },
    { 0x00080030, "100000.000000" },
    { 0x00080031, "100500.000000" },
    { 0x00080032, "100501.125000" },
    { 0x00080033, "100501.250000" },
    { 0x00080050, "ACC20240301" },
    { 0x00080060, "CT" },
    { 0x00080070, "Maker" },
    { 0x00080080, "Hospital" },
    { 0x00080081, "Street 1, Town" },
    { 0x00080090, "Referrer^R" },
    { 0x00081010, "CT01" },
    { 0x00081030, "CT thorax" },
    { 0x0008103E, "Thorax 1.0 B30f" },
    { 0x00081040, "Radiology" },
    { 0x00081050, "Physician^P" },
    { 0x00081070, "Operator^O" },
    { 0x00081090, "Scanner 64" },
    { 0x00100010, "Doe^Jane^Ann" },
    { 0x00100020, "PID0001234" },
    { 0x00100030, "19700101" },
    { 0x00100040, "F" },
    { 0x00101010, "054Y" },
    { 0x00101020, "1.68" },
    { 0x00101030, "70" },
    { 0x00104000, "none" },
    { 0x00180015, "CHEST" },
    { 0x00180022, "HELICAL MODE" },
    { 0x00180050, "1.0" },
    { 0x00180060, "120" },
    { 0x00180090, "500" },
    { 0x00181000, "12345" },
    { 0x00181020, "syngo 2012B" },
    { 0x00181030, "ThoraxRoutine" },
    { 0x00181100, "380" },
    { 0x00181110, "1040" },
    { 0x00181111, "570" },
    { 0x00181120, "0" },
    { 0x00181130, "154.5" },
    { 0x00181140, "CW" },
    { 0x00181150, "500" },
    { 0x00181151, "210" },
    { 0x00181152, "105" },
    { 0x00181160, "WEDGE_2" },
    { 0x00181170, "25" },
    { 0x00181190, "1.2" },
    { 0x00181200, "20240229" },
    { 0x00181201, "063000" },
    { 0x00181210, "B30f" },
    { 0x00185100, "HFS" },
    { 0x0020000D, "1.2.826.0.1.3680043.8.498.20240301101112.1" },
    { 0x0020000E, "1.2.826.0.1.3680043.8.498.20240301101112.2" },
    { 0x00200010, "1" },
    { 0x00200011, "4" },
    { 0x00200012, "1" },
    { 0x00200013, "123" },
    { 0x00200032, "-189.62890625\\-345.62890625\\-123.5" },
    { 0x00200037, "1\\0\\0\\0\\1\\0" },
    { 0x00200052, "1.2.826.0.1.3680043.8.498.20240301101112.3" },
    { 0x00201040, "" },
    { 0x00201041, "-123.5" },
    { 0x00204000, "routine" },
    { 0x00280004, "MONOCHROME2" },
    { 0x00280030, "0.7421875\\0.7421875" },
    { 0x00281050, "50\\-600" },
    { 0x00281051, "350\\1200" },
    { 0x00281052, "-1024" },
    { 0x00281053, "1" },
    { 0x00281054, "HU" },
    { 0x00281055, "WINDOW1\\WINDOW2" },
    { 0x00321032, "Physician^P" },
    { 0x00321060, "CT thorax" },
    { 0x00400244, "20240301" },
    { 0x00400245, "100000" },
    { 0x00400253, "1" },
    { 0x00400254, "CT thorax" },
};

static const struct {
    uint32_t tag;
    uint16_t number;
} numbers[] = {
    { 0x00280002, 1 },  { 0x00280010, 512 }, { 0x00280011, 512 },
    { 0x00280100, 16 }, { 0x00280101, 12 },  { 0x00280102, 11 },
    { 0x00280103, 0 },  { 0x00280106, 0 },   { 0x00280107, 4095 },
};

enum { TEXTS = sizeof(texts) / sizeof(texts[0]), NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

static void put_reference(struct encoder *encoder, uint32_t tag)
{
    encode_sequence_begin(encoder, tag);
    encode_item_begin(encoder);
    encode_text(encoder, 0x00081150, VR_UI, "1.2.840.10008.5.1.4.1.1.2");
    encode_text(encoder, 0x00081155, VR_UI, "1.2.826.0.1.3680043.8.498.20240301101112.9");
    encode_item_end(encoder);
    encode_sequence_end(encoder);
}

/* In ascending order, from both tables. */
static size_t make_header(const char *name, struct buffer *out)
{
    struct encoder encoder = { out, true };
    size_t text = 0, number = 0;
    while (text < TEXTS || number < NUMBERS) {
        bool is_text = number == NUMBERS || (text < TEXTS && texts[text].tag < numbers[number].tag);
        if (!is_text) {
            encode_u16(&encoder, numbers[number].tag, numbers[number].number);
            number++;
            continue;
        }
        uint32_t tag = texts[text].tag;
        const char *value = tag == TAG_PATIENT_NAME ? name : texts[text].text;
        encode_text(&encoder, tag, dictionary_vr(tag), value);
        if (tag == 0x00081090)
            put_reference(&encoder, 0x00081140);
        text++;
    }
    return TEXTS + NUMBERS + 3;
}

static double now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

struct cost {
    double open_us;
    double write_us;
};

/* The mean of a batch. */
static struct cost run_batch(struct slice header, struct buffer *json)
{
    enum { ROUNDS = 1000 };
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    const struct json_options options = { .bulk_data_prefix = "/dicomweb/studies/1/bulkdata/" };
    struct cost cost = { 0, 0 };
    for (int round = 0; round < ROUNDS; round++) {
        struct dataset *dataset;
        double start = now_us();
        if (!dataset_open(header, syntax, NULL, 0, &dataset, NULL))
            exit(1);
        double middle = now_us();
        buffer_clear(json);
        json_write_dataset(dataset, &options, json);
        cost.write_us += (now_us() - middle) / ROUNDS;
        cost.open_us += (middle - start) / ROUNDS;
        dataset_close(dataset);
    }
    return cost;
}

/* The best batch: the others were held up by what else runs on the machine. */
static void measure(const char *what, const char *name, long batches)
{
    struct buffer header = buffer_up_to(1 << 20), json = buffer_up_to(1 << 20);
    size_t attributes = make_header(name, &header);
    struct cost best = run_batch(buffer_slice(&header), &json);
    for (long i = 1; i < batches; i++) {
        struct cost cost = run_batch(buffer_slice(&header), &json);
        if (cost.open_us + cost.write_us < best.open_us + best.write_us)
            best = cost;
    }
    printf("%-8s %zu attributes, %zu bytes -> %zu bytes of JSON: open %.2f us, write %.2f us, "
           "together %.2f us\n",
           what, attributes, header.size, json.size, best.open_us, best.write_us,
           best.open_us + best.write_us);
    buffer_release(&header);
    buffer_release(&json);
}

int main(int count, char **arguments)
{
    long batches = count > 1 ? strtol(arguments[1], NULL, 10) : 200;
    if (batches < 1)
        return 2;
    measure("ascii", "Doe^Jane^Ann", batches);
    measure("latin-1", "M\xFCller^J\xF6rg", batches);
    return 0;
}
