/*
 * The ghosts' hash table, which is also their lists: an entry lies at the first free place from where its mark hashes to, and points
 * at its neighbours in age. A removal closes the gap by moving entries back (Knuth, The Art of Computer Programming 3, 6.4, algorithm
 * R), and whoever pointed at a moved entry is told.
 */
#include "pool/evict_ghosts.h"

#include <assert.h>
#include <errno.h>

ghost_mark ghost_mark_of(uint64_t key)
{
	/* The finalizer of MurmurHash3: keys may be plain page numbers. */
	key ^= key >> 33;
	key *= 0xff51afd7ed558ccdU;
	key ^= key >> 33;
	key *= 0xc4ceb9fe1a85ec53U;
	ghost_mark mark = (ghost_mark)(key >> 32) & ~1U;
	return mark ? mark : 2;
}

int ghosts_init(struct ghosts *g, uint32_t capacity)
{
	uint64_t size = (uint64_t)capacity + capacity / 4 + 2;
	*g = (struct ghosts){.capacity = capacity};
	assert(capacity > 0 && size < GHOST_NONE);
	for (int i = 0; i < GHOST_LISTS_MAX; i++)
		g->list[i] = (struct ghost_list){.newest = GHOST_NONE, .oldest = GHOST_NONE};
	g->size = (uint32_t)size;
	g->table = calloc(g->size, sizeof(*g->table));
	return g->table ? 0 : -ENOMEM;
}

void ghosts_fini(struct ghosts *g)
{
	free(g->table);
	g->table = NULL;
}

static uint32_t home_of(const struct ghosts *g, ghost_mark mark)
{
	return (uint32_t)((uint64_t)mark * g->size >> 32);
}

static uint32_t next_place(const struct ghosts *g, uint32_t place)
{
	return place + 1 < g->size ? place + 1 : 0;
}

/* Where the mark is, or the empty place where it would go. */
static uint32_t find_place(const struct ghosts *g, ghost_mark mark)
{
	uint32_t place = home_of(g, mark & ~1U);
	while (g->table[place].mark && (g->table[place].mark ^ mark) > 1)
		place = next_place(g, place);
	return place;
}

int ghosts_find(const struct ghosts *g, ghost_mark mark)
{
	ghost_mark found = g->table[find_place(g, mark)].mark;
	return found ? (int)(found & 1) : -1;
}

/* Whoever points at the entry's place points at `newer_ref` from its newer side and `older_ref` from its older. */
static void point(struct ghosts *g, const struct ghost *entry, uint32_t from_newer, uint32_t from_older)
{
	struct ghost_list *l = &g->list[entry->mark & 1];
	if (entry->newer == GHOST_NONE)
		l->newest = from_newer;
	else
		g->table[entry->newer].older = from_newer;
	if (entry->older == GHOST_NONE)
		l->oldest = from_older;
	else
		g->table[entry->older].newer = from_older;
}

/* Whether the way from `home` to where the entry lies at `place` leads over `gap`. */
static bool is_behind(uint32_t home, uint32_t gap, uint32_t place)
{
	return gap <= place ? home <= gap || home > place : home <= gap && home > place;
}

static void remove_at(struct ghosts *g, uint32_t gap)
{
	struct ghost *entry = &g->table[gap];
	g->list[entry->mark & 1].count--;
	point(g, entry, entry->older, entry->newer);
	for (uint32_t place = next_place(g, gap); g->table[place].mark; place = next_place(g, place)) {
		if (!is_behind(home_of(g, g->table[place].mark & ~1U), gap, place))
			continue;
		g->table[gap] = g->table[place];
		point(g, &g->table[gap], gap, gap);
		gap = place;
	}
	g->table[gap].mark = 0;
}

bool ghosts_remove(struct ghosts *g, ghost_mark mark)
{
	uint32_t place = find_place(g, mark);
	if (!g->table[place].mark)
		return false;
	remove_at(g, place);
	return true;
}

void ghosts_drop_oldest(struct ghosts *g, unsigned list)
{
	assert(g->list[list].count > 0);
	remove_at(g, g->list[list].oldest);
}

void ghosts_add(struct ghosts *g, unsigned list, ghost_mark mark)
{
	struct ghost_list *l = &g->list[list];
	if (!ghosts_remove(g, mark) && ghosts_count(g) == g->capacity)
		ghosts_drop_oldest(g, l->count > 0 ? list : !list);
	uint32_t place = find_place(g, mark);
	struct ghost *entry = &g->table[place];
	*entry = (struct ghost){.mark = (mark & ~1U) | list, .newer = GHOST_NONE, .older = l->newest};
	if (l->newest == GHOST_NONE)
		l->oldest = place;
	else
		g->table[l->newest].newer = place;
	l->newest = place;
	l->count++;
}
