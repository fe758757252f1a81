/*
 * A unit test's harness: one header, one program a test file, TAP on stdout.
 *
 *	#include "check.h"
 *	#include "base/units.h"
 *
 *	TEST(size_takes_suffixes)
 *	{
 *		uint64_t size_bytes;
 *
 *		REQUIRE(units_parse_size("4K", &size_bytes) == 0);	// ends the test if false
 *		CHECK_EQ(size_bytes, 4096);				// goes on if they differ
 *		CHECK_STR(units_suffix(size_bytes), "K");
 *	}
 *
 * There is no main() to write: this header has it. Tests run in the order in which they stand
 * in the file, all of them, or those whose names are given as arguments. CHECKs may be called
 * from any thread while the test runs; REQUIRE and SKIP only in the TEST's own body. Integers
 * are compared as 64 bits, so a negative errno and a ssize_t may be given as they are.
 */
#pragma once

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct check_test {
	const char *name;
	void (*run)(void);
	struct check_test *next;
};

static struct check_test *check_first, **check_tail = &check_first;
static atomic_uint check_n_failed; /* CHECKs that failed in the running test */
static const char *check_skip_reason;

/* Defines a test and hangs it on the list before main() starts. */
#define TEST(test_name)                                                               \
	static void test_##test_name(void);                                           \
	__attribute__((constructor)) static void check_add_##test_name(void)          \
	{                                                                             \
		static struct check_test test = {#test_name, test_##test_name, NULL}; \
		*check_tail = &test;                                                  \
		check_tail = &test.next;                                              \
	}                                                                             \
	static void test_##test_name(void)

#define CHECK(cond)     ((void)check_that(__FILE__, __LINE__, #cond, !!(cond)))
#define CHECK_EQ(a, b)  ((void)check_equal(__FILE__, __LINE__, #a, #b, (uint64_t)(a), (uint64_t)(b)))
#define CHECK_STR(a, b) ((void)check_string(__FILE__, __LINE__, #a, #b, (a), (b)))

/* What the rest of the test cannot do without: a failure ends the test. */
#define REQUIRE(cond)                                                 \
	do {                                                          \
		if (!check_that(__FILE__, __LINE__, #cond, !!(cond))) \
			return;                                       \
	} while (0)

/* Ends the test as skipped; the reason is shown. */
#define SKIP(reason)                          \
	do {                                  \
		check_skip_reason = (reason); \
		return;                       \
	} while (0)

static inline bool check_that(const char *file, int line, const char *text, bool is_true)
{
	if (is_true)
		return true;
	atomic_fetch_add(&check_n_failed, 1);
	printf("# %s:%d: not true: %s\n", file, line, text);
	return false;
}

static inline bool check_equal(const char *file, int line, const char *a_text, const char *b_text,
			       uint64_t a, uint64_t b)
{
	if (a == b)
		return true;
	atomic_fetch_add(&check_n_failed, 1);
	printf("# %s:%d: %s is %" PRId64 ", not %" PRId64 " (%s)\n", file, line, a_text, (int64_t)a,
	       (int64_t)b, b_text);
	return false;
}

static inline bool check_string(const char *file, int line, const char *a_text, const char *b_text,
				const char *a, const char *b)
{
	if (a == b || (a && b && strcmp(a, b) == 0))
		return true;
	atomic_fetch_add(&check_n_failed, 1);
	printf("# %s:%d: %s is \"%s\", not \"%s\" (%s)\n", file, line, a_text, a ? a : "(null)",
	       b ? b : "(null)", b_text);
	return false;
}

static inline bool check_is_wanted(const struct check_test *test, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], test->name) == 0)
			return true;
	return argc < 2;
}

/* Runs one test and prints its TAP line; true unless it failed. */
static inline bool check_run(const struct check_test *test, unsigned int number)
{
	unsigned int n_failed;

	atomic_store(&check_n_failed, 0);
	check_skip_reason = NULL;
	test->run();
	n_failed = atomic_load(&check_n_failed);
	printf("%s %u - %s", n_failed ? "not ok" : "ok", number, test->name);
	if (check_skip_reason && !n_failed)
		printf(" # SKIP %s", check_skip_reason);
	printf("\n");
	return n_failed == 0;
}

int main(int argc, char **argv)
{
	unsigned int n_run = 0, n_bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (const struct check_test *test = check_first; test; test = test->next) {
		if (!check_is_wanted(test, argc, argv))
			continue;
		if (!check_run(test, ++n_run))
			n_bad++;
	}
	printf("1..%u\n", n_run);
	return n_bad ? 1 : 0;
}
