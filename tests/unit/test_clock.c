/* base/clock: the ticks go at CLOCK_MONOTONIC's rate, whichever clock they are. */
#include "base/clock.h"
#include "check.h"

static void check_rate(void)
{
	const struct timespec pause = {.tv_nsec = 20L * 1000 * 1000};
	uint64_t outer_ns = clock_monotonic_ns();
	uint64_t start = clock_ticks();
	uint64_t inner_ns = clock_monotonic_ns();
	nanosleep(&pause, NULL);
	inner_ns = clock_monotonic_ns() - inner_ns;
	uint64_t elapsed_ns = clock_elapsed_ns(start);
	outer_ns = clock_monotonic_ns() - outer_ns;
	CHECK(elapsed_ns >= inner_ns - inner_ns / 500);
	CHECK(elapsed_ns <= outer_ns + outer_ns / 500);
}

TEST(uncalibrated_it_is_the_monotonic_clock)
{
	CHECK_EQ(clock_scale, 0);
	check_rate();
}

TEST(calibrated_it_goes_at_the_same_rate)
{
	clock_calibrate();
	check_rate();
}

TEST(a_start_that_lies_ahead_is_no_time)
{
	CHECK_EQ(clock_elapsed_ns(clock_ticks() + 1000000000), 0);
}

TEST(it_never_goes_back)
{
	uint64_t at = clock_ticks();

	for (int i = 0; i < 1000; i++) {
		uint64_t next = clock_ticks();
		CHECK(next >= at);
		at = next;
	}
}
