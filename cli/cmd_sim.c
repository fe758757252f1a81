/*
 * zcfs sim: what a cache of so many pages would have hit over a trace, under the pool's policies and Belady's optimum. No mount, no
 * daemon: it runs the very policy code of the pool.
 *
 * JSON: {"references": N, "results": [{"policy", "pages", "hits", "misses", "hit_ratio"}, ...]}
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "json.h"
#include "opt.h"
#include "pool/cachesim.h"
#include "table.h"
#include "trace.h"

const char cmd_sim_summary[] = "run traces of page references through the pool's eviction policies";

enum { POLICIES_MAX = 32, PAGES_MAX = 24 };

#define OPT           "opt"
#define DEFAULT_PAGES "1000,2000,4000,8000,16000,32000,64000"

struct cell {
	struct cachesim *cache; /* NULL for opt */
	uint64_t hits;
};

struct sim {
	const struct evict_ops *policies[POLICIES_MAX]; /* NULL: opt */
	size_t n_policies;
	uint32_t pages[PAGES_MAX];
	size_t n_pages;
	struct cell *cells; /* n_pages for each policy */
	struct opt *opt; /* NULL if it is not asked for */
	uint64_t references;
	uint64_t page_bytes;
	bool is_json;
};

static void print_help(void)
{
	puts("usage: zcfs sim [--policy P[,P...]] [--pages N[,N...]] [--page-size SIZE] [--json] TRACE...\n"
	     "Prints what part of the references in each TRACE, one after the other, a cache of N pages would\n"
	     "have hit. A TRACE may be compressed by zstd or xz; '-' is standard input.\n\n"
	     "  -p, --policy P[,P...]  policies, of those below; all\n"
	     "  -n, --pages N[,N...]   sizes of the cache in pages; " DEFAULT_PAGES "\n"
	     "  -s, --page-size SIZE   of a page, for captures; as the capture says\n"
	     "  -j, --json             one JSON object with exact counts\n"
	     "  -h, --help             this text\n\n"
	     "A line of a TRACE is a page number, or 'START COUNT ...' as in the traces of the ARC paper, or, after\n"
	     "a first line '# zcfs capture 1 page_size=SIZE', 'R|W FILEID OFFSET LENGTH' in bytes.\n\n"
	     "Policies:");
	for (size_t i = 0; evict_at(i); i++)
		printf("  %-8s %s\n", evict_at(i)->name, evict_at(i)->summary);
	puts("  " OPT "      Belady's optimum, which knows the future: the bound for all others");
}

/* ---- arguments ---- */

static int add_policy(struct sim *s, const char *name)
{
	const struct evict_ops *ops = evict_find(name);
	if (!ops && strcmp(name, OPT) != 0) {
		char known[256] = "";
		size_t len = 0;
		for (size_t i = 0; evict_at(i) && len < sizeof(known); i++)
			len += (size_t)snprintf(known + len, sizeof(known) - len, "%s, ",
						evict_at(i)->name);
		cli_error("sim", "no policy '%s': there are %s%s", name, known, OPT);
		return STATUS_BAD_INPUT;
	}
	for (size_t i = 0; i < s->n_policies; i++)
		if (s->policies[i] == ops)
			return STATUS_OK;
	s->policies[s->n_policies++] = ops;
	return STATUS_OK;
}

static int add_pages(struct sim *s, const char *text)
{
	uint64_t pages;
	if (units_parse_uint(text, EVICT_CAPACITY_MAX, &pages) || pages == 0) {
		cli_error("sim", "--pages takes numbers of pages from 1 to %u, not '%s'",
			  EVICT_CAPACITY_MAX, text);
		return STATUS_BAD_INPUT;
	}
	for (size_t i = 0; i < s->n_pages; i++)
		if (s->pages[i] == pages)
			return STATUS_OK;
	if (s->n_pages == PAGES_MAX) {
		cli_error("sim", "--pages takes at most %d numbers", PAGES_MAX);
		return STATUS_BAD_INPUT;
	}
	s->pages[s->n_pages++] = (uint32_t)pages;
	return STATUS_OK;
}

