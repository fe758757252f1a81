/* stats/render: the text a person reads, JSON that always parses, and one name a value. */
#include "check.h"
#include "stats/render.h"
#include "wire.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

static const struct render_head file_head = {.title = "file", .path = "splice"};

static const char *const row_names[] = {
#define COUNTER(id, name, unit, help)   name,
#define HISTOGRAM(id, name, unit, help) name,
#define DERIVED(id, name, unit, help)   name,
#include "stats/counters.def"
};

#define N_NAMES (sizeof(row_names) / sizeof(row_names[0]))

/* Two reads of 4 KiB by splice, 740 and 900 ns; one write of 64 KiB that was copied twice. */
static struct counters_snapshot sample(void)
{
	struct counters_snapshot s = {0};

	s.sum[CTR_READ_OPS] = 2;
	s.sum[CTR_READ_BYTES] = 8192;
	s.sum[CTR_READ_SPLICE_BYTES] = 8192;
	s.sum[CTR_WRITE_OPS] = 1;
	s.sum[CTR_WRITE_BYTES] = 65536;
	s.sum[CTR_COPY_TOTAL_BYTES] = 131072;
	s.hist[HIST_READ_LATENCY].bucket[10] = 2;
	s.hist[HIST_READ_LATENCY].max = 900;
	return s;
}

/* ---- a JSON parser that only says yes or no (RFC 8259) ---- */

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static const char *skip_json_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		p++;
		if (*p == 'u') {
			for (int i = 0; i < 4; i++)
				if (!isxdigit((unsigned char)*++p))
					return NULL;
		} else if (!*p || !strchr("\"\\/bfnrt", *p)) {
			return NULL;
		}
	}
	return p + 1;
}

static const char *skip_number(const char *p)
{
	size_t n = strspn(p, "0123456789");
	if (!n || (*p == '0' && n > 1))
		return NULL;
	p += n;
	if (*p != '.')
		return p;
	n = strspn(++p, "0123456789");
	return n ? p + n : NULL;
}

/* The end of the value at p, or NULL if it is not one. */
static const char *skip_json(const char *p)
{
	p = skip_space(p);
	if (*p == '"')
		return skip_json_string(p);
	if (strncmp(p, "null", 4) == 0)
		return p + 4;
	if (*p != '{' && *p != '[')
		return skip_number(p);
	char close = *p == '{' ? '}' : ']';
	p = skip_space(p + 1);
	if (*p == close)
		return p + 1;
	for (;; p++) {
		if (close == '}') {
			p = skip_json_string(skip_space(p));
			if (!p || *(p = skip_space(p)) != ':')
				return NULL;
			p++;
		}
		p = skip_json(p);
		if (!p)
			return NULL;
		p = skip_space(p);
		if (*p == close)
			return p + 1;
		if (*p != ',')
			return NULL;
	}
}

static bool is_json(const char *text)
{
	const char *end = skip_json(text);
	return end && !*skip_space(end);
}

static void check_value(const struct counters_snapshot *s, const char *name, const char *value)
{
	char *text = NULL;

	CHECK_EQ(render_value(name, s, &text), 0);
	CHECK_STR(text, value);
	free(text);
}

/* ---- the tests ---- */

TEST(values_by_name)
{
	struct counters_snapshot s = sample();
	char *text = NULL;

	check_value(&s, "read.ops", "2");
	check_value(&s, "read.bytes", "8192");
	check_value(&s, "read.copy_bytes", "0");
	check_value(&s, "read.latency", "count=2 p50=706 p90=900 p99=900 p99.9=900 max=900");
	check_value(&s, "write.latency", "count=0 p50=0 p90=0 p99=0 p99.9=0 max=0");
	CHECK_EQ(render_value("read.nonsense", &s, &text), -ENODATA);
	CHECK_EQ(render_value("", &s, &text), -ENODATA);
	CHECK_EQ(render_value("reads", &s, &text), -ENODATA); /* a heading is no value */
	CHECK(!text);
}

TEST(copies_per_byte_has_two_decimals)
{
	struct counters_snapshot s = {0};

	check_value(&s, "copy.per_byte", "0.00");
	s.sum[CTR_COPY_TOTAL_BYTES] = 5;
	check_value(&s, "copy.per_byte", "0.00");
	s.sum[CTR_READ_BYTES] = 2;
	check_value(&s, "copy.per_byte", "2.50");
	s.sum[CTR_WRITE_BYTES] = 1;
	check_value(&s, "copy.per_byte", "1.67");
	s.sum[CTR_COPY_TOTAL_BYTES] = UINT64_MAX;
	check_value(&s, "copy.per_byte", "10000000000000000.00"); /* capped */
}

