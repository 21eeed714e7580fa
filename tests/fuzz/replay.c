/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target without a fuzzer: every file of the corpus given, then seeded mutations of
 * them, so that each ordinary test run (and each sanitizer run) exercises the parsers. The fuzz
 * preset links libFuzzer instead. target ROUNDS FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_LIMIT = 1 << 20, FILE_LIMIT = 4096 };

static struct {
    uint8_t *data;
    size_t size;
} inputs[FILE_LIMIT];
static size_t input_count;
static uint64_t seed = 88172645463325252u;

static uint32_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || input_count == FILE_LIMIT)
        exit(2);
    uint8_t *data = malloc(INPUT_LIMIT);
    size_t size = data ? fread(data, 1, INPUT_LIMIT, file) : 0;
    fclose(file);
    inputs[input_count].data = data;
    inputs[input_count++].size = size;
}

/* An exact-size copy, so that a read past the end meets the sanitizer. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        exit(2);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static size_t mutate(uint8_t *data, size_t size)
{
    for (uint32_t change = 1 + next_random() % 8; change && size; change--) {
        size_t at = next_random() % size;
        switch (next_random() % 6) {
        case 0:
            data[at] = (uint8_t)next_random();
            break;
        case 1:
            data[at] = 0xff;
            break;
        case 2:
            data[at] ^= (uint8_t)(1u << next_random() % 8);
            break;
        case 3:
            size = at;
            break;
        case 4:
            memmove(data + at, data + at + 1, size - at - 1);
            size--;
            break;
        default:
            data[at] = 0;
            break;
        }
    }
    return size;
}

int main(int count, char **arguments)
{
    if (count < 3) {
        fprintf(stderr, "usage: %s ROUNDS FOLDER...\n", arguments[0]);
        return 2;
    }
    for (int i = 2; i < count; i++) {
        DIR *folder = opendir(arguments[i]);
        if (!folder) {
            fprintf(stderr, "no corpus %s\n", arguments[i]);
            return 2;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", arguments[i], entry->d_name);
            load(path);
        }
        closedir(folder);
    }
    uint8_t *scratch = malloc(INPUT_LIMIT);
    if (!input_count || !scratch)
        return 2;
    for (size_t i = 0; i < input_count; i++)
        run(inputs[i].data, inputs[i].size);
    for (long round = atol(arguments[1]); round > 0; round--) {
        size_t pick = next_random() % input_count;
        memcpy(scratch, inputs[pick].data, inputs[pick].size);
        run(scratch, mutate(scratch, inputs[pick].size));
    }
    free(scratch);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].data);
    printf("%zu files, %s rounds\n", input_count, arguments[1]);
    return 0;
}
