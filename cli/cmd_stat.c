/*
 * zcfs stat: ledgers as a table or as JSON. Owns the two forms; what is listed is listing.c's.
 *
 * JSON: an array with an object for each PATH that could be looked at:
 *   {"file": PATH, "stats": LEDGER, "files": [{"file", "stats"}, ...], "more_files": N, "idle_files": N,
 *    "skipped_files": N}
 * where a directory has the last four, and "file_hex" has the bytes of a name that is not UTF-8.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "listing.h"
#include "table.h"

const char cmd_stat_summary[] = "show how the bytes of files, directories or a mount travelled";

enum { WAYS_MAX = 12 };

/* A way that bytes travel, as splice: the counters read.splice_bytes and write.splice_bytes. */
struct way {
	const char *name;
	size_t name_len;
	enum control_counter read, write;
};

struct report {
	struct listing *lists; /* one a PATH; those that failed are empty */
	size_t count;
	struct way ways[WAYS_MAX]; /* the columns to show */
	size_t way_count;
	size_t most; /* files to list of a directory, -n */
	bool is_exact;
};

static void print_help(void)
{
	puts("usage: zcfs stat [-b] [-n N] [--json] PATH...\n"
	     "Shows the ledger of each PATH on a zcfs mount. A directory lists the files below it that\n"
	     "had I/O, most bytes first; the mount's root shows the totals of the mount above them.\n\n"
	     "  -n, --top N  of a directory, the N files with most bytes only\n"
	     "  -b, --bytes  exact numbers of bytes\n"
	     "  -j, --json   one JSON array with every counter: [{\"file\", \"stats\", \"files\"}, ...]\n"
	     "  -h, --help   this text\n\n"
	     "COPIES/B is what the CPU copied for each byte moved, in the daemon and in the kernel.");
}

static bool is_directory(const struct listing *list)
{
	return strcmp(list->self.ledger.title, "file") != 0;
}

static bool is_mount(const struct listing *list)
{
	return strcmp(list->self.ledger.title, "mount") == 0;
}

/* How many of its files are listed. */
static size_t shown(const struct report *r, const struct listing *list)
{
	return list->count < r->most ? list->count : r->most;
}

/* Directories other than the mount's root show their files only. */
static bool shows_self(const struct listing *list)
{
	return list->self.path && (!is_directory(list) || is_mount(list));
}

/* ---- the columns ---- */

static bool is_basic(const struct way *way)
{
	static const char *const basic[] = {"splice", "copy", "direct"};
	for (size_t i = 0; i < sizeof(basic) / sizeof(basic[0]); i++)
		if (strlen(basic[i]) == way->name_len && memcmp(basic[i], way->name, way->name_len) == 0)
			return true;
	return false;
}

static uint64_t way_bytes(const struct way *way, const struct control_ledger *ledger)
{
	return ledger->value[way->read] + ledger->value[way->write];
}

static bool is_used(const struct way *way, const struct report *r)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct listing *list = &r->lists[i];
		if (way_bytes(way, &list->self.ledger))
			return true;
		for (size_t f = 0; f < shown(r, list); f++)
			if (way_bytes(way, &list->files[f].ledger))
				return true;
	}
	return false;
}

/* If the counter is a read.WAY_bytes with its write.WAY_bytes, the way. */
static bool way_of_counter(enum control_counter id, struct way *way)
{
	char name[64];
	const char *read_name = control_counter_name(id);
	size_t len = strlen(read_name);
	if (strncmp(read_name, "read.", 5) != 0 || len < 12 || strcmp(read_name + len - 6, "_bytes") != 0)
		return false;
	int write_len = snprintf(name, sizeof(name), "write.%s", read_name + 5);
	way->name = read_name + 5;
	way->name_len = len - 5 - 6;
	way->read = id;
	way->write = control_counter_find(name, (size_t)write_len);
	return way->write != CONTROL_COUNT;
}

