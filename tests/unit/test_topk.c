/* pool/topk: the frequent keys are found among many that come once. */
#include "check.h"
#include "pool/topk.h"

TEST(empty_has_no_best)
{
	struct topk t = {0};
	uint32_t least = 7;

	CHECK_EQ(topk_best(&t, &least), 0);
	CHECK_EQ(least, 0);
}

TEST(the_frequent_one_is_found_among_many)
{
	struct topk t = {0};
	uint32_t least;

	for (uint64_t i = 0; i < 3000; i++)
		topk_note(&t, i % 10 == 0 ? 42 : 1000 + i);
	CHECK_EQ(topk_best(&t, &least), 42);
	CHECK(least <= 300);
	CHECK(least > 150);
}

TEST(what_surely_came_most_is_best)
{
	struct topk t = {0};
	uint32_t least;

	for (uint64_t i = 0; i < UINT64_C(10) * TOPK_ENTRIES; i++)
		topk_note(&t, 1 + i % TOPK_ENTRIES);
	topk_note(&t, 1);
	for (int i = 0; i < 3; i++)
		topk_note(&t, 99); /* after one that came ten times: thirteen, but surely three only */
	CHECK_EQ(topk_best(&t, &least), 1);
	CHECK_EQ(least, 11);
}

TEST(what_came_once_is_not_taken_for_more)
{
	struct topk t = {0};
	uint32_t least;

	for (uint64_t i = 1; i <= 5000; i++)
		topk_note(&t, i);
	CHECK(topk_best(&t, &least) != 0);
	CHECK_EQ(least, 1);
}

TEST(dropped_and_aged)
{
	struct topk t = {0};
	uint32_t least;

	for (int i = 0; i < 10; i++)
		topk_note(&t, 1);
	for (int i = 0; i < 6; i++)
		topk_note(&t, 2);
	topk_halve(&t);
	CHECK_EQ(topk_best(&t, &least), 1);
	CHECK_EQ(least, 5);
	topk_drop(&t, 1);
	CHECK_EQ(topk_best(&t, &least), 2);
	CHECK_EQ(least, 3);
	topk_halve(&t);
	topk_halve(&t);
	CHECK_EQ(topk_best(&t, &least), 0);
}
