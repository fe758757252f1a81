/*
 * pg: PostgreSQL's clock-sweep. A page begins with one use and gathers up to five; the hand takes one off each page that it passes
 * and evicts one that has none left. (PostgreSQL, src/backend/storage/buffer/README, "Normal Buffer Replacement Strategy", and
 * BM_MAX_USAGE_COUNT.) PostgreSQL keeps scans off its pool by rings of their own, which are not part of this.
 */
#include "pool/evict_sweep.h"

enum { USES_MAX = 5, USES_NEW = 1 };

static int pg_init(struct evict *e)
{
	return sweep_init(e, USES_MAX, USES_NEW);
}

const struct evict_ops evict_pg_ops = {
	.name = "pg",
	.summary = "PostgreSQL's clock-sweep: five chances for pages in use, hits without a lock",
	.has_lockfree_hit = true,
	.init = pg_init,
	.fini = sweep_fini,
	.hit = sweep_hit,
	.insert = sweep_insert,
	.victim = sweep_victim,
	.remove = sweep_remove,
	.lists = sweep_lists,
};
