/*
 * zcfs pool: shows a mount's buffer pool, and flushes, drops or resizes it. Owns the form for people; the JSON is the daemon's.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "base/units.h"
#include "control.h"
#include "fs/wire.h"
#include "json.h"

const char cmd_pool_summary[] = "show a mount's buffer pool; flush, drop or resize it";

enum { TEXT_BYTES = 24, LINE_BYTES = 512 };

static void print_help(void)
{
	puts("usage: zcfs pool stat MOUNTPOINT [--json]\n"
	     "       zcfs pool flush|drop PATH...\n"
	     "       zcfs pool resize MOUNTPOINT SIZE\n"
	     "The buffer pool of a mount with path=pool.\n\n"
	     "  stat    show its frames by state, the policy's lists, flusher and read-ahead\n"
	     "  flush   write the dirty pages of each PATH, a file, or the mountpoint for all files\n"
	     "  drop    flush, then forget the pages that nobody uses just now: the next reads come from\n"
	     "          the backing, as after a change underneath\n"
	     "  resize  give it SIZE bytes, as 512M; what still fits stays\n\n"
	     "  -j, --json  stat prints one JSON object, as user.zcfs.pool has it\n"
	     "  -h, --help  this text\n\n"
	     "Hits and misses are of pages, since the mount or 'zcfs reset'; a file's are in its ledger.");
}

/* ---- stat ---- */

enum form { COUNT, SIZE, MILLISECONDS, WORD };

/* What is shown, line by line. */
static const struct item {
	const char *line, *key, *label;
	enum form form;
} items[] = {
	{"", "size_bytes", "", SIZE}, /* the first five make the heading */
	{"", "frames", "", COUNT},
	{"", "page_bytes", "", SIZE},
	{"", "policy", "", WORD},
	{"", "write", "", WORD},
	{"frames", "frames_free", "free", COUNT},
	{"frames", "frames_clean", "clean", COUNT},
	{"frames", "frames_dirty", "dirty", COUNT},
	{"frames", "frames_busy", "busy", COUNT},
	{"frames", "frames_pinned", "pinned", COUNT},
	{"pages", "hits", "hits", COUNT},
	{"pages", "misses", "misses", COUNT},
	{"pages", "hit_ratio", "hit ratio", WORD},
	{"pages", "evictions", "evictions", COUNT},
	{"flusher", "flush_ops", "writes", COUNT},
	{"flusher", "flush_bytes", "bytes", SIZE},
	{"flusher", "flush_errors", "errors", COUNT},
	{"flusher", "throttled_ops", "throttled", COUNT},
	{"flusher", "oldest_dirty_ms", "oldest dirty", MILLISECONDS},
	{"read-ahead", "readahead_bytes", "bytes", SIZE},
	{"read-ahead", "readahead_wasted_bytes", "wasted", SIZE},
	{"read-ahead", "readahead_queued", "queued", COUNT},
	{"verify", "verify", "when", WORD},
	{"verify", "verify_failures", "failures", COUNT},
	{"memory", "bytes_huge", "in huge pages", SIZE},
	{"memory", "files", "files", COUNT},
	{"memory", "shards", "shards", COUNT},
};

enum { ITEM_COUNT = sizeof(items) / sizeof(items[0]), HEADING_COUNT = 5 };

/* The object's members as they are shown. */
struct pool_texts {
	char text[ITEM_COUNT][TEXT_BYTES];
	char lists[LINE_BYTES]; /* "small 10   main 91" */
	char ghosts[LINE_BYTES]; /* "lru 0.53   s3fifo 0.61" */
};

/* A row of "lists" or "ghosts": its name, its number, and the line they are added to. */
struct pair {
	char name[TEXT_BYTES], number[TEXT_BYTES];
	char *line;
};

static bool is_key(const char *key, size_t key_len, const char *other)
{
	return strlen(other) == key_len && memcmp(key, other, key_len) == 0;
}

/* A string without its quotes, or a number, as it stands. */
static void copy_word(const char *value, char out[TEXT_BYTES])
{
	bool is_string = *value == '"';
	size_t len = strcspn(value + is_string, is_string ? "\"\\" : ",]} \t\r\n");
	snprintf(out, TEXT_BYTES, "%.*s", (int)len, value + is_string);
}

static void format_value(const char *value, enum form form, char out[TEXT_BYTES])
{
	uint64_t n = strtoull(value, NULL, 10);
	switch (form) {
	case SIZE:
		units_format_size(n, out, TEXT_BYTES);
		break;
	case MILLISECONDS: /* an age; 0: there is nothing so old */
		if (n == 0) {
			memcpy(out, "none", sizeof("none"));
			break;
		}
		units_format_ns(n < UINT64_MAX / 1000000 ? n * 1000000 : UINT64_MAX, out, TEXT_BYTES);
		break;
	case COUNT:
	case WORD:
		copy_word(value, out);
		break;
	}
}