/* With two decimals 99.2 and 99.8 % would look alike, of which one misses four times as often. */
TEST(hit_ratio_has_four_decimals)
{
	struct counters_snapshot s = {0};

	check_value(&s, "pool.hit_ratio", "0.0000");
	s.sum[CTR_POOL_MISSES] = 8;
	check_value(&s, "pool.hit_ratio", "0.0000");
	s.sum[CTR_POOL_HITS] = 992;
	check_value(&s, "pool.hit_ratio", "0.9920");
	s.sum[CTR_POOL_MISSES] = 0;
	check_value(&s, "pool.hit_ratio", "1.0000");
	s.sum[CTR_POOL_HITS] = s.sum[CTR_POOL_MISSES] = UINT64_MAX;
	check_value(&s, "pool.hit_ratio", "0.5000");
}

TEST(a_gauge_is_shown_as_any_value)
{
	struct counters_snapshot s = {0};

	s.sum[CTR_POOL_RESIDENT_BYTES] = 32768;
	char *text = render_text(&file_head, &s);
	REQUIRE(text);
	CHECK(strstr(text, "\nbuffer pool\n"));
	CHECK(strstr(text, "  pool.resident_bytes                 32768  (32.0 KiB)\n"));
	CHECK(strstr(text, "  pool.dirty_bytes                        0\n"));
	CHECK(strstr(text, "  pool.readahead_wasted_bytes             0\n")); /* the longest name */
	free(text);
}

TEST(every_name_is_listed_once_and_answers)
{
	const char *const fixed[] = {ZCFS_XATTR_STATS, ZCFS_XATTR_JSON, ZCFS_XATTR_PATH,
				     ZCFS_XATTR_MODE, ZCFS_XATTR_RESET};
	const size_t n_fixed = sizeof(fixed) / sizeof(fixed[0]);
	struct counters_snapshot s = sample();
	size_t len_bytes, n = 0;
	const char *names = render_names(&len_bytes);

	for (const char *p = names; p < names + len_bytes; p += strlen(p) + 1, n++) {
		if (n < n_fixed) {
			CHECK_STR(p, fixed[n]);
			continue;
		}
		char *text = NULL;
		CHECK(strncmp(p, ZCFS_XATTR_PREFIX, strlen(ZCFS_XATTR_PREFIX)) == 0);
		CHECK_EQ(render_value(p + strlen(ZCFS_XATTR_PREFIX), &s, &text), 0);
		CHECK(text && *text && !strchr(text, '\n'));
		free(text);
		for (const char *q = names; q < p; q += strlen(q) + 1)
			CHECK(strcmp(p, q) != 0);
	}
	CHECK_EQ(n, n_fixed + N_NAMES);
	CHECK_EQ(names[len_bytes - 1], '\0');
}

TEST(the_pools_names_stand_before_the_others)
{
	static const char pool_names[] = ZCFS_XATTR_POOL
		"\0" ZCFS_XATTR_POOL_FLUSH "\0" ZCFS_XATTR_POOL_DROP "\0" ZCFS_XATTR_POOL_RESIZE;
	size_t len_bytes, all_bytes;
	const char *names = render_names(&len_bytes), *all = render_names_with_pool(&all_bytes);

	CHECK_EQ(all_bytes, len_bytes + sizeof(pool_names));
	CHECK(memcmp(all, pool_names, sizeof(pool_names)) == 0);
	CHECK(memcmp(all + sizeof(pool_names), names, len_bytes) == 0);
}

TEST(text_of_a_used_file)
{
	struct counters_snapshot s = sample();
	char *text = render_text(&file_head, &s);
	REQUIRE(text);

	CHECK(strncmp(text, "zcfs file\n", 10) == 0);
	CHECK(strstr(text, "  path of the next open    splice\n"));
	CHECK(!strstr(text, "io_mode"));
	CHECK(strstr(text, "  read.ops                                2\n"));
	CHECK(strstr(text, "  read.bytes                           8192  (8.0 KiB)\n"));
	CHECK(strstr(text, "  read.copy_bytes                         0\n"));
	CHECK(strstr(text, "  copy.per_byte                        1.78\n"));
	CHECK(strstr(text, "latencies                             count         p50 "));
	CHECK(strstr(text, "  read.latency                            2      706 ns      900 ns "));
	CHECK(strstr(text, "  write.latency                           0           -           - "));
	CHECK_EQ(text[strlen(text) - 1], '\n');
	free(text);
}

