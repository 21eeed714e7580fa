/* SPDX-License-Identifier: MIT */
/* What a FHIR server may answer to a search or a transaction. */
#include <stdlib.h>

#include "cast/bundle.h"
#include "cast/identifier.h"
#include "cast/merge.h"
#include "cast/search_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cJSON *literal(const char *text)
{
    cJSON *tree = NULL;
    if (!json_parse(slice_text(text), &tree, NULL))
        abort();
    return tree;
}

static void merge(struct slice text)
{
    static const char *const types[] = { "Patient", "Endpoint", "ImagingStudy" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct search_answer found;
        cJSON *mapped = literal(
            "{\"identifier\":[{\"system\":\"s\",\"value\":\"v\"}],\"meta\":{\"source\":\"x\","
            "\"tag\":[{\"system\":\"urn:hounsfield\",\"code\":\"dicom-cast\"}]},\"gender\":"
            "\"male\",\"note\":[{\"authorString\":\"dicom-cast\",\"text\":\"t\"}],\"endpoint\":"
            "[{\"reference\":\"Endpoint/1\"}],\"series\":[{\"uid\":\"1\",\"number\":1,"
            "\"instance\":[{\"uid\":\"1.1\"},{\"uid\":\"1.2\"}]}]}");
        const cJSON *identifier = json_first(json_get(mapped, "identifier"));
        if (search_answer_read(text, types[i], identifier, &found, NULL)) {
            if (found.best) {
                struct bundle *bundle = bundle_new("http://f");
                merge_resource(found.best, mapped);
                if (merge_resource(found.best, mapped))
                    abort(); /* in step after one merge */
                search_answer_survivor(found.best);
                bundle_update_take(bundle, found.best);
                found.best = NULL;
                bundle_free(bundle);
            }
            search_answer_release(&found);
        }
        cJSON_Delete(mapped);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    enum bundle_answer result;
    cJSON *tree = NULL;
    struct bundle *bundle = bundle_new("http://f");
    bundle_create_take(bundle, literal("{\"resourceType\":\"Patient\"}"), true, NULL);
    bundle_check(bundle, text, &result, NULL);
    bundle_free(bundle);
    if (json_parse(text, &tree, NULL)) {
        /* What was read is written so that it reads the same. */
        struct buffer printed = buffer_up_to(64 << 20);
        cJSON *again = NULL;
        json_print(tree, &printed);
        if (!json_parse(buffer_slice(&printed), &again, NULL))
            abort();
        cJSON_Delete(again);
        buffer_release(&printed);
    }
    cJSON_Delete(tree);
    merge(text);
    return 0;
}
