/*
 * Each reference knows when its page is used next. The cache is a set of these times, one for each page in it: a reference at time t
 * hits if t is in the set, and the victim is the set's largest. The set is a tree of bits, 64 to a word:
 *
 *	level 1:  1 0 0 1 ...                  a bit is set if its word below has one
 *	level 0:  0110.. 0000.. 0000.. 0001..  a bit for each reference of the trace
 */
#include "opt.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { LEVELS_MAX = 6 };

#define NEVER UINT32_MAX

struct page {
	uint64_t key;
	uint64_t last; /* the number of its last reference, from 1; 0: no page here */
};

struct opt {
	uint32_t *next; /* of each reference: its page's next one, or NEVER */
	size_t count, capacity;
	struct page *pages; /* open addressing, half of it empty */
	size_t n_pages, table_size; /* a power of two */
};

struct times {
	uint64_t *level[LEVELS_MAX]; /* the last has one word */
	size_t levels;
};

/* ---- the trace ---- */

int opt_new(struct opt **out)
{
	struct opt *o = calloc(1, sizeof(*o));
	*out = o;
	if (!o)
		return -ENOMEM;
	o->table_size = 1024;
	o->pages = calloc(o->table_size, sizeof(*o->pages));
	if (o->pages)
		return 0;
	free(o);
	*out = NULL;
	return -ENOMEM;
}

void opt_free(struct opt *o)
{
	if (o) {
		free(o->next);
		free(o->pages);
	}
	free(o);
}

static struct page *find_page(struct page *table, size_t size, uint64_t key)
{
	uint64_t hash = key * 0x9e3779b97f4a7c15U;
	size_t place = (size_t)(hash ^ hash >> 32) & (size - 1);
	while (table[place].last && table[place].key != key)
		place = (place + 1) & (size - 1);
	return &table[place];
}

static int grow_pages(struct opt *o)
{
	size_t size = o->table_size * 2;
	struct page *table = calloc(size, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < o->table_size; i++)
		if (o->pages[i].last)
			*find_page(table, size, o->pages[i].key) = o->pages[i];
	free(o->pages);
	o->pages = table;
	o->table_size = size;
	return 0;
}

static int grow_next(struct opt *o)
{
	size_t capacity = o->capacity ? o->capacity * 2 : 65536;
	uint32_t *next = realloc(o->next, capacity * sizeof(*next));
	if (!next)
		return -ENOMEM;
	o->next = next;
	o->capacity = capacity;
	return 0;
}

static int add_one(struct opt *o, uint64_t key)
{
	int err = 0;
	if (o->count >= NEVER - 1)
		return -EFBIG;
	if (o->count == o->capacity)
		err = grow_next(o);
	if (!err && o->n_pages * 2 >= o->table_size)
		err = grow_pages(o);
	if (err)
		return err;
	struct page *page = find_page(o->pages, o->table_size, key);
	if (page->last)
		o->next[page->last - 1] = (uint32_t)o->count;
	else
		o->n_pages++;
	o->next[o->count++] = NEVER;
	*page = (struct page){.key = key, .last = o->count};
	return 0;
}

int opt_add(struct opt *o, const uint64_t *keys, size_t count)
{
	int err = 0;
	for (size_t i = 0; i < count && !err; i++)
		err = add_one(o, keys[i]);
	return err;
}

/* ---- the cache ---- */

static void times_fini(struct times *t)
{
	for (size_t i = 0; i < t->levels; i++)
		free(t->level[i]);
}

/* An empty set of times below n. */
static int times_init(struct times *t, size_t n)
{
	*t = (struct times){0};
	do {
		n = (n + 63) / 64;
		t->level[t->levels] = calloc(n, sizeof(uint64_t));
		if (!t->level[t->levels]) {
			times_fini(t);
			return -ENOMEM;
		}
		t->levels++;
	} while (n > 1);
	return 0;
}

static bool times_has(const struct times *t, size_t time)
{
	return t->level[0][time / 64] >> time % 64 & 1;
}

static void times_add(struct times *t, size_t time)
{
	for (size_t i = 0; i < t->levels; i++, time /= 64)
		t->level[i][time / 64] |= (uint64_t)1 << time % 64;
}

static void times_remove(struct times *t, size_t time)
{
	for (size_t i = 0; i < t->levels; i++, time /= 64)
		if (t->level[i][time / 64] &= ~((uint64_t)1 << time % 64))
			return;
}

/* The set is not empty. */
static size_t times_largest(const struct times *t)
{
	size_t time = 0;
	for (size_t i = t->levels; i-- > 0;)
		time = time * 64 + 63 - (size_t)__builtin_clzll(t->level[i][time]);
	return time;
}

int opt_hits(const struct opt *o, uint32_t pages, uint64_t *hits)
{
	struct times t;
	uint64_t resident = 0, n_never = 0; /* pages in the cache, and those of them that are not used again */
	*hits = 0;
	if (times_init(&t, o->count))
		return -ENOMEM;
	for (size_t now = 0; now < o->count; now++) {
		if (times_has(&t, now)) {
			++*hits;
			times_remove(&t, now);
		} else if (resident < pages) {
			resident++;
		} else if (n_never > 0) {
			n_never--;
		} else {
			times_remove(&t, times_largest(&t));
		}
		if (o->next[now] == NEVER)
			n_never++;
		else
			times_add(&t, o->next[now]);
	}
	times_fini(&t);
	return 0;
}