TEST(text_folds_groups_that_were_never_used)
{
	struct counters_snapshot s = {0};
	char *text = render_text(&file_head, &s);
	REQUIRE(text);

	CHECK(strstr(text, "reads                                  none\n"));
	CHECK(strstr(text, "syncs                                  none\n"));
	for (size_t i = 0; i < N_NAMES; i++)
		CHECK(!strstr(text, row_names[i]));
	free(text);
}

/* Columns line up only if no line is longer than a terminal of ordinary width. */
TEST(text_lines_are_short)
{
	struct counters_snapshot s = {0};

	for (unsigned i = 0; i < CTR_COUNT; i++)
		s.sum[i] = UINT64_C(9000000000000000);
	for (unsigned i = 0; i < HIST_COUNT; i++) {
		s.hist[i].bucket[40] = UINT64_C(9000000000000000);
		s.hist[i].max = UINT64_C(1) << 39;
	}
	char *text = render_text(&file_head, &s);
	REQUIRE(text);
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		CHECK(strcspn(line, "\n") <= 104);
	for (size_t i = 0; i < N_NAMES; i++)
		CHECK(strstr(text, row_names[i]));
	free(text);
}

TEST(text_of_the_mount_shows_others)
{
	struct counters_snapshot s = sample(), others = {0};
	struct render_head head = {
		.title = "mount", .path = "auto", .others = &others, .files = 12, .merged = 3};
	others.sum[CTR_FSYNC_OPS] = 77;

	char *text = render_text(&head, &s);
	REQUIRE(text);
	CHECK(strstr(text, "  files with a ledger      12\n"));
	CHECK(strstr(text, "  files merged             3\n"));
	const char *part = strstr(text, "\nothers: ");
	CHECK(part && strstr(part, "  fsync.ops                              77\n"));
	free(text);

	head.merged = 0;
	text = render_text(&head, &s);
	CHECK(text && !strstr(text, "others"));
	free(text);
}

TEST(json_has_every_value)
{
	struct counters_snapshot s = sample(), zero = {0};
	char *text = render_json(&file_head, &s);
	REQUIRE(text);

	CHECK(is_json(text));
	CHECK(strstr(text, "\"title\": \"file\""));
	CHECK(strstr(text, "\"io_mode\": null"));
	CHECK(strstr(text, "\"read.bytes\": 8192,"));
	CHECK(strstr(text, "\"copy.per_byte\": 1.78,"));
	CHECK(strstr(text, "\"read.latency\": {\"count\": 2, \"p50\": 706, \"p90\": 900, "));
	CHECK(strstr(text, "\"max\": 900, \"buckets\": [[512, 2]]}"));
	free(text);

	text = render_json(&file_head, &zero);
	CHECK(text && is_json(text));
	for (size_t i = 0; text && i < N_NAMES; i++) {
		char key[64];
		snprintf(key, sizeof(key), "\"%s\": ", row_names[i]);
		CHECK(strstr(text, key));
	}
	free(text);
}

TEST(json_of_the_mount_has_others)
{
	struct counters_snapshot s = sample(), others = sample();
	struct render_head head = {
		.title = "mount", .path = "auto", .others = &others, .files = 12, .merged = 3};
	char *text = render_json(&head, &s);
	REQUIRE(text);

	CHECK(is_json(text));
	CHECK(strstr(text, "\"files\": 12,\n \"merged\": 3,"));
	CHECK(strstr(text, "\"others\": {\"read.ops\": 2,"));
	free(text);
}

TEST(json_escapes_whatever_a_string_holds)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"say \"hi\" \\ bye", "\"say \\\"hi\\\" \\\\ bye\""},
		{"a\nb\tc\x01\x7f", "\"a\\u000ab\\u0009c\\u0001\\u007f\""},
		{"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", /* well-formed: as it is */
		 "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
		{"\xff|\xc3", "\"\\ufffd|\\ufffd\""}, /* no character; cut short */
		{"\xc0\xaf", "\"\\ufffd\\ufffd\""}, /* overlong */
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
		{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* past U+10FFFF */
		{"", "\"\""},
	};
	struct counters_snapshot s = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct render_head head = {.title = "file", .io_mode = cases[i].in};
		char expected[128];
		char *text = render_json(&head, &s);
		REQUIRE(text);
		snprintf(expected, sizeof(expected), "\"io_mode\": %s,", cases[i].out);
		CHECK(is_json(text));
		CHECK(strstr(text, expected));
		free(text);
	}
}
