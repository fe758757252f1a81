/*
 * options_parse() with any text behind -o. What it accepts is within the documented ranges and means the same to libfuse's own
 * parser; what it refuses leaves nothing behind but one line that says why.
 *
 *	input:  [size of the buffer for that line] TEXT, optionally NUL and a path for the rules
 */
#include "options.h"

#include <ctype.h>
#include <fuse_opt.h>

#include "base/glob.h"
#include "input.h"

#define MIB (1024ULL * 1024)

static void check_refused(const struct options *o, int rc, const char *err, size_t err_bytes)
{
	REQUIRE(rc == -EINVAL || rc == -ENOMEM, "%d", rc);
	REQUIRE(!o->fuse && !o->rules && o->rules_count == 0 && o->threads == 0, "something is left");
	if (err_bytes == 0)
		return;
	REQUIRE(memchr(err, '\0', err_bytes), "the line does not end");
	REQUIRE(err_bytes < 2 || *err, "refused without a word");
	for (; *err; err++)
		REQUIRE(!iscntrl((unsigned char)*err), "more than a line: %#x", (unsigned char)*err);
}

static void check_accepted(const struct options *o)
{
	REQUIRE(o->path < PATH_ID_COUNT, "path %d", (int)o->path);
	REQUIRE(o->cache == CACHE_KERNEL || o->cache == CACHE_NONE, "cache %d", (int)o->cache);
	REQUIRE(o->max_io_bytes >= 4096 && o->max_io_bytes <= MIB && o->max_io_bytes % 4096 == 0,
		"max_io %llu", (unsigned long long)o->max_io_bytes);
	REQUIRE(o->threads >= 1 && o->threads <= 256, "threads %u", o->threads);
	REQUIRE(o->attr_timeout_s >= 0 && o->attr_timeout_s <= 1e9, "attr_timeout %f", o->attr_timeout_s);
	REQUIRE(o->entry_timeout_s >= 0 && o->entry_timeout_s <= 1e9, "entry_timeout %f",
		o->entry_timeout_s);
	REQUIRE(o->readahead_bytes <= 64 * MIB && o->readahead_bytes % 4096 == 0, "readahead %llu",
		(unsigned long long)o->readahead_bytes);
	REQUIRE(o->ledger_files >= 1 && o->ledger_files <= 16 * MIB, "ledger_files %llu",
		(unsigned long long)o->ledger_files);
	REQUIRE(!(o->allow_root && o->allow_other), "a contradiction");
	for (size_t i = 0; i < o->rules_count; i++) {
		const char *why = glob_error(o->rules[i].glob);
		REQUIRE(!why, "the glob of rule %zu %s", i, why);
		REQUIRE(o->rules[i].path < PATH_ID_COUNT, "rule %zu", i);
	}
}

/* The words as libfuse reads them, escaped again. */
struct words {
	char *text;
	size_t len;
};

/* fuse_opt_parse() hands every word over, for no option is declared. */
static int add_word(void *data, const char *word, int key, struct fuse_args *args)
{
	struct words *w = data;

	(void)args;
	if (key != FUSE_OPT_KEY_OPT)
		return 1;
	if (w->len > 0)
		w->text[w->len++] = ',';
	for (; *word; word++) {
		if (*word == ',' || *word == '\\')
			w->text[w->len++] = '\\';
		w->text[w->len++] = *word;
	}
	return 0;
}

static void check_libfuse_agrees(const char *fuse)
{
	static const struct fuse_opt none[] = {FUSE_OPT_END};
	struct words w = {.text = calloc(1, strlen(fuse) + 2)};
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

	REQUIRE(w.text, "no memory");
	if (*fuse) {
		REQUIRE(fuse_opt_add_arg(&args, "fuzz") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
				fuse_opt_add_arg(&args, fuse) == 0,
			"no memory");
		REQUIRE(fuse_opt_parse(&args, &w, none, add_word) == 0, "libfuse refuses %s", fuse);
	}
	REQUIRE(strcmp(w.text, fuse) == 0, "libfuse reads %s from %s", w.text, fuse);
	fuse_opt_free_args(&args);
	free(w.text);
}

/* What is handed on to libfuse is, as options, the same again. */
static void check_again(const char *fuse)
{
	struct options again;
	char err[256];

	REQUIRE(options_parse(&again, fuse, err, sizeof(err)) == 0, "%s: %s", fuse, err);
	REQUIRE(strcmp(again.fuse, fuse) == 0, "%s became %s", fuse, again.fuse);
	REQUIRE(again.rules_count == 0, "rules out of nothing");
	options_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = input_of(data, size);
	size_t err_bytes = input_u8(&in);
	char *text = input_rest(&in);
	const char *relpath = size > strlen(text) + 2 ? text + strlen(text) + 1 : "db/a.wal";
	char *err = malloc(err_bytes ? err_bytes : 1);
	struct options o;

	REQUIRE(err, "no memory");
	err[0] = '\0';
	int rc = options_parse(&o, text, err, err_bytes);
	if (rc < 0) {
		check_refused(&o, rc, err, err_bytes);
	} else {
		check_accepted(&o);
		REQUIRE(options_path_for(&o, relpath) < PATH_ID_COUNT, "%s", relpath);
		check_libfuse_agrees(o.fuse);
		check_again(o.fuse);
		options_free(&o);
	}
	free(err);
	free(text);
	return 0;
}
