/*
 * Snapshots of ledgers as people and programs read them. Owns the table of rows that counters.def
 * describes; what a row is called, where it stands and how it is written follows from there alone.
 *
 * Output is built with open_memstream(): its one failure, short memory, shows when the stream is
 * closed.
 */
#include "stats/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "wire.h"

enum row_kind { ROW_GROUP, ROW_COUNTER, ROW_HISTOGRAM, ROW_DERIVED };
enum row_unit {
	UNIT_NONE,
	UNIT_OPS,
	UNIT_BYTES,
	UNIT_CALLS,
	UNIT_FLAG,
	UNIT_PAGES,
	UNIT_NS,
	UNIT_RATIO
};
enum derived {
#define DERIVED(id, name, unit, help) DERIVED_##id,
#include "stats/counters.def"
};

struct row {
	const char *name;
	enum row_kind kind;
	enum row_unit unit;
	unsigned id; /* enum counter, hist or derived, by kind */
};

static const struct row rows[] = {
#define GROUP(id, title)                {title, ROW_GROUP, UNIT_NONE, 0},
#define COUNTER(id, name, unit, help)   {name, ROW_COUNTER, UNIT_##unit, CTR_##id},
#define HISTOGRAM(id, name, unit, help) {name, ROW_HISTOGRAM, UNIT_##unit, HIST_##id},
#define DERIVED(id, name, unit, help)   {name, ROW_DERIVED, UNIT_##unit, DERIVED_##id},
#include "stats/counters.def"
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

#define POOL_NAMES                                                           \
	ZCFS_XATTR_POOL "\0" ZCFS_XATTR_POOL_FLUSH "\0" ZCFS_XATTR_POOL_DROP \
			"\0" ZCFS_XATTR_POOL_RESIZE "\0"

static const char names[] = POOL_NAMES ZCFS_XATTR_STATS
	"\0" ZCFS_XATTR_JSON "\0" ZCFS_XATTR_PATH "\0" ZCFS_XATTR_MODE "\0" ZCFS_XATTR_RESET "\0"
#define COUNTER(id, name, unit, help)   ZCFS_XATTR_PREFIX name "\0"
#define HISTOGRAM(id, name, unit, help) ZCFS_XATTR_PREFIX name "\0"
#define DERIVED(id, name, unit, help)   ZCFS_XATTR_PREFIX name "\0"
#include "stats/counters.def"
	;

/* What is shown of a histogram. */
static const struct quantile {
	const char *name;
	double fraction;
} quantiles[] = {
	{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1},
};

#define N_QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))
#define NUM_SIZE    32 /* any number with its unit */

/* What a derived value is: part / whole, and with how many decimals it is shown. */
struct ratio {
	double part, whole;
	int decimals; /* 2 or 4 */
};

static struct ratio derive(enum derived id, const struct counters_snapshot *s)
{
	const uint64_t *sum = s->sum;
	struct ratio r = {0, 0, 2};

	switch (id) {
	case DERIVED_COPY_PER_BYTE:
		r.part = (double)sum[CTR_COPY_TOTAL_BYTES];
		r.whole = (double)sum[CTR_READ_BYTES] + (double)sum[CTR_WRITE_BYTES];
		break;
	case DERIVED_POOL_HIT_RATIO: /* what is left to 1 is what counts */
		r.part = (double)sum[CTR_POOL_HITS];
		r.whole = r.part + (double)sum[CTR_POOL_MISSES];
		r.decimals = 4;
		break;
	}
	return r;
}

/* Rounded; 0 where there is nothing to divide by. Integers only, so that no locale changes the point. */
static void put_ratio(struct ratio r, char buf[NUM_SIZE])
{
	unsigned scale = r.decimals == 2 ? 100 : 10000;
	double scaled = r.whole > 0 ? r.part * scale / r.whole + 0.5 : 0;
	/* Only sums that wrapped could get there; a conversion out of range is undefined. */
	uint64_t value = scaled < 1e18 ? (uint64_t)scaled : (uint64_t)1e18;
	snprintf(buf, NUM_SIZE, "%" PRIu64 ".%0*u", value / scale, r.decimals, (unsigned)(value % scale));
}

/* The decimal text of a counter or derived value. */
static char *put_scalar(const struct row *r, const struct counters_snapshot *s, char buf[NUM_SIZE])
{
	if (r->kind == ROW_COUNTER)
		snprintf(buf, NUM_SIZE, "%" PRIu64, s->sum[r->id]);
	else
		put_ratio(derive((enum derived)r->id, s), buf);
	return buf;
}

static const struct row *row_by_name(const char *name)
{
	for (const struct row *r = rows; r < rows + N_ROWS; r++)
		if (r->kind != ROW_GROUP && strcmp(r->name, name) == 0)
			return r;
	return NULL;
}

/* Closes a memory stream: its text, the caller's, or NULL if memory was short. */
static char *take_stream(FILE *f, char **text)
{
	bool is_bad = ferror(f);
	if (fclose(f) || is_bad) {
		free(*text);
		*text = NULL;
	}
	return *text;
}

/* ---- text ---- */

/* A derived value is never used by itself: what it is derived from stands in the same group. */
static bool is_row_used(const struct row *r, const struct counters_snapshot *s)
{
	if (r->kind == ROW_COUNTER)
		return s->sum[r->id] != 0;
	return r->kind == ROW_HISTOGRAM && histogram_count(&s->hist[r->id]) != 0;
}

/* The rows of the group that starts at `first` end before this one. */
static const struct row *group_end(const struct row *first)
{
	const struct row *r = first + 1;
	while (r < rows + N_ROWS && r->kind != ROW_GROUP)
		r++;
	return r;
}

static void text_scalar(FILE *f, const struct row *r, const struct counters_snapshot *s)
{
	char number[NUM_SIZE], human[NUM_SIZE];

	/* A name longer than its column takes of the number's. */
	fprintf(f, "  %s %*s", r->name, 40 - (int)strlen(r->name), put_scalar(r, s, number));
	/* Below a KiB the plain number already is the human one. */
	if (r->kind == ROW_COUNTER && r->unit == UNIT_BYTES && s->sum[r->id] >= 1024)
		fprintf(f, "  (%s)", units_format_size(s->sum[r->id], human, sizeof(human)));
	fputc('\n', f);
}

static void text_histogram(FILE *f, const struct row *r, const struct histogram_snapshot *h)
{
	uint64_t count = histogram_count(h);
	char human[NUM_SIZE];

	fprintf(f, "  %-24s %16" PRIu64, r->name, count);
	for (size_t i = 0; i < N_QUANTILES; i++) {
		uint64_t value = histogram_percentile(h, quantiles[i].fraction);
		if (!count)
			snprintf(human, sizeof(human), "-");
		else if (r->unit == UNIT_NS)
			units_format_ns(value, human, sizeof(human));
		else
			units_format_size(value, human, sizeof(human));
		fprintf(f, " %11s", human);
	}
	fputc('\n', f);
}

/* The heading of a group; over histograms it also names the columns. */
static void text_heading(FILE *f, const struct row *group)
{
	if (group[1].kind != ROW_HISTOGRAM) {
		fprintf(f, "%s\n", group->name);
		return;
	}
	fprintf(f, "%-26s %16s", group->name, "count");
	for (size_t i = 0; i < N_QUANTILES; i++)
		fprintf(f, " %11s", quantiles[i].name);
	fputc('\n', f);
}

static void text_groups(FILE *f, const struct counters_snapshot *s)
{
	for (const struct row *group = rows, *end; group < rows + N_ROWS; group = end) {
		bool is_used = false;
		end = group_end(group);
		for (const struct row *r = group + 1; r < end; r++)
			is_used = is_used || is_row_used(r, s);
		if (!is_used) {
			fprintf(f, "%-26s %16s\n", group->name, "none");
			continue;
		}
		text_heading(f, group);
		for (const struct row *r = group + 1; r < end; r++) {
			if (r->kind == ROW_HISTOGRAM)
				text_histogram(f, r, &s->hist[r->id]);
			else
				text_scalar(f, r, s);
		}
	}
}

char *render_text(const struct render_head *head, const struct counters_snapshot *s)
{
	char *text = NULL;
	size_t len_bytes = 0;
	FILE *f = open_memstream(&text, &len_bytes);
	if (!f)
		return NULL;

	fprintf(f, "zcfs %s\n", head->title);
	if (head->path)
		fprintf(f, "  %-24s %s\n", "path of the next open", head->path);
	if (head->io_mode)
		fprintf(f, "  %-24s %s\n", "io_mode", head->io_mode);
	if (head->others) {
		fprintf(f, "  %-24s %" PRIu64 "\n", "files with a ledger", head->files);
		fprintf(f, "  %-24s %" PRIu64 "\n", "files merged", head->merged);
	}
	fputc('\n', f);
	text_groups(f, s);
	if (head->others && head->merged) {
		fprintf(f, "\nothers: the part of the above that the merged files counted\n");
		text_groups(f, head->others);
	}
	return take_stream(f, &text);
}

/* ---- JSON ---- */

/* Length of the well-formed UTF-8 character at p (Unicode 15, table 3-7), 0 if there is none. */
static size_t utf8_len(const unsigned char *p)
{
	size_t len = p[0] < 0x80                    ? 1
		     : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
		     : p[0] >= 0xe0 && p[0] <= 0xef ? 3
		     : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
						    : 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80) /* also stops at the string's NUL */
			return 0;
	bool is_overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool is_out_of_range = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
	return is_overlong || is_out_of_range ? 0 : len;
}

