/* pool/evict_slots: lists over slots, and searches that do not ask the same slots over and over. */
#include "check.h"
#include "pool/evict_slots.h"

struct fixture {
	struct evict e;
	struct slot_lists s;
	bool is_refused[1000];
	uint32_t n_asked;
};

#define FIXTURE __attribute__((cleanup(fixture_fini)))

static bool ask_fixture(void *ctx, uint32_t slot)
{
	struct fixture *f = ctx;
	f->n_asked++;
	return !f->is_refused[slot];
}

/* Slots 0, 1, ... in list 0, oldest first. */
static bool fixture_init(struct fixture *f, uint32_t n)
{
	*f = (struct fixture){.e = {.capacity = 1000, .can_evict = ask_fixture, .ctx = f}};
	if (slots_init(&f->s, 1000))
		return false;
	for (uint32_t slot = 0; slot < n; slot++)
		slots_add(&f->s, 0, slot);
	return true;
}

static void fixture_fini(struct fixture *f)
{
	slots_fini(&f->s);
}

static uint32_t claim(struct fixture *f)
{
	uint32_t slot = slots_claim(&f->s, 0, &f->e);
	if (slot != EVICT_NONE)
		slots_take(&f->s, 0, slot);
	return slot;
}

TEST(a_list_keeps_its_order)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, 4));
	slots_renew(&f.s, 0, 1);
	slots_take(&f.s, 0, 2);
	slots_add_after(&f.s, 0, 7, 3); /* the next older one of 3 */
	slots_add(&f.s, 1, 2);
	static const uint32_t order[] = {0, 7, 3, 1, EVICT_NONE};
	uint32_t slot = slots_oldest(&f.s, 0);
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(slot, order[i]);
		if (slot != EVICT_NONE)
			slot = slots_newer(&f.s, slot);
	}
	CHECK_EQ(slots_older(&f.s, 3), 7);
	CHECK_EQ(slots_older(&f.s, 0), EVICT_NONE);
	CHECK_EQ(f.s.list[0].count, 4);
	CHECK_EQ(f.s.list[1].count, 1);
	CHECK_EQ(slots_oldest(&f.s, 1), 2);
	CHECK(slots_has(&f.s, 2) && !slots_has(&f.s, 4));
}

TEST(the_oldest_that_may_go_is_claimed)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, 5));
	f.is_refused[0] = f.is_refused[1] = f.is_refused[3] = true;
	CHECK_EQ(claim(&f), 2);
	CHECK_EQ(claim(&f), 4);
	CHECK_EQ(claim(&f), EVICT_NONE);
	CHECK_EQ(f.s.list[0].count, 3);
	f.is_refused[1] = false;
	CHECK_EQ(claim(&f), 1);
	f.is_refused[0] = f.is_refused[3] = false;
	CHECK_EQ(claim(&f), 3); /* that one search met slot 0, this one goes on from there */
	CHECK_EQ(claim(&f), 0);
	CHECK_EQ(claim(&f), EVICT_NONE);
}

TEST(each_is_asked_once_when_all_are_refused)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, 100));
	f.is_refused[0] = true;
	CHECK_EQ(claim(&f), 1); /* a search is under way when the others are refused */
	memset(f.is_refused, true, sizeof(f.is_refused));
	for (int i = 0; i < 3; i++) {
		f.n_asked = 0;
		CHECK_EQ(claim(&f), EVICT_NONE);
		CHECK_EQ(f.n_asked, 99);
	}
}

/* 500 dirty pages at the old end, and 400 victims behind them: two questions for each, not 500. */
TEST(a_refused_tail_is_not_asked_for_each_victim)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, 1000));
	memset(f.is_refused, true, 500);
	for (uint32_t slot = 500; slot < 900; slot++)
		CHECK_EQ(claim(&f), slot);
	CHECK(f.n_asked <= 500 + 2 * 400);
	memset(f.is_refused, false, 500);
	bool is_old_found = false;
	for (int i = 0; i < 500 && !is_old_found; i++)
		is_old_found = claim(&f) == 0;
	CHECK(is_old_found); /* and they are not forgotten */
}

/* Those who were refused have their turn again as soon as what it cost to ask them is made up for, not at the list's end. */
TEST(the_refused_are_asked_again_soon)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, 1000));
	memset(f.is_refused, true, 10);
	CHECK_EQ(claim(&f), 10);
	memset(f.is_refused, false, 10);
	for (uint32_t slot = 11; slot < 21; slot++)
		CHECK_EQ(claim(&f), slot);
	CHECK_EQ(claim(&f), 0);
}

/* What lies where a search is to go on may be used, and go, meanwhile. */
TEST(a_search_goes_on_when_its_place_moves)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, 10));
	memset(f.is_refused, true, 4);
	CHECK_EQ(claim(&f), 4);
	slots_renew(&f.s, 0, 5);
	slots_take(&f.s, 0, 6);
	CHECK_EQ(claim(&f), 7);
	CHECK_EQ(claim(&f), 8);
	CHECK_EQ(claim(&f), 9);
	CHECK_EQ(claim(&f), 5);
	CHECK_EQ(claim(&f), EVICT_NONE);
}

TEST(uses_stop_at_the_most)
{
	slot_uses uses = 0;
	for (int i = 1; i <= 10; i++) {
		slot_use(&uses, 5);
		CHECK_EQ(slot_uses_get(&uses), i < 5 ? i : 5);
	}
	slot_uses_set(&uses, 2);
	CHECK_EQ(slot_uses_get(&uses), 2);
}
