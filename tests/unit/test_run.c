/*
 * base/run.c: what became of a program that was run.
 */
#include "base/run.h"

#include <errno.h>

#include "check.h"

static int run_shell(const char *script)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	return run_silently(argv);
}

TEST(its_status_is_told)
{
	CHECK_EQ(run_shell("exit 0"), 0);
	CHECK_EQ(run_shell("exit 7"), 7);
	CHECK_EQ(run_shell("kill -TERM $$"), 128 + 15);
}

TEST(what_cannot_be_started_is_an_errno)
{
	const char *const argv[] = {"no-such-program-anywhere", NULL};

	CHECK_EQ(run_silently(argv), -ENOENT);
}

TEST(it_is_silent)
{
	/* Said aloud, this would be a failed test. */
	CHECK_EQ(run_shell("echo 'not ok 99 heard'; echo 'not ok 98 heard' >&2"), 0);
}
