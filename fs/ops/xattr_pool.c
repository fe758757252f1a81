/*
 * The buffer pool by hand. Finds a file's pages by its ledger, not by its opens: the pool keeps the ledger while it has pages of
 * the file, so that what nobody has open can be flushed and dropped as well. Any worker; no state of its own.
 */
#include "ops/xattr_pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "pool/pool.h"
#include "wire.h"

static bool is_name(const char *name, const char *other)
{
	return strcmp(name, other) == 0;
}

bool xattr_pool_is(const char *name)
{
	return is_name(name, ZCFS_XATTR_POOL) || is_name(name, ZCFS_XATTR_POOL_FLUSH) ||
	       is_name(name, ZCFS_XATTR_POOL_DROP) || is_name(name, ZCFS_XATTR_POOL_RESIZE);
}

/* ---- reading ---- */

static void put_number(FILE *f, const char *key, uint64_t value)
{
	fprintf(f, ", \"%s\": %" PRIu64, key, value);
}

/* The ledgers count pages that requests asked for, the pool does not. */
static void put_hits(FILE *f, uint64_t hits, uint64_t misses)
{
	double asked = (double)hits + (double)misses;
	/* Integers only, so that no locale changes the point. */
	unsigned ratio = asked > 0 ? (unsigned)((double)hits * 10000 / asked + 0.5) : 0;

	put_number(f, "hits", hits);
	put_number(f, "misses", misses);
	fprintf(f, ", \"hit_ratio\": %u.%04u", ratio / 10000, ratio % 10000);
}

static void put_activity(FILE *f, const struct pool_stats *s)
{
	put_number(f, "evictions", s->evictions);
	put_number(f, "verify_failures", s->verify_failures);
	put_number(f, "flush_ops", s->flush_ops);
	put_number(f, "flush_bytes", s->flush_bytes);
	put_number(f, "flush_errors", s->flush_errors);
	put_number(f, "throttled_ops", s->throttled_ops);
	put_number(f, "oldest_dirty_ms", s->oldest_dirty_ms);
	put_number(f, "readahead_bytes", s->readahead_bytes);
	put_number(f, "readahead_wasted_bytes", s->readahead_wasted_bytes);
	put_number(f, "readahead_queued", s->readahead_queued);
}

static void put_ghosts(FILE *f, struct ghost *ghost)
{
	char AUTO_FREE *text = ghost ? ghost_render_json(ghost) : NULL;
	fprintf(f, ", \"ghosts\": %s", text ? text : "[]");
}

static void put_pool(FILE *f, const struct pool_stats *s, const struct counters_snapshot *sums)
{
	fprintf(f, "{\"policy\": \"%s\", \"write\": \"%s\", \"verify\": \"%s\"", s->policy,
		s->is_write_back ? "back" : "through", s->verify);
	put_number(f, "page_bytes", s->page_bytes);
	put_number(f, "size_bytes", s->frames * s->page_bytes);
	put_number(f, "bytes_huge", s->bytes_huge);
	put_number(f, "frames", s->frames);
	put_number(f, "frames_free", s->frames_free);
	put_number(f, "frames_clean", s->frames_clean);
	put_number(f, "frames_dirty", s->frames_dirty);
	put_number(f, "frames_busy", s->frames_busy);
	put_number(f, "frames_pinned", s->frames_pinned);
	put_number(f, "files", s->files);
	put_number(f, "shards", s->shards);
	put_hits(f, sums->sum[CTR_POOL_HITS], sums->sum[CTR_POOL_MISSES]);
	put_activity(f, s);
	fputs(", \"lists\": [", f);
	for (size_t i = 0; i < s->lists; i++)
		fprintf(f, "%s{\"name\": \"%s\", \"count\": %" PRIu64 "}", i ? ", " : "",
			s->list[i].name, s->list[i].count);
	fputs("]", f);
}

static char *render_pool(struct fs *fs)
{
	struct pool_stats stats = {0};
	struct counters_snapshot sums;
	char *text = NULL;
	size_t len_bytes = 0;
	FILE *f = open_memstream(&text, &len_bytes);

	if (!f)
		return NULL;
	pool_stat(fs->pool, &stats);
	ledger_totals(fs->ledgers, &sums, NULL);
	put_pool(f, &stats, &sums);
	put_ghosts(f, fs->ghost);
	fputs("}\n", f);
	bool is_bad = ferror(f);
	if (fclose(f) || is_bad) {
		free(text);
		return NULL;
	}
	return text;
}

static char *render_size(struct pool *pool)
{
	struct pool_stats stats = {0};
	char *text = NULL;

	pool_stat(pool, &stats);
	return asprintf(&text, "%" PRIu64, stats.frames * stats.page_bytes) < 0 ? NULL : text;
}

int xattr_pool_get(struct fs *fs, struct node *n, const char *name, char **out)
{
	bool is_state = is_name(name, ZCFS_XATTR_POOL) && fs->pool && n == fs->root;

	if (!is_state && !xattr_pool_is_writable(fs, n, name))
		return -ENODATA;
	if (is_state)
		*out = render_pool(fs);
	else if (is_name(name, ZCFS_XATTR_POOL_RESIZE))
		*out = render_size(fs->pool);
	else
		*out = strdup(""); /* it is listed, so getfattr -d must be able to read it */
	return *out ? 0 : -ENOMEM;
}

/* ---- setting ---- */

bool xattr_pool_is_writable(const struct fs *fs, const struct node *n, const char *name)
{
	bool is_either = is_name(name, ZCFS_XATTR_POOL_FLUSH) || is_name(name, ZCFS_XATTR_POOL_DROP);
	bool is_resize = is_name(name, ZCFS_XATTR_POOL_RESIZE);

	if (!fs->pool)
		return false;
	return n == fs->root ? is_either || is_resize : is_either && S_ISREG(n->type);
}

static int resize(struct fs *fs, const char *value, size_t value_bytes)
{
	char word[32];
	uint64_t size_bytes;

	if (value_bytes > 0 && value[value_bytes - 1] == '\n') /* echo's, by setfattr from a file */
		value_bytes--;
	if (value_bytes >= sizeof(word) || memchr(value, '\0', value_bytes))
		return -EINVAL;
	memcpy(word, value, value_bytes);
	word[value_bytes] = '\0';
	if (units_parse_size(word, &size_bytes))
		return -EINVAL;
	int rc = pool_resize(fs->pool, size_bytes);
	if (rc == 0 && fs->ghost && ghost_resize(fs->ghost, size_bytes / fs->opt.pool_page_bytes))
		log_warn("no memory to simulate the policies of pool_ghosts= for another pool size: they go on with the old one");
	return rc;
}

static int act_on_file(struct fs *fs, struct node *n, bool is_drop)
{
	struct ledger *ledger = node_ledger_find(fs->nodes, n);
	if (!ledger) /* then the pool has never seen it */
		return 0;
	struct pool_file *file = pool_file_get(fs->pool, fs->ledgers, ledger);
	if (!file)
		return -ENOMEM;
	int rc = is_drop ? pool_file_drop(file) : pool_file_flush(file);
	pool_file_put(file);
	return rc;
}

int xattr_pool_set(struct fs *fs, struct node *n, const char *name, const char *value, size_t value_bytes)
{
	bool is_drop = is_name(name, ZCFS_XATTR_POOL_DROP);

	if (is_name(name, ZCFS_XATTR_POOL_RESIZE))
		return resize(fs, value, value_bytes);
	if (n == fs->root)
		return is_drop ? pool_drop(fs->pool) : pool_flush(fs->pool);
	return act_on_file(fs, n, is_drop);
}
