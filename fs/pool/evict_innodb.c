/*
 * innodb: MySQL InnoDB's midpoint-insertion LRU. (MySQL 8.0 Reference Manual, 17.8.3.3 "Making the Buffer Pool Scan Resistant";
 * storage/innobase/buf/buf0lru.cc, and buf_page_peek_if_young() and buf_page_peek_if_too_old() in buf0buf.ic.)
 *
 *	newest [ young, 5/8 ............... ][ old, 3/8 .......... ] oldest --> gone
 *	        ^                             ^ new pages
 *	        +-- used, and not in the first quarter; old ones a second after they came --
 *
 * As there, nothing moves before the first eviction. Otherwise than there: the halves are exact, not within 20 pages, and there is
 * no least length (512 pages), because a shard of the pool may be smaller.
 */
#include <errno.h>

#include "pool/evict_slots.h"

enum { OLD_EIGHTHS = 3, OLD_BLOCKS_TIME_MS = 1000 };

struct innodb {
	struct slot_lists lru;
	struct page {
		uint32_t came_ms; /* modulo 2^32 */
		uint32_t renewed_at; /* evictions there had been when it became the newest, modulo 2^32 */
	} * pages;
	bool *is_old;
	uint32_t old_head, old_count; /* the newest of the old, EVICT_NONE if there are none */
	uint32_t evictions; /* modulo 2^32 */
	bool has_evicted;
};

static void innodb_free(struct innodb *n)
{
	slots_fini(&n->lru);
	free(n->pages);
	free(n->is_old);
	free(n);
}

static int innodb_init(struct evict *e)
{
	struct innodb *n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->old_head = EVICT_NONE;
	n->pages = calloc(e->capacity, sizeof(*n->pages));
	n->is_old = calloc(e->capacity, sizeof(*n->is_old));
	int err = n->pages && n->is_old ? slots_init(&n->lru, e->capacity) : -ENOMEM;
	if (err)
		innodb_free(n);
	else
		e->state = n;
	return err;
}

static void innodb_fini(struct evict *e)
{
	if (e->state)
		innodb_free(e->state);
}

static uint32_t now_ms(const struct evict *e)
{
	return e->now_ms ? (uint32_t)e->now_ms(e->ctx) : 0;
}

/* Moves the boundary until three eighths are old: by a page or two. */
static void balance(struct innodb *n)
{
	uint32_t wanted = (uint32_t)((uint64_t)n->lru.list[0].count * OLD_EIGHTHS / 8);
	while (n->old_count < wanted) {
		n->old_head = n->old_head == EVICT_NONE ? slots_oldest(&n->lru, 0)
							: slots_newer(&n->lru, n->old_head);
		n->is_old[n->old_head] = true;
		n->old_count++;
	}
	while (n->old_count > wanted) {
		n->is_old[n->old_head] = false;
		n->old_head = slots_older(&n->lru, n->old_head);
		n->old_count--;
	}
}

static void take(struct innodb *n, uint32_t slot)
{
	if (n->old_head == slot)
		n->old_head = slots_older(&n->lru, slot);
	n->old_count -= n->is_old[slot];
	n->is_old[slot] = false;
	slots_take(&n->lru, 0, slot);
}

/* A quarter of the young pages: one that was renewed fewer evictions ago is still among the first. */
static uint32_t first_quarter(const struct evict *e)
{
	return (uint32_t)((uint64_t)e->capacity * (8 - OLD_EIGHTHS) / 8 / 4);
}

static void innodb_hit(struct evict *e, uint32_t slot)
{
	struct innodb *n = e->state;
	if (!slots_has(&n->lru, slot) || !n->has_evicted)
		return;
	const struct page *page = &n->pages[slot];
	if (n->is_old[slot] && e->now_ms && now_ms(e) - page->came_ms < OLD_BLOCKS_TIME_MS)
		return;
	if (!n->is_old[slot] && n->evictions - page->renewed_at < first_quarter(e))
		return;
	take(n, slot);
	slots_add(&n->lru, 0, slot);
	n->pages[slot].renewed_at = n->evictions;
	balance(n);
}

static void innodb_insert(struct evict *e, uint32_t slot, uint64_t key)
{
	(void)key;
	struct innodb *n = e->state;
	n->pages[slot] = (struct page){
		.came_ms = now_ms(e), .renewed_at = n->evictions - first_quarter(e), /* not of late */
	};
	if (n->old_head == EVICT_NONE) {
		slots_add(&n->lru, 0, slot);
	} else {
		slots_add_after(&n->lru, 0, slot, n->old_head);
		n->is_old[slot] = true;
		n->old_count++;
	}
	balance(n);
}

static uint32_t innodb_victim(struct evict *e, uint64_t incoming_key)
{
	(void)incoming_key;
	struct innodb *n = e->state;
	uint32_t slot = slots_claim(&n->lru, 0, e);
	if (slot == EVICT_NONE)
		return slot;
	take(n, slot);
	balance(n);
	n->evictions++;
	n->has_evicted = true;
	return slot;
}

static void innodb_remove(struct evict *e, uint32_t slot)
{
	struct innodb *n = e->state;
	if (!slots_has(&n->lru, slot))
		return;
	take(n, slot);
	balance(n);
}

static size_t innodb_lists(const struct evict *e, struct evict_list *out)
{
	const struct innodb *n = e->state;
	out[0] = (struct evict_list){"young", n->lru.list[0].count - n->old_count};
	out[1] = (struct evict_list){"old", n->old_count};
	return 2;
}

const struct evict_ops evict_innodb_ops = {
	.name = "innodb",
	.summary = "InnoDB's LRU: new pages enter at its midpoint and go unless they are used a second later",
	.is_scan_resistant = true,
	.init = innodb_init,
	.fini = innodb_fini,
	.hit = innodb_hit,
	.insert = innodb_insert,
	.victim = innodb_victim,
	.remove = innodb_remove,
	.lists = innodb_lists,
};