/* A JSON string (RFC 8259), or null. A byte that is not UTF-8 becomes U+FFFD. */
static void json_string(FILE *f, const char *s)
{
	if (!s) {
		fputs("null", f);
		return;
	}
	fputc('"', f);
	for (const unsigned char *p = (const unsigned char *)s; *p;) {
		size_t len = utf8_len(p);
		if (!len)
			fputs("\\ufffd", f);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(f, "\\u%04x", (unsigned)*p);
		else if (*p == '"' || *p == '\\')
			fprintf(f, "\\%c", *p);
		else
			fwrite(p, 1, len, f);
		p += len ? len : 1;
	}
	fputc('"', f);
}

static void json_histogram(FILE *f, const struct histogram_snapshot *h)
{
	const char *comma = "";

	fprintf(f, "{\"count\": %" PRIu64, histogram_count(h));
	for (size_t i = 0; i < N_QUANTILES; i++)
		fprintf(f, ", \"%s\": %" PRIu64, quantiles[i].name,
			histogram_percentile(h, quantiles[i].fraction));
	fputs(", \"buckets\": [", f);
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
		uint64_t least = histogram_bucket_min(b);
		if (!h->bucket[b])
			continue;
		fprintf(f, "%s[%" PRIu64 ", %" PRIu64 "]", comma, least, h->bucket[b]);
		comma = ", ";
	}
	fputs("]}", f);
}

