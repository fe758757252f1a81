/*
 * alternate SECONDS FILE FILE: random 4K reads of two files of equal size by turns, a few hundred of the one and as many of
 * the other, and how the turns compare. Prints one line: median nanoseconds a read of the first and of the second, the median
 * of the ratio first/second over the pairs of turns, and the bounds between which the true median of it lies with 95 %
 * confidence (order statistics, normal approximation of the sign test's). Turns of a few milliseconds see the same machine,
 * whatever else it does, which measurements of a second do not. tests/bench/counting compiles it.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES 4096
#define TURN_READS  400

struct samples {
	double *value;
	size_t n, room;
};

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "alternate: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void add(struct samples *s, double value)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 1024;
		s->value = realloc(s->value, s->room * sizeof(*s->value));
		if (!s->value)
			fail("samples");
	}
	s->value[s->n++] = value;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* s is sorted. rank: 0..n-1, clamped. */
static double at_rank(const struct samples *s, double rank)
{
	double last = (double)(s->n - 1);
	return s->value[(size_t)(rank < 0 ? 0 : rank > last ? last : rank)];
}

/* xorshift64 (Marsaglia 2003): the same offsets every time. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* One turn: nanoseconds a read. */
static double turn(int fd, uint64_t blocks, uint64_t seed)
{
	static char data[BLOCK_BYTES] __attribute__((aligned(BLOCK_BYTES)));
	uint64_t start_ns = now_ns();
	for (int i = 0; i < TURN_READS; i++)
		if (pread(fd, data, sizeof(data),
			  (off_t)(next_random(&seed) % blocks * BLOCK_BYTES)) != BLOCK_BYTES)
			fail("read");
	return (double)(now_ns() - start_ns) / TURN_READS;
}

static int open_file(const char *name, uint64_t *blocks)
{
	struct stat st;
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < BLOCK_BYTES)
		fail(name);
	*blocks = (uint64_t)st.st_size / BLOCK_BYTES;
	return fd;
}

int main(int argc, char **argv)
{
	struct samples each[2] = {{0}}, ratio = {0};
	double seconds = argc == 4 ? atof(argv[1]) : 0;
	if (!(seconds > 0)) {
		fprintf(stderr, "usage: alternate SECONDS FILE FILE\n");
		return 2;
	}
	uint64_t blocks;
	const int fd[2] = {open_file(argv[2], &blocks), open_file(argv[3], &blocks)};
	uint64_t seed = 88172645463325252U;
	const uint64_t end_ns = now_ns() + (uint64_t)(seconds * 1e9);
	for (unsigned round = 0; now_ns() < end_ns || round < 40; round++) {
		double ns[2];
		unsigned first = round & 1; /* who begins changes, as the second finds warmer caches */
		next_random(&seed);
		ns[first] = turn(fd[first], blocks, seed);
		ns[!first] = turn(fd[!first], blocks, seed);
		if (round < 20)
			continue; /* warming up */
		add(&each[0], ns[0]);
		add(&each[1], ns[1]);
		add(&ratio, ns[0] / ns[1]);
	}
	struct samples *all[] = {&each[0], &each[1], &ratio};
	for (int i = 0; i < 3; i++)
		qsort(all[i]->value, all[i]->n, sizeof(double), ascending);
	double middle = (double)ratio.n / 2, spread = 1.96 * sqrt((double)ratio.n) / 2;
	printf("%.1f %.1f %.5f %.5f %.5f\n", at_rank(&each[0], middle), at_rank(&each[1], middle),
	       at_rank(&ratio, middle), at_rank(&ratio, floor(middle - spread)),
	       at_rank(&ratio, ceil(middle + spread)));
	return 0;
}
