/* pool/evict_sweep: the hand of clock and pg ends its search, whatever goes on. */
#include "check.h"
#include "pool/evict_sweep.h"

extern const struct evict_ops evict_clock_ops, evict_pg_ops;

enum { SLOTS = 50 };

struct fixture {
	struct evict e;
	uint32_t n_asked;
	bool is_refusing, is_hitting; /* hitting: every page is used at each question */
};

#define FIXTURE __attribute__((cleanup(fixture_fini)))

static bool ask_fixture(void *ctx, uint32_t slot)
{
	struct fixture *f = ctx;
	(void)slot;
	f->n_asked++;
	for (uint32_t other = 0; f->is_hitting && other < SLOTS; other++)
		for (int i = 0; i < 9; i++)
			f->e.ops->hit(&f->e, other);
	return !f->is_refusing;
}

static bool fixture_init(struct fixture *f, const struct evict_ops *ops)
{
	*f = (struct fixture){0};
	if (evict_init(&f->e, ops, SLOTS, ask_fixture, f))
		return false;
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		ops->insert(&f->e, slot, slot);
	return true;
}

static void fixture_fini(struct fixture *f)
{
	if (f->e.ops)
		evict_fini(&f->e);
}

static void use_all(struct fixture *f)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		for (int i = 0; i < 9; i++)
			f->e.ops->hit(&f->e, slot);
}

static void check_policy(const struct evict_ops *ops)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, ops));
	use_all(&f);
	CHECK_EQ(f.e.ops->victim(&f.e, 0), 0); /* all uses are taken off, once round at a time */
	CHECK_EQ(f.n_asked, 1);
	f.is_refusing = true;
	use_all(&f);
	f.n_asked = 0;
	CHECK_EQ(f.e.ops->victim(&f.e, 0), EVICT_NONE);
	CHECK(f.n_asked >= SLOTS - 1 && f.n_asked <= 8 * SLOTS);
	f.is_hitting = true;
	f.n_asked = 0;
	CHECK_EQ(f.e.ops->victim(&f.e, 0), EVICT_NONE);
	CHECK(f.n_asked >= SLOTS - 1 && f.n_asked <= 8 * SLOTS);
	f.is_refusing = false;
	CHECK(f.e.ops->victim(&f.e, 0) != EVICT_NONE);
}

TEST(clock_ends_its_search)
{
	check_policy(&evict_clock_ops);
}

TEST(pg_ends_its_search)
{
	check_policy(&evict_pg_ops);
}

/* However many uses all have, the one with the fewest goes. */
TEST(the_least_used_goes)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, &evict_pg_ops));
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		for (int i = 0; i < (slot == 25 ? 3 : 9); i++) /* and the one that it began with */
			f.e.ops->hit(&f.e, slot);
	CHECK_EQ(f.e.ops->victim(&f.e, 0), 25);
}

/* A hit that comes late, when its page has gone, is none of the next page in the slot. */
TEST(a_late_hit_is_wiped)
{
	struct fixture FIXTURE f;
	REQUIRE(fixture_init(&f, &evict_clock_ops));
	f.e.ops->remove(&f.e, 0);
	f.e.ops->hit(&f.e, 0);
	f.e.ops->insert(&f.e, 0, 1000);
	CHECK_EQ(f.e.ops->victim(&f.e, 0), 0);
}