static void take_pair_member(const char *key, size_t key_len, const char *value, void *ctx)
{
	struct pair *pair = ctx;
	if (!key)
		return;
	if (is_key(key, key_len, "name") || is_key(key, key_len, "policy"))
		copy_word(value, pair->name);
	else if (is_key(key, key_len, "count") || is_key(key, key_len, "hit_ratio"))
		copy_word(value, pair->number);
}

static void take_pair(const char *key, size_t key_len, const char *value, void *line)
{
	struct pair pair = {.line = line};
	(void)key, (void)key_len;
	if (!json_each_inside(value, take_pair_member, &pair))
		return;
	size_t len = strlen(pair.line);
	snprintf(pair.line + len, LINE_BYTES - len, "%s%s %s", len ? "   " : "", pair.name, pair.number);
}

static void take_member(const char *key, size_t key_len, const char *value, void *ctx)
{
	struct pool_texts *texts = ctx;
	for (size_t i = 0; i < ITEM_COUNT; i++)
		if (is_key(key, key_len, items[i].key))
			format_value(value, items[i].form, texts->text[i]);
	if (is_key(key, key_len, "lists"))
		(void)json_each_inside(value, take_pair, texts->lists);
	else if (is_key(key, key_len, "ghosts"))
		(void)json_each_inside(value, take_pair, texts->ghosts);
}

static void print_texts(const struct pool_texts *texts)
{
	const char(*text)[TEXT_BYTES] = texts->text;
	const char *line = "";
	printf("%s in %s frames of %s, policy %s, write %s", text[0], text[1], text[2], text[3],
	       text[4]);
	for (size_t i = HEADING_COUNT; i < ITEM_COUNT; i++) {
		bool is_new = strcmp(line, items[i].line) != 0;
		line = items[i].line;
		if (is_new && strcmp(line, "pages") == 0 && *texts->lists)
			printf("\n  %-11s %s", "lists", texts->lists);
		if (is_new)
			printf("\n  %-11s ", line);
		printf("%s%s %s", is_new ? "" : "   ", items[i].label, text[i]);
	}
	putchar('\n');
	if (*texts->ghosts)
		printf("  %-11s %s\n", "ghosts", texts->ghosts);
}

/* 0 or -EPROTO. */
static int print_pool(const char *json, bool is_json)
{
	struct pool_texts texts = {0};
	for (size_t i = 0; i < ITEM_COUNT; i++)
		memcpy(texts.text[i], "-", 2); /* what the daemon does not tell */
	if (!json_each_member(json, take_member, &texts))
		return -EPROTO;
	if (is_json)
		fputs(json, stdout);
	else
		print_texts(&texts);
	return 0;
}

/* ---- the commands ---- */

struct request {
	bool is_json;
	char **paths;
	int count;
	char size[TEXT_BYTES]; /* resize's second operand in bytes; empty for the others */
};

static const struct verb {
	const char *name;
	const char *xattr;
	bool is_for_mount; /* takes a mountpoint, not files */
	const char *who; /* may do it */
} verbs[] = {
	{"stat", ZCFS_XATTR_POOL, true, "those who may read the mountpoint"},
	{"flush", ZCFS_XATTR_POOL_FLUSH, false, "root, and a file's owner with that file,"},
	{"drop", ZCFS_XATTR_POOL_DROP, false, "root, and a file's owner with that file,"},
	{"resize", ZCFS_XATTR_POOL_RESIZE, true, "root and who mounted it"},
};

enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

static int complain(const struct verb *verb, const char *path, int err)
{
	if (err == -EOPNOTSUPP) {
		cli_error("pool", "the mount of %s has no buffer pool: there was no memory for one", path);
		return STATUS_BAD_INPUT;
	}
	if (err != -EPERM && err != -EACCES)
		return control_complain("pool", path, err);
	cli_error("pool", "%s: %s: only %s may %s", path, strerror(-err), verb->who, verb->name);
	return STATUS_FAILED;
}

