/* pool/evict_ghosts: against naive lists, at all fillings. */
#include "policy.h"
#include "pool/evict_ghosts.h"

/* The ghosts have what the lists have. */
static bool is_same(const struct ghosts *g, const struct naive_list *lists, uint64_t key)
{
	int found = ghosts_find(g, ghost_mark_of(key));
	int wanted = naive_has(&lists[0], key) ? 0 : naive_has(&lists[1], key) ? 1 : -1;
	return found == wanted && g->list[0].count == lists[0].n && g->list[1].count == lists[1].n;
}

static bool naive_remove(struct naive_list *lists, uint64_t key)
{
	for (int i = 0; i < 2; i++)
		if (naive_has(&lists[i], key)) {
			(void)naive_take(&lists[i], naive_find(&lists[i], key));
			return true;
		}
	return false;
}

static void naive_add(struct naive_list *lists, unsigned list, uint64_t key, size_t capacity)
{
	if (!naive_remove(lists, key) && lists[0].n + lists[1].n == capacity)
		(void)naive_take_oldest(&lists[lists[list].n ? list : 1 - list]);
	naive_put(&lists[list], 0, naive_new(key));
}

static bool step(struct ghosts *g, struct naive_list *lists, size_t capacity)
{
	uint64_t key = below(capacity * 2 + 1);
	unsigned list = (unsigned)below(2), what = (unsigned)below(8);
	if (what < 4) {
		ghosts_add(g, list, ghost_mark_of(key));
		naive_add(lists, list, key, capacity);
	} else if (what < 6) {
		bool is_removed = naive_remove(lists, key);
		if (ghosts_remove(g, ghost_mark_of(key)) != is_removed)
			return false;
	} else if (what == 6 && lists[list].n) {
		ghosts_drop_oldest(g, list);
		(void)naive_take_oldest(&lists[list]);
	}
	return is_same(g, lists, key) && is_same(g, lists, below(capacity * 2 + 1));
}

TEST(as_naive_lists)
{
	static const uint32_t capacities[] = {1, 2, 3, 5, 17, 64, 300};
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		static struct naive_list lists[2];
		struct ghosts g;
		bool is_good = true;
		random_state = i;
		REQUIRE(ghosts_init(&g, capacities[i]) == 0);
		for (int n = 0; is_good && n < 30000; n++)
			is_good = step(&g, lists, capacities[i]);
		CHECK(is_good);
		/* The order, from the oldest on. */
		for (unsigned list = 0; list < 2; list++)
			while (is_good && lists[list].n > 0) {
				uint64_t key = naive_take_oldest(&lists[list]).key;
				ghosts_drop_oldest(&g, list);
				is_good = is_same(&g, lists, key);
			}
		CHECK(is_good);
		CHECK_EQ(ghosts_count(&g), 0);
		ghosts_fini(&g);
	}
}

/* A mark is never 0, leaves bit 0 alone, and tells keys that differ in any bit apart. */
TEST(marks_tell_keys_apart)
{
	ghost_mark zero = ghost_mark_of(0);
	CHECK(zero != 0);
	for (int bit = 0; bit < 64; bit++) {
		ghost_mark mark = ghost_mark_of((uint64_t)1 << bit);
		CHECK(mark != 0 && mark % 2 == 0 && mark != zero);
	}
}

/* Half a million of each other's neighbours: far fewer strangers are taken for ghosts than a mark of 24 bits would allow. */
TEST(strangers_are_seldom_taken_for_ghosts)
{
	const uint32_t n = 1U << 19;
	struct ghosts g;
	uint32_t n_wrong = 0;
	REQUIRE(ghosts_init(&g, n) == 0);
	for (uint32_t key = 0; key < n; key++)
		ghosts_add(&g, 0, ghost_mark_of(key));
	for (uint32_t key = n; key < 2 * n; key++)
		n_wrong += ghosts_find(&g, ghost_mark_of(key)) >= 0;
	printf("# %u of %u strangers\n", n_wrong, n);
	CHECK(n_wrong < 1000);
	ghosts_fini(&g);
}
