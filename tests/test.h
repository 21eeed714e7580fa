/* SPDX-License-Identifier: MIT */
#pragma once
/* Unit tests in plain C: a test is a sentence, TEST(wildcard_matches_any_given_name) { CHECK(...);
 * }. Every *_test.c of a folder is linked into one program, tests/<folder>_tests, which runs all
 * (or those whose name contains its first argument) and ends with "N passed, N failed". A failed
 * CHECK ends its test and tells file, line and expression. */

#include <stdbool.h>
#include <stddef.h>

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *test);
/* Ends the running test. */
void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
void test_check_text(const char *file, int line, const char *expression, const char *actual,
                     const char *expected);
/* A fresh folder of this run, removed at the end: for tests that need a disk. Borrowed until the
 * next call. */
const char *test_folder(void);

#define TEST(sentence)                                                                             \
    static void test_##sentence(void);                                                             \
    static struct test record_##sentence = { #sentence, test_##sentence, NULL };                   \
    __attribute__((constructor)) static void register_##sentence(void)                             \
    {                                                                                              \
        test_register(&record_##sentence);                                                         \
    }                                                                                              \
    static void test_##sentence(void)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            test_fail(__FILE__, __LINE__, "%s", #condition);                                       \
    } while (0)

/* For calls that take `struct error *err` last: tells the message when they fail. */
#define CHECK_OK(call, error)                                                                      \
    do {                                                                                           \
        if (!(call))                                                                               \
            test_fail(__FILE__, __LINE__, "%s: %s", #call, (error).message);                       \
    } while (0)

#define CHECK_INT(actual, expected)                                                                \
    do {                                                                                           \
        long long actual_value = (long long)(actual);                                              \
        long long expected_value = (long long)(expected);                                          \
        if (actual_value != expected_value)                                                        \
            test_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #actual, actual_value,           \
                      expected_value);                                                             \
    } while (0)

/* For what another thread or process does: a moment passes, false after a minute of them.
 *     for (unsigned turn = 0; !done() && test_wait(&turn);) ... */
bool test_wait(unsigned *turn);
#define CHECK_SOON(condition)                                                                      \
    do {                                                                                           \
        unsigned turn = 0;                                                                         \
        while (!(condition))                                                                       \
            if (!test_wait(&turn))                                                                 \
                test_fail(__FILE__, __LINE__, "%s: not within a minute", #condition);              \
    } while (0)

#define CHECK_TEXT(actual, expected) test_check_text(__FILE__, __LINE__, #actual, actual, expected)
