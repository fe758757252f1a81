/*
 * A cache without pages: a hash table from keys to slots, as the pool has, and the policy. Slots that were never used come first,
 * then those that were freed, then victims.
 */
#include "pool/cachesim.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct cachesim {
	struct evict e;
	uint64_t *keys; /* of the slots; of a free one, the next free one */
	uint32_t *table; /* open addressing, a third of it empty: slot + 1, or 0 */
	uint32_t table_size;
	uint32_t fresh, free; /* the first slot never used; the first freed, or EVICT_NONE */
	struct cachesim_stats stats;
};

/* Sets up everything but the statistics. 0 or -ENOMEM, nothing held. */
static int fill_in(struct cachesim *c, const struct evict_ops *ops, uint32_t capacity)
{
	assert(capacity > 0 && capacity <= EVICT_CAPACITY_MAX);
	c->table_size = capacity + capacity / 2 + 1;
	c->fresh = 0;
	c->free = EVICT_NONE;
	c->stats.capacity = capacity;
	c->stats.resident = 0;
	c->keys = malloc(capacity * sizeof(*c->keys));
	c->table = calloc(c->table_size, sizeof(*c->table));
	int err = c->keys && c->table ? evict_init(&c->e, ops, capacity, NULL, NULL) : -ENOMEM;
	if (err) {
		free(c->keys);
		free(c->table);
	}
	return err;
}

int cachesim_new(const struct evict_ops *ops, uint32_t capacity, struct cachesim **out)
{
	struct cachesim *c = calloc(1, sizeof(*c));
	int err = c ? fill_in(c, ops, capacity) : -ENOMEM;
	if (err) {
		free(c);
		c = NULL;
	}
	*out = c;
	return err;
}

static void empty_out(struct cachesim *c)
{
	evict_fini(&c->e);
	free(c->keys);
	free(c->table);
}

void cachesim_free(struct cachesim *c)
{
	if (c)
		empty_out(c);
	free(c);
}

void cachesim_set_clock(struct cachesim *c, uint64_t (*now_ms)(void *ctx), void *ctx)
{
	c->e.now_ms = now_ms;
	c->e.ctx = ctx;
}

static uint32_t home_of(const struct cachesim *c, uint64_t key)
{
	/* Keys may be plain page numbers: multiply, and take the upper half of what the halves make together. */
	__extension__ unsigned __int128 product = (unsigned __int128)key * 0x9e3779b97f4a7c15U;
	uint64_t hash = (uint64_t)product ^ (uint64_t)(product >> 64);
	return (uint32_t)((hash >> 32) * c->table_size >> 32);
}

static uint32_t next_place(const struct cachesim *c, uint32_t place)
{
	return place + 1 < c->table_size ? place + 1 : 0;
}

/* Where the key is in the table, or the empty place where it would go. */
static uint32_t find_place(const struct cachesim *c, uint64_t key)
{
	uint32_t place = home_of(c, key);
	while (c->table[place] && c->keys[c->table[place] - 1] != key)
		place = next_place(c, place);
	return place;
}

/* Empties a place of the table and moves back what had to go past it. */
static void clear_place(struct cachesim *c, uint32_t gap)
{
	for (uint32_t place = next_place(c, gap); c->table[place]; place = next_place(c, place)) {
		uint32_t home = home_of(c, c->keys[c->table[place] - 1]);
		bool is_past = gap < place ? home <= gap || home > place : home <= gap && home > place;
		if (!is_past)
			continue;
		c->table[gap] = c->table[place];
		gap = place;
	}
	c->table[gap] = 0;
}

static uint32_t take_free(struct cachesim *c)
{
	uint32_t slot = c->free;
	if (slot == EVICT_NONE)
		return c->fresh < c->stats.capacity ? c->fresh++ : EVICT_NONE;
	c->free = (uint32_t)c->keys[slot];
	return slot;
}

/* A slot for the page: a free one, or a victim's, whose key leaves the table. */
static uint32_t take_slot(struct cachesim *c, uint64_t key)
{
	uint32_t slot = take_free(c);
	if (slot != EVICT_NONE) {
		c->stats.resident++;
		return slot;
	}
	slot = c->e.ops->victim(&c->e, key);
	assert(slot < c->stats.capacity);
	clear_place(c, find_place(c, c->keys[slot]));
	return slot;
}

bool cachesim_access(struct cachesim *c, uint64_t key)
{
	uint32_t place = find_place(c, key);
	if (c->table[place]) {
		c->e.ops->hit(&c->e, c->table[place] - 1);
		c->stats.hits++;
		return true;
	}
	uint32_t slot = take_slot(c, key);
	c->keys[slot] = key;
	c->table[find_place(c, key)] = slot + 1;
	c->e.ops->insert(&c->e, slot, key);
	c->stats.misses++;
	return false;
}

void cachesim_remove(struct cachesim *c, uint64_t key)
{
	uint32_t place = find_place(c, key);
	if (!c->table[place])
		return;
	uint32_t slot = c->table[place] - 1;
	c->e.ops->remove(&c->e, slot);
	clear_place(c, place);
	c->keys[slot] = c->free;
	c->free = slot;
	c->stats.resident--;
}

int cachesim_resize(struct cachesim *c, uint32_t capacity)
{
	struct cachesim old = *c;
	int err = fill_in(c, old.e.ops, capacity);
	if (err) {
		*c = old;
		return err;
	}
	c->e.now_ms = old.e.now_ms;
	c->e.ctx = old.e.ctx;
	for (uint32_t left = old.stats.resident; left > 0; left--) {
		uint32_t slot = old.e.ops->victim(&old.e, 0);
		assert(slot < old.stats.capacity);
		if (left <= capacity)
			(void)cachesim_access(c, old.keys[slot]);
	}
	c->stats.misses = old.stats.misses; /* bringing them over was none */
	empty_out(&old);
	return 0;
}

struct cachesim_stats cachesim_stats(const struct cachesim *c)
{
	return c->stats;
}