/* Whether the command can be about what is behind fd: 0, or -errno, or 1 after saying why not. */
static int check_target(const struct verb *verb, const char *path, int fd, char *buf)
{
	struct control_ledger ledger;
	ssize_t len = control_get(fd, ZCFS_XATTR_JSON, buf);
	if (len < 0)
		return (int)len;
	if (control_parse(buf, &ledger))
		return -EPROTO;
	bool is_mount = strcmp(ledger.title, "mount") == 0;
	if (verb->is_for_mount && !is_mount) {
		cli_error("pool", "%s is a %s on a zcfs mount: %s takes the mountpoint", path,
			  ledger.title, verb->name);
		return 1;
	}
	if (strcmp(ledger.title, "directory") != 0)
		return 0;
	cli_error("pool", "%s is a directory: %s takes files, or the mountpoint for all files",
		  path, verb->name);
	return 1;
}

static int show(int fd, const struct request *r, char *buf)
{
	ssize_t len = control_get(fd, ZCFS_XATTR_POOL, buf);
	if (len == -ENODATA) /* on the root it is the pool that is missing */
		return -EOPNOTSUPP;
	return len < 0 ? (int)len : print_pool(buf, r->is_json);
}

static int run_on(const struct verb *verb, const char *path, const struct request *r)
{
	int AUTO_FD fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return complain(verb, path, -errno);
	char AUTO_FREE *buf = malloc(CONTROL_VALUE_BYTES);
	int err = buf ? check_target(verb, path, fd, buf) : -ENOMEM;
	if (err > 0)
		return STATUS_BAD_INPUT;
	if (err == 0 && strcmp(verb->xattr, ZCFS_XATTR_POOL) == 0)
		err = show(fd, r, buf);
	else if (err == 0)
		err = control_set(fd, verb->xattr, *r->size ? r->size : "1");
	if (err == -EINVAL && *r->size) {
		cli_error("pool",
			  "%s: a pool cannot have %s bytes: it needs a page at least, and the memory of the machine at most",
			  path, r->size);
		return STATUS_BAD_INPUT;
	}
	return err ? complain(verb, path, err) : STATUS_OK;
}

static int run_verb(const struct verb *verb, struct request *r)
{
	uint64_t size_bytes;
	bool is_resize = strcmp(verb->name, "resize") == 0;
	int wanted = is_resize ? 2 : 1;
	if (r->count < wanted || (verb->is_for_mount && r->count > wanted)) {
		cli_error("pool", "%s takes %s: 'zcfs pool --help' shows how", verb->name,
			  is_resize            ? "a MOUNTPOINT and a SIZE"
			  : verb->is_for_mount ? "one MOUNTPOINT"
					       : "at least one PATH");
		return STATUS_BAD_INPUT;
	}
	if (is_resize) {
		if (units_parse_size(r->paths[1], &size_bytes)) {
			cli_error("pool", "'%s' is not a size: write it as 512M or 2G", r->paths[1]);
			return STATUS_BAD_INPUT;
		}
		snprintf(r->size, sizeof(r->size), "%" PRIu64, size_bytes);
		r->count = 1;
	}
	int worst = STATUS_OK;
	for (int i = 0; i < r->count; i++) {
		int status = run_on(verb, r->paths[i], r);
		worst = status > worst ? status : worst;
	}
	if (fflush(stdout) || ferror(stdout)) {
		cli_error("pool", "cannot write the result: %s", strerror(errno));
		return STATUS_FAILED;
	}
	return worst;
}

static const struct verb *find_verb(const char *word)
{
	struct suggestion near = suggest_start(word, strlen(word));
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(word, verbs[i].name) == 0)
			return &verbs[i];
		suggest_offer(&near, verbs[i].name, strlen(verbs[i].name));
	}
	if (near.nearest)
		cli_error("pool", "unknown command '%s': did you mean '%s'?", word, near.nearest);
	else
		cli_error("pool", "unknown command '%s': it has stat, flush, drop and resize", word);
	return NULL;
}

int cmd_pool(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct request r = {0};
	for (int opt; (opt = cli_getopt("pool", argc, argv, ":jh", longs)) != -1;) {
		if (opt == 'h') {
			print_help();
			return STATUS_OK;
		}
		if (opt != 'j')
			return STATUS_BAD_INPUT;
		r.is_json = true;
	}
	if (optind == argc) {
		cli_error("pool", "it takes stat, flush, drop or resize: 'zcfs pool --help' shows how");
		return STATUS_BAD_INPUT;
	}
	const struct verb *verb = find_verb(argv[optind]);
	if (!verb)
		return STATUS_BAD_INPUT;
	if (r.is_json && strcmp(verb->name, "stat") != 0) {
		cli_error("pool", "--json is for stat: %s prints nothing", verb->name);
		return STATUS_BAD_INPUT;
	}
	r.paths = argv + optind + 1;
	r.count = argc - optind - 1;
	return run_verb(verb, &r);
}