/*
 * The members of an object, comma before each but the first; `separator` stands before the first.
 */
static void json_rows(FILE *f, const struct counters_snapshot *s, const char *separator)
{
	char number[NUM_SIZE];

	for (const struct row *r = rows; r < rows + N_ROWS; r++) {
		if (r->kind == ROW_GROUP)
			continue;
		fprintf(f, "%s\"%s\": ", separator, r->name);
		if (r->kind == ROW_HISTOGRAM)
			json_histogram(f, &s->hist[r->id]);
		else
			fputs(put_scalar(r, s, number), f);
		separator = ",\n ";
	}
}

char *render_json(const struct render_head *head, const struct counters_snapshot *s)
{
	char *text = NULL;
	size_t len_bytes = 0;
	FILE *f = open_memstream(&text, &len_bytes);
	if (!f)
		return NULL;

	fputs("{\"title\": ", f);
	json_string(f, head->title);
	fputs(",\n \"path\": ", f);
	json_string(f, head->path);
	fputs(",\n \"io_mode\": ", f);
	json_string(f, head->io_mode);
	if (head->others)
		fprintf(f, ",\n \"files\": %" PRIu64 ",\n \"merged\": %" PRIu64, head->files,
			head->merged);
	json_rows(f, s, ",\n ");
	if (head->others) {
		fputs(",\n \"others\": ", f);
		json_rows(f, head->others, "{");
		fputc('}', f);
	}
	fputs("}\n", f);
	return take_stream(f, &text);
}

/* ---- value by value ---- */

int render_value(const char *name, const struct counters_snapshot *s, char **out)
{
	const struct row *r = row_by_name(name);
	if (!r)
		return -ENODATA;

	char *text = NULL;
	size_t len_bytes = 0;
	FILE *f = open_memstream(&text, &len_bytes);
	if (!f)
		return -ENOMEM;
	if (r->kind == ROW_HISTOGRAM) {
		const struct histogram_snapshot *h = &s->hist[r->id];
		fprintf(f, "count=%" PRIu64, histogram_count(h));
		for (size_t i = 0; i < N_QUANTILES; i++)
			fprintf(f, " %s=%" PRIu64, quantiles[i].name,
				histogram_percentile(h, quantiles[i].fraction));
	} else {
		char number[NUM_SIZE];
		fputs(put_scalar(r, s, number), f);
	}
	*out = take_stream(f, &text);
	return *out ? 0 : -ENOMEM;
}

const char *render_names_with_pool(size_t *len_bytes)
{
	*len_bytes = sizeof(names) - 1; /* the literal's own NUL is one too many */
	return names;
}

const char *render_names(size_t *len_bytes)
{
	const char *with_pool = render_names_with_pool(len_bytes);
	*len_bytes -= sizeof(POOL_NAMES) - 1;
	return with_pool + sizeof(POOL_NAMES) - 1;
}
