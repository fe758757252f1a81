/*
 * base/suggest.c: distances by hand, and when a name is near enough to be offered.
 */
#include "base/suggest.h"

#include "check.h"

static unsigned distance(const char *a, const char *b)
{
	return suggest_distance(a, strlen(a), b, strlen(b));
}

static const char *nearest(const char *typed, const char *const *names)
{
	struct suggestion s = suggest_start(typed, strlen(typed));

	for (; *names; names++)
		suggest_offer(&s, *names, strlen(*names));
	return s.nearest;
}

TEST(distance_counts_edits)
{
	CHECK_EQ(distance("", ""), 0);
	CHECK_EQ(distance("", "abc"), 3);
	CHECK_EQ(distance("path", "path"), 0);
	CHECK_EQ(distance("pth", "path"), 1);
	CHECK_EQ(distance("patth", "path"), 1);
	CHECK_EQ(distance("bath", "path"), 1);
	CHECK_EQ(distance("ptah", "path"), 1);
	CHECK_EQ(distance("kitten", "sitting"), 3);
	CHECK_EQ(distance("ca", "abc"), 3);
}

TEST(only_near_names_are_offered)
{
	static const char *const names[] = {"path", "ro", "max_io", "threads", NULL};

	CHECK_STR(nearest("pth", names), "path");
	CHECK_STR(nearest("max-io", names), "max_io");
	CHECK_STR(nearest("thraeds", names), "threads");
	CHECK_STR(nearest("ro", names), "ro");
	CHECK_STR(nearest("or", names), NULL);
	CHECK_STR(nearest("x", names), NULL);
	CHECK_STR(nearest("", names), NULL);
	CHECK_STR(nearest("encryption", names), NULL);
	CHECK_STR(nearest("a_name_longer_than_any_option_there_is", names), NULL);
}

TEST(first_of_equals_stays)
{
	static const char *const names[] = {"sync", "async", NULL};
	static const char *const both[] = {"cat", "car", NULL};

	CHECK_STR(nearest("sync", names), "sync");
	CHECK_STR(nearest("cab", both), "cat");
}
