/*
 * CLOCK: a hand goes round the slots; a page used since it last came by is passed over once, any other goes. (F. J. Corbato, "A
 * Paging Experiment with the Multics System", MIT Project MAC report MAC-M-384, 1968.)
 */
#include "pool/evict_sweep.h"

static int clock_init(struct evict *e)
{
	return sweep_init(e, 1, 0);
}

const struct evict_ops evict_clock_ops = {
	.name = "clock",
	.summary = "second chance: nearly LRU, hits without a lock",
	.has_lockfree_hit = true,
	.init = clock_init,
	.fini = sweep_fini,
	.hit = sweep_hit,
	.insert = sweep_insert,
	.victim = sweep_victim,
	.remove = sweep_remove,
	.lists = sweep_lists,
};
