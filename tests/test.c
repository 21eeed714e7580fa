/* SPDX-License-Identifier: MIT */
#include "tests/test.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct test *tests;
static jmp_buf failed;
static char root[64];
static char folder[96];
static int folders;

void test_register(struct test *test)
{
    test->next = tests;
    tests = test;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("    %s:%d: ", file, line);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    longjmp(failed, 1);
}

void test_check_text(const char *file, int line, const char *expression, const char *actual,
                     const char *expected)
{
    if (actual == expected || (actual && expected && strcmp(actual, expected) == 0))
        return;
    test_fail(file, line, "%s is \"%s\", not \"%s\"", expression, actual ? actual : "(null)",
              expected ? expected : "(null)");
}

bool test_wait(unsigned *turn)
{
    enum { MS = 2, TURNS = 60 * 1000 / MS };
    nanosleep(&(struct timespec){ .tv_nsec = MS * 1000000 }, NULL);
    return ++*turn < TURNS;
}

const char *test_folder(void)
{
    if (!root[0]) {
        snprintf(root, sizeof(root), "/tmp/hounsfield-test-XXXXXX");
        if (!mkdtemp(root))
            abort();
    }
    snprintf(folder, sizeof(folder), "%s/%d", root, folders++);
    return folder;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static bool run(struct test *test)
{
    volatile bool passed = false;
    if (setjmp(failed) == 0) {
        test->run();
        passed = true;
    }
    printf("%s %s\n", passed ? "ok  " : "FAIL", test->name);
    fflush(stdout);
    return passed;
}

int main(int count, char **arguments)
{
    int passed_count = 0;
    int failed_count = 0;
    for (struct test *test = tests; test; test = test->next) {
        if (count > 1 && !strstr(test->name, arguments[1]))
            continue;
        if (run(test))
            passed_count++;
        else
            failed_count++;
    }
    if (root[0])
        nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("%d passed, %d failed\n", passed_count, failed_count);
    return failed_count || !passed_count;
}