/* Calls add() for each word between the commas. */
static int add_each(struct sim *s, int (*add)(struct sim *s, const char *word), const char *list)
{
	char *words = strdup(list);
	int status = words ? STATUS_OK : STATUS_FAILED;
	if (!words)
		cli_error("sim", "out of memory");
	for (char *next = words, *word; !status && (word = strsep(&next, ","));)
		status = add(s, word);
	free(words);
	return status;
}

static int set_page_size(struct sim *s, const char *text)
{
	uint64_t bytes;
	if (units_parse_size(text, &bytes) || bytes < 512 || bytes > 1U << 30 || (bytes & (bytes - 1))) {
		cli_error("sim", "--page-size takes a power of two from 512 to 1G, not '%s'", text);
		return STATUS_BAD_INPUT;
	}
	s->page_bytes = bytes;
	return STATUS_OK;
}

/* Whatever was not asked for. */
static int add_defaults(struct sim *s)
{
	int status = STATUS_OK;
	if (s->n_pages == 0)
		status = add_each(s, add_pages, DEFAULT_PAGES);
	if (s->n_policies > 0)
		return status;
	for (size_t i = 0; evict_at(i); i++)
		s->policies[s->n_policies++] = evict_at(i);
	s->policies[s->n_policies++] = NULL;
	return status;
}

/* ---- the run ---- */

static struct cell *cell_at(const struct sim *s, size_t policy, size_t pages)
{
	return &s->cells[policy * s->n_pages + pages];
}

static const char *policy_name(const struct sim *s, size_t policy)
{
	return s->policies[policy] ? s->policies[policy]->name : OPT;
}

static int prepare(struct sim *s)
{
	int err = 0;
	s->cells = calloc(s->n_policies * s->n_pages, sizeof(*s->cells));
	if (!s->cells)
		return -ENOMEM;
	for (size_t p = 0; p < s->n_policies && !err; p++) {
		if (!s->policies[p])
			err = opt_new(&s->opt);
		for (size_t n = 0; s->policies[p] && n < s->n_pages && !err; n++)
			err = cachesim_new(s->policies[p], s->pages[n], &cell_at(s, p, n)->cache);
	}
	return err;
}

/* trace_read()'s: each cache in turn sees the whole batch, so that it stays in the processor's own. */
static int take_batch(void *ctx, const uint64_t *keys, size_t count)
{
	struct sim *s = ctx;
	s->references += count;
	for (size_t i = 0; i < s->n_policies * s->n_pages; i++)
		for (size_t k = 0; s->cells[i].cache && k < count; k++)
			(void)cachesim_access(s->cells[i].cache, keys[k]);
	return s->opt ? opt_add(s->opt, keys, count) : 0;
}

static int count_hits(struct sim *s)
{
	int err = 0;
	for (size_t p = 0; p < s->n_policies; p++)
		for (size_t n = 0; n < s->n_pages && !err; n++) {
			struct cell *cell = cell_at(s, p, n);
			if (cell->cache)
				cell->hits = cachesim_stats(cell->cache).hits;
			else
				err = opt_hits(s->opt, s->pages[n], &cell->hits);
		}
	return err;
}

static double hit_ratio(const struct sim *s, const struct cell *cell)
{
	return (double)cell->hits / (double)s->references;
}