/* splice, copy and direct always; the others of counters.def where bytes went that way. */
static void choose_ways(struct report *r)
{
	for (unsigned id = 0; id < CONTROL_COUNT && r->way_count < WAYS_MAX; id++) {
		struct way way;
		if (way_of_counter((enum control_counter)id, &way) &&
		    (is_basic(&way) || is_used(&way, r)))
			r->ways[r->way_count++] = way;
	}
}

/* ---- the table ---- */

static int add_heading(struct table *t, const struct report *r)
{
	static const char *const names[] = {"PATH", "READS", "READ", "WRITES", "WRITTEN"};
	int err = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !err; i++)
		err = table_add(t, names[i]);
	for (size_t i = 0; i < r->way_count && !err; i++) {
		char name[32] = "";
		for (size_t c = 0; c < r->ways[i].name_len && c + 1 < sizeof(name); c++) {
			char letter = r->ways[i].name[c];
			name[c] = letter >= 'a' && letter <= 'z' ? (char)(letter - 32) : letter;
		}
		err = table_add(t, name);
	}
	return err ? err : table_add(t, "COPIES/B");
}

static int add_row(struct table *t, const struct report *r, const struct listing_entry *entry,
		   const char *path)
{
	const uint64_t *value = entry->ledger.value;
	uint64_t bytes = listing_bytes(&entry->ledger);
	char ratio[32] = "-";
	if (bytes)
		snprintf(ratio, sizeof(ratio), "%.2f",
			 (double)value[CONTROL_COPY_TOTAL_BYTES] / (double)bytes);
	int err = table_add(t, path);
	if (!err)
		err = table_add_number(t, value[CONTROL_READ_OPS], false, r->is_exact);
	if (!err)
		err = table_add_number(t, value[CONTROL_READ_BYTES], true, r->is_exact);
	if (!err)
		err = table_add_number(t, value[CONTROL_WRITE_OPS], false, r->is_exact);
	if (!err)
		err = table_add_number(t, value[CONTROL_WRITE_BYTES], true, r->is_exact);
	for (size_t i = 0; i < r->way_count && !err; i++)
		err = table_add_number(t, way_bytes(&r->ways[i], &entry->ledger), true, r->is_exact);
	return err ? err : table_add(t, ratio);
}

/* The rows of one PATH. 0 or -ENOMEM. */
static int add_listing(struct table *t, const struct report *r, const struct listing *list)
{
	char AUTO_FREE *title = NULL;
	int err = 0;
	if (shows_self(list)) {
		const char *suffix = is_mount(list) ? " (whole mount)" : "";
		if (asprintf(&title, "%s%s", list->self.path, suffix) < 0) {
			title = NULL;
			return -ENOMEM;
		}
		err = add_row(t, r, &list->self, title);
	}
	for (size_t i = 0; i < shown(r, list) && !err; i++)
		err = add_row(t, r, &list->files[i], list->files[i].path);
	return err;
}

/* What the table leaves out. */
static void print_left_out(const struct report *r, const struct listing *list)
{
	size_t more = list->count - shown(r, list);
	if (more)
		printf("%s: %zu more file%s with I/O, %zu without left out\n", list->self.path,
		       more, more == 1 ? "" : "s", list->idle);
	else if (list->idle)
		printf("%s: %zu file%s without I/O left out\n", list->self.path, list->idle,
		       list->idle == 1 ? "" : "s");
	else if (!list->count && is_directory(list))
		printf("%s: no files with I/O\n", list->self.path);
}

static int print_table(struct report *r)
{
	struct table t = {0};
	choose_ways(r);
	t.columns = 6 + r->way_count;
	int err = add_heading(&t, r);
	size_t heading = t.count;
	for (size_t i = 0; i < r->count && !err; i++)
		err = add_listing(&t, r, &r->lists[i]);
	if (!err && t.count > heading)
		table_print(&t);
	table_fini(&t);
	for (size_t i = 0; i < r->count && !err; i++)
		if (r->lists[i].self.path)
			print_left_out(r, &r->lists[i]);
	return err;
}

/* ---- JSON ---- */

