/*
 * base/glob.c: what a glob matches, and which are refused.
 */
#include "base/glob.h"

#include "check.h"

#include <stdlib.h>

struct row {
	const char *glob, *path;
	bool matches;
};

static void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *why = glob_error(rows[i].glob);
		if (why)
			printf("# '%s' %s\n", rows[i].glob, why);
		CHECK(!why);
		if (glob_match(rows[i].glob, rows[i].path) != rows[i].matches)
			printf("# '%s' on '%s'\n", rows[i].glob, rows[i].path);
		CHECK_EQ(glob_match(rows[i].glob, rows[i].path), rows[i].matches);
	}
}
#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

TEST(without_a_slash_the_last_component)
{
	static const struct row rows[] = {
		{"*.wal", "a.wal", true},
		{"*.wal", "db/x/a.wal", true},
		{"*.wal", "a.wal/b", false},
		{"*.wal", ".wal", true},
		{"*", "", true},
		{"*", "a/b", true},
		{"**", "a/b/c", true},
		{"a?c", "abc", true},
		{"a?c", "a/c", false},
		{"[ab]x", "bx", true},
		{"[!ab]x", "bx", false},
		{"[^ab]x", "cx", true},
		{"[]]x", "]x", true},
		{"[!]]x", "ax", true},
		{"[[:digit:]]*", "7a", true},
		{"[[:digit:]]*", "a7", false},
		{"[a-]", "-", true},
		{"[a\\]]", "]", true},
		{"\\*", "*", true},
		{"\\*", "a", false},
		{"\\[x", "[x", true},
		{"a]", "a]", true},
		{"a\\\\b", "a\\b", true},
		{"A", "a", false},
		{"\xc3\xa9*", "\xc3\xa9t\xc3\xa9", true},
	};
	CHECK_ROWS(rows);
}

TEST(with_a_slash_the_whole_path)
{
	static const struct row rows[] = {
		{"db/*.wal", "db/a.wal", true},
		{"db/*.wal", "x/db/a.wal", false},
		{"db/*.wal", "db/x/a.wal", false},
		{"/a", "a", true},
		{"/a", "b/a", false},
		{"/db/*", "db/a", true},
		{"/db/*", "db", false},
		{"*/b", "a/b", true},
		{"*/b", "b", false},
		{"a/b", "a/b/c", false},
		{"a/b/c", "a/b", false},
		{"a/b", "", false},
		{"d[ab]/x", "da/x", true},
	};
	CHECK_ROWS(rows);
}

TEST(double_star_crosses_directories)
{
	static const struct row rows[] = {
		{"db/**", "db/a", true},
		{"db/**", "db/a/b/c", true},
		{"db/**", "db", false},
		{"db/**", "dbx/a", false},
		{"**/x", "x", true},
		{"**/x", "a/b/x", true},
		{"**/x", "a/x/b", false},
		{"a/**/b", "a/b", true},
		{"a/**/b", "a/x/y/b", true},
		{"a/**/b", "a/x/y/c", false},
		{"a/**/b/**/c", "a/b/c", true},
		{"a/**/b/**/c", "a/x/b/y/b/z/c", true},
		{"a/**/b/**/c", "a/x/c", false},
		{"**/b/*", "a/b/b/c", true},
		{"**/**", "a", true},
		{"/**", "a/b", true},
		{"a/x**y/b", "a/x1y/b", true},
		{"a/x**y/b", "a/x/y/b", false},
		{"**/a/b/**", "a/a/b/c", true},
		{"**/a/b", "a/b/a/b", true},
	};
	CHECK_ROWS(rows);
}

TEST(broken_globs_are_refused)
{
	static const char *const bad[] = {
		"",           "[",         "a[",
		"[a",         "[]",        "[!]",
		"[a-",        "[a/b]",     "x/[a/b",
		"[[:digit:]", "[[:digit]", "[[:nope:]]",
		"[[.a]",      "[[=a]",     "[z-a]",
		"a\\",        "a\\/b",     "a//b",
		"a/",         "//a",       "/",
		"./a",        "a/..",      "..",
		".",          "[a\\",      "[[:aaaaaaaaaaaaaaaaaaaaaaaa:]]",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!glob_error(bad[i]))
			printf("# not refused: '%s'\n", bad[i]);
		CHECK(glob_error(bad[i]) != NULL);
	}
}

TEST(lengths_have_limits)
{
	char glob[GLOB_COMPONENT_MAX + 2], name[300];

	memset(glob, 'a', sizeof(glob));
	glob[GLOB_COMPONENT_MAX + 1] = '\0';
	CHECK(glob_error(glob) != NULL);
	glob[GLOB_COMPONENT_MAX] = '\0';
	CHECK(glob_error(glob) == NULL);
	memset(name, 'a', sizeof(name));
	name[255] = '\0';
	CHECK(!glob_match(glob, name));
	CHECK(glob_match("a*", name));
	name[255] = 'a';
	name[299] = '\0';
	CHECK(!glob_match("a*", name));
}

/* Whatever is accepted can be matched: for the sanitizers. */
TEST(random_globs_stay_in_bounds)
{
	static const char alphabet[] = "ab/*?[]!-\\:.=^";
	unsigned n_valid = 0, seed = 1;

	for (int round = 0; round < 200000; round++) {
		char glob[16], path[12];
		for (size_t i = 0; i < sizeof(glob); i++)
			glob[i] = alphabet[(unsigned)rand_r(&seed) % sizeof(alphabet)];
		for (size_t i = 0; i < sizeof(path); i++)
			path[i] = "ab/"[(unsigned)rand_r(&seed) % 3];
		glob[sizeof(glob) - 1] = '\0';
		path[sizeof(path) - 1] = '\0';
		if (glob_error(glob))
			continue;
		n_valid++;
		(void)!glob_match(glob, path);
	}
	CHECK(n_valid > 1000);
}