static int print_table(const struct sim *s)
{
	struct table t = {.columns = 1 + s->n_pages};
	char text[32];
	int err = table_add(&t, "PAGES");
	for (size_t n = 0; n < s->n_pages && !err; n++)
		err = table_add_number(&t, s->pages[n], false, true);
	for (size_t p = 0; p < s->n_policies && !err; p++) {
		err = table_add(&t, policy_name(s, p));
		for (size_t n = 0; n < s->n_pages && !err; n++) {
			snprintf(text, sizeof(text), "%.2f", 100 * hit_ratio(s, cell_at(s, p, n)));
			err = table_add(&t, text);
		}
	}
	if (!err)
		table_print(&t);
	table_fini(&t);
	if (!err)
		printf("hits in percent of %" PRIu64 " page references\n", s->references);
	return err;
}

static void print_json(const struct sim *s)
{
	const char *comma = "";
	printf("{\"references\": %" PRIu64 ", \"results\": [", s->references);
	for (size_t p = 0; p < s->n_policies; p++)
		for (size_t n = 0; n < s->n_pages; n++) {
			const struct cell *cell = cell_at(s, p, n);
			printf("%s\n{\"policy\": ", comma);
			json_write_string(stdout, policy_name(s, p));
			printf(", \"pages\": %u, \"hits\": %" PRIu64 ", \"misses\": %" PRIu64
			       ", \"hit_ratio\": %.6f}",
			       s->pages[n], cell->hits, s->references - cell->hits, hit_ratio(s, cell));
			comma = ",";
		}
	puts("\n]}");
}

static void release(struct sim *s)
{
	for (size_t i = 0; s->cells && i < s->n_policies * s->n_pages; i++)
		cachesim_free(s->cells[i].cache);
	free(s->cells);
	opt_free(s->opt);
}

/* Prints what came out. An exit status. */
static int report(struct sim *s)
{
	if (s->references == 0) {
		cli_error("sim", "there is no page reference in what was given");
		return STATUS_BAD_INPUT;
	}
	int err = count_hits(s);
	if (!err && s->is_json)
		print_json(s);
	else if (!err)
		err = print_table(s);
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = -errno;
	if (err)
		cli_error("sim", "cannot %s: %s", err == -ENOMEM ? "go on" : "write the result",
			  strerror(-err));
	return err ? STATUS_FAILED : STATUS_OK;
}

static int run_traces(struct sim *s, char **paths, size_t count)
{
	struct trace_options options = {.page_bytes = s->page_bytes, .take = take_batch, .ctx = s};
	int err = prepare(s), status = STATUS_OK;
	if (err) {
		cli_error("sim", "cannot have so many caches of so many pages: %s", strerror(-err));
		return STATUS_FAILED;
	}
	for (size_t i = 0; i < count && !status; i++)
		status = trace_read("sim", paths[i], &options);
	return status ? status : report(s);
}

/* One option. -1 to go on, or the exit status. */
static int take_option(struct sim *s, int opt)
{
	int status = STATUS_OK;
	switch (opt) {
	case 'p':
		status = add_each(s, add_policy, optarg);
		break;
	case 'n':
		status = add_each(s, add_pages, optarg);
		break;
	case 's':
		status = set_page_size(s, optarg);
		break;
	case 'j':
		s->is_json = true;
		break;
	case 'h':
		print_help();
		return STATUS_OK;
	default:
		return STATUS_BAD_INPUT;
	}
	return status ? status : -1;
}

int cmd_sim(int argc, char **argv)
{
	static const struct option longs[] = {
		{"policy", required_argument, NULL, 'p'},
		{"pages", required_argument, NULL, 'n'},
		{"page-size", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct sim s = {0};
	for (int opt; (opt = cli_getopt("sim", argc, argv, ":p:n:s:jh", longs)) != -1;) {
		int status = take_option(&s, opt);
		if (status >= 0)
			return status;
	}
	if (optind == argc) {
		cli_error("sim", "it takes at least one TRACE: 'zcfs sim --help' shows how");
		return STATUS_BAD_INPUT;
	}
	int status = add_defaults(&s);
	if (!status)
		status = run_traces(&s, argv + optind, (size_t)(argc - optind));
	release(&s);
	return status;
}
