/*
 * ARC: pages seen once and pages seen again, in two LRU lists that share the slots, and the ghosts of both. A page that comes back
 * from a list's ghosts says that this list is too short, and moves the target. (N. Megiddo, D. S. Modha, "ARC: A Self-Tuning, Low
 * Overhead Replacement Cache", FAST '03: figure 4. Names are the paper's.)
 *
 *	B1 (ghosts) <-- [ T1: once, p slots wanted ] --used--> [ T2: more often ] --> B2 (ghosts)
 *	    |                                                      ^                     |
 *	    +---------------- comes again ------------------------+---------------------+
 */
#include <errno.h>

#include "pool/evict_ghosts.h"
#include "pool/evict_slots.h"

enum { T1, T2 };
enum { B1, B2 };

struct arc {
	struct slot_lists lists;
	ghost_mark *marks; /* of the resident pages; bit 0: T1 or T2 */
	struct ghosts ghosts;
	double p; /* how long T1 should be */
};

static void arc_free(struct arc *a)
{
	slots_fini(&a->lists);
	ghosts_fini(&a->ghosts);
	free(a->marks);
	free(a);
}

static int arc_init(struct evict *e)
{
	struct arc *a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->marks = calloc(e->capacity, sizeof(*a->marks));
	int err = a->marks ? slots_init(&a->lists, e->capacity) : -ENOMEM;
	if (!err) /* one more, until insert() has taken the one that comes again */
		err = ghosts_init(&a->ghosts, e->capacity + 1);
	if (err)
		arc_free(a);
	else
		e->state = a;
	return err;
}

static void arc_fini(struct evict *e)
{
	if (e->state)
		arc_free(e->state);
}

static unsigned list_of(const struct arc *a, uint32_t slot)
{
	return a->marks[slot] & 1;
}

static void arc_hit(struct evict *e, uint32_t slot)
{
	struct arc *a = e->state;
	if (!slots_has(&a->lists, slot))
		return;
	slots_take(&a->lists, list_of(a, slot), slot);
	slots_add(&a->lists, T2, slot);
	a->marks[slot] |= T2;
}

/* T1 with its ghosts is no longer than the cache, and both lists with theirs no longer than two. */
static void trim_ghosts(struct arc *a, uint32_t capacity)
{
	const struct slot_list *t = a->lists.list;
	const struct ghost_list *b = a->ghosts.list;
	while (b[B1].count > 0 && (uint64_t)t[T1].count + b[B1].count > capacity)
		ghosts_drop_oldest(&a->ghosts, B1);
	while (b[B2].count > 0 && (uint64_t)t[T1].count + t[T2].count + b[B1].count + b[B2].count >
					  2 * (uint64_t)capacity)
		ghosts_drop_oldest(&a->ghosts, B2);
}

static void arc_insert(struct evict *e, uint32_t slot, uint64_t key)
{
	struct arc *a = e->state;
	ghost_mark mark = ghost_mark_of(key);
	unsigned list = ghosts_remove(&a->ghosts, mark) ? T2 : T1;
	a->marks[slot] = mark | list;
	slots_add(&a->lists, list, slot);
	trim_ghosts(a, e->capacity);
}

/* Where the target is after a page came from these ghosts (-1: from none). */
static double adapted(const struct arc *a, uint32_t capacity, int from)
{
	double b1 = a->ghosts.list[B1].count, b2 = a->ghosts.list[B2].count;
	if (from == B1) {
		double p = a->p + (b2 > b1 ? b2 / b1 : 1);
		return p < capacity ? p : capacity;
	}
	if (from == B2) {
		double p = a->p - (b1 > b2 ? b1 / b2 : 1);
		return p > 0 ? p : 0;
	}
	return a->p;
}

static uint32_t arc_victim(struct evict *e, uint64_t incoming_key)
{
	struct arc *a = e->state;
	int from = ghosts_find(&a->ghosts, ghost_mark_of(incoming_key));
	double p = adapted(a, e->capacity, from), t1 = a->lists.list[T1].count;
	unsigned list = t1 > 0 && (t1 > p || (from == B2 && t1 >= p)) ? T1 : T2;
	uint32_t slot = slots_claim(&a->lists, list, e);
	if (slot == EVICT_NONE) {
		list = list == T1 ? T2 : T1;
		slot = slots_claim(&a->lists, list, e);
	}
	if (slot == EVICT_NONE)
		return slot;
	a->p = p;
	slots_take(&a->lists, list, slot);
	ghosts_add(&a->ghosts, list == T1 ? B1 : B2, a->marks[slot]);
	return slot;
}

static void arc_remove(struct evict *e, uint32_t slot)
{
	struct arc *a = e->state;
	if (slots_has(&a->lists, slot))
		slots_take(&a->lists, list_of(a, slot), slot);
}

static size_t arc_lists(const struct evict *e, struct evict_list *out)
{
	const struct arc *a = e->state;
	out[0] = (struct evict_list){"once", a->lists.list[T1].count};
	out[1] = (struct evict_list){"often", a->lists.list[T2].count};
	out[2] = (struct evict_list){"once_ghosts", a->ghosts.list[B1].count};
	out[3] = (struct evict_list){"often_ghosts", a->ghosts.list[B2].count};
	out[4] = (struct evict_list){"once_target", (uint64_t)a->p};
	return 5;
}

const struct evict_ops evict_arc_ops = {
	.name = "arc",
	.summary = "balances pages used once and used often by what would have been hit; scans pass through",
	.is_scan_resistant = true,
	.init = arc_init,
	.fini = arc_fini,
	.hit = arc_hit,
	.insert = arc_insert,
	.victim = arc_victim,
	.remove = arc_remove,
	.lists = arc_lists,
};