static void print_entry(const struct listing_entry *entry)
{
	fputs("{\"file\": ", stdout);
	json_write_string(stdout, entry->path);
	if (!json_is_utf8(entry->path)) {
		fputs(", \"file_hex\": \"", stdout);
		for (const char *c = entry->path; *c; c++)
			printf("%02x", (unsigned)(unsigned char)*c);
		putchar('"');
	}
	printf(", \"stats\": %.*s", (int)(strrchr(entry->json, '}') + 1 - entry->json), entry->json);
}

static void print_json(const struct report *r)
{
	const char *comma = "";
	putchar('[');
	for (size_t i = 0; i < r->count; i++) {
		const struct listing *list = &r->lists[i];
		if (!list->self.path)
			continue;
		fputs(comma, stdout);
		print_entry(&list->self);
		comma = ",\n";
		if (is_directory(list)) {
			fputs(", \"files\": [", stdout);
			for (size_t f = 0; f < shown(r, list); f++) {
				fputs(f ? ",\n" : "\n", stdout);
				print_entry(&list->files[f]);
				putchar('}');
			}
			printf("], \"more_files\": %zu, \"idle_files\": %zu, \"skipped_files\": %zu",
			       list->count - shown(r, list), list->idle, list->skipped);
		}
		putchar('}');
	}
	puts("]");
}

/* ---- the command ---- */

/* Fills r->lists; what cannot be looked at is told on stderr. The worst exit status. */
static int look(struct report *r, char **paths, bool is_json)
{
	int worst = STATUS_OK;
	for (size_t i = 0; i < r->count; i++) {
		struct listing *list = &r->lists[i];
		list->keep_json = is_json;
		int err = listing_fill(list, paths[i]);
		if (err) {
			int status = control_complain("stat", paths[i], err);
			worst = status > worst ? status : worst;
			listing_fini(list);
		} else if (list->skipped) {
			cli_error("stat", "%s: %zu files or directories below it could not be looked at",
				  paths[i], list->skipped);
			worst = STATUS_FAILED > worst ? STATUS_FAILED : worst;
		}
	}
	return worst;
}

/* r says what to show and how. */
static int stat_paths(struct report r, char **paths, bool is_json)
{
	int err = 0;
	r.lists = calloc(r.count, sizeof(*r.lists));
	if (!r.lists) {
		cli_error("stat", "out of memory");
		return STATUS_FAILED;
	}
	int status = look(&r, paths, is_json);
	if (is_json)
		print_json(&r);
	else
		err = print_table(&r);
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = -errno;
	for (size_t i = 0; i < r.count; i++)
		listing_fini(&r.lists[i]);
	free(r.lists);
	if (!err)
		return status;
	cli_error("stat", "cannot write the result: %s", strerror(-err));
	return STATUS_FAILED;
}

/* "12" into *out; false for anything but a whole number from 0. */
static bool parse_count(const char *text, size_t *out)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	*out = n;
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

int cmd_stat(int argc, char **argv)
{
	static const struct option longs[] = {
		{"bytes", no_argument, NULL, 'b'},
		{"top", required_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct report r = {.most = SIZE_MAX};
	bool is_json = false;
	for (int opt; (opt = cli_getopt("stat", argc, argv, ":bjn:h", longs)) != -1;) {
		switch (opt) {
		case 'b':
			r.is_exact = true;
			break;
		case 'n':
			if (parse_count(optarg, &r.most))
				break;
			cli_error("stat", "-n takes a whole number, not '%s'", optarg);
			return STATUS_BAD_INPUT;
		case 'j':
			is_json = true;
			break;
		case 'h':
			print_help();
			return STATUS_OK;
		default:
			return STATUS_BAD_INPUT;
		}
	}
	if (optind == argc) {
		cli_error("stat", "it takes at least one PATH: 'zcfs stat --help' shows how");
		return STATUS_BAD_INPUT;
	}
	r.count = (size_t)(argc - optind);
	return stat_paths(r, argv + optind, is_json);
}
