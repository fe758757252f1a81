/*
 * poolturns [-b BYTES] [-n READS] [-o | -z THETA] [-r SEED] [-s MIB] SECONDS FILE FILE: random reads of two files of equal size by
 * turns, n of the one and n of the other. Prints one line: mean nanoseconds a read of the first and of the second, the median of
 * their turns' means, the median over the pairs of turns of the ratio first/second, reads of each. Turns of some milliseconds see
 * the same machine and the same device, whatever else those do, which measurements of a second do not.
 *
 *   -b  bytes a read, at multiples of it (default 4096)      -n  reads a turn (default 400)
 *   -o  once: no block again until all others were read      -z  by Zipf's law: -z 0.99
 *   -s  of the files' first MIB mebibytes only               -r  another order of reads
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "poolzipf.h"

#define BYTES_MAX 65536
#define PAIRS_MIN 8

struct side {
	int fd;
	uint64_t seed; /* what it reads next, or */
	uint32_t next; /* where it is in pages.order */
	double total_ns, reads;
	double *turn_ns; /* of each turn, a read */
};

struct run {
	struct pages pages;
	bool is_once;
	size_t bytes;
	uint64_t set_bytes; /* 0: the whole file */
	unsigned reads; /* a turn */
	uint64_t seed;
	struct side side[2];
	double *ratio;
	size_t pairs, room;
};

static void fail(const char *what)
{
	fprintf(stderr, "poolturns: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static uint32_t next_page(const struct run *r, struct side *s)
{
	if (!r->is_once)
		return pages_next(&r->pages, &s->seed);
	s->next = s->next + 1 < r->pages.count ? s->next + 1 : 0;
	return r->pages.order[s->next];
}

/* Nanoseconds a read. */
static double turn(const struct run *r, struct side *s, unsigned reads)
{
	static unsigned char data[BYTES_MAX] __attribute__((aligned(4096)));
	uint64_t start_ns = now_ns();
	for (unsigned i = 0; i < reads; i++) {
		off_t off = (off_t)next_page(r, s) * (off_t)r->bytes;
		ssize_t n = pread(s->fd, data, r->bytes, off);
		if (n != (ssize_t)r->bytes)
			fail(n < 0 ? "read" : "short read");
	}
	return (double)(now_ns() - start_ns) / reads;
}

static void note(struct run *r, const double ns[2])
{
	if (r->pairs == r->room) {
		r->room = r->room ? 2 * r->room : 256;
		r->ratio = realloc(r->ratio, r->room * sizeof(double));
		for (int i = 0; i < 2; i++)
			r->side[i].turn_ns = realloc(r->side[i].turn_ns, r->room * sizeof(double));
		if (!r->ratio || !r->side[0].turn_ns || !r->side[1].turn_ns)
			fail("memory");
	}
	for (int i = 0; i < 2; i++) {
		r->side[i].turn_ns[r->pairs] = ns[i];
		r->side[i].total_ns += ns[i] * r->reads;
		r->side[i].reads += r->reads;
	}
	r->ratio[r->pairs++] = ns[0] / ns[1];
}

static void measure(struct run *r, double seconds)
{
	const uint64_t end_ns = now_ns() + (uint64_t)(seconds * 1e9);
	for (unsigned pair = 0; now_ns() < end_ns || pair < PAIRS_MIN; pair++) {
		double ns[2];
		unsigned first = pair & 1; /* who begins changes */
		ns[first] = turn(r, &r->side[first], r->reads);
		ns[!first] = turn(r, &r->side[!first], r->reads);
		note(r, ns);
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *value, size_t count)
{
	qsort(value, count, sizeof(*value), ascending);
	return count % 2 ? value[count / 2] : (value[count / 2 - 1] + value[count / 2]) / 2;
}

/* How many blocks it has. */
static uint32_t open_side(struct run *r, int i, const char *name)
{
	struct stat st;
	struct side *s = &r->side[i];
	s->fd = open(name, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 || fstat(s->fd, &st) < 0)
		fail(name);
	uint64_t size = (uint64_t)st.st_size;
	uint64_t set = r->set_bytes > 0 && r->set_bytes < size ? r->set_bytes : size;
	uint32_t count = (uint32_t)(set / r->bytes);
	/* Not what the other reads: where a device caches, the second to read would gain by the first. */
	s->seed = (r->seed << 1) + (uint64_t)i;
	uint64_t order = s->seed;
	s->next = count > 0 ? (uint32_t)(pages_random(&order) % count) : 0;
	return count;
}

int main(int argc, char **argv)
{
	struct run r = {.bytes = 4096, .reads = 400};
	double theta = 0;
	int option;
	while ((option = getopt(argc, argv, "b:n:or:s:z:")) != -1) {
		if (option == 'b')
			r.bytes = strtoul(optarg, NULL, 10);
		else if (option == 'n')
			r.reads = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'o')
			r.is_once = true;
		else if (option == 'r')
			r.seed = strtoull(optarg, NULL, 10);
		else if (option == 's')
			r.set_bytes = strtoull(optarg, NULL, 10) << 20;
		else if (option == 'z')
			theta = strtod(optarg, NULL);
		else
			return 2;
	}
	double seconds = argc - optind == 3 ? strtod(argv[optind], NULL) : 0;
	if (!(seconds > 0) || r.bytes < 1 || r.bytes > BYTES_MAX || r.reads < 1) {
		fprintf(stderr,
			"usage: poolturns [-b BYTES] [-n READS] [-o | -z THETA] [-r SEED] [-s MIB] SECONDS FILE FILE\n");
		return 2;
	}
	uint32_t count = open_side(&r, 0, argv[optind + 1]);
	if (count < 2 || count != open_side(&r, 1, argv[optind + 2])) {
		fprintf(stderr, "poolturns: wanted: two files of the same size, of two blocks or more\n");
		return 1;
	}
	if (!pages_init(&r.pages, count, theta))
		fail("memory");
	measure(&r, seconds);
	printf("%.1f %.1f ", r.side[0].total_ns / r.side[0].reads, r.side[1].total_ns / r.side[1].reads);
	for (int i = 0; i < 2; i++)
		printf("%.1f ", median(r.side[i].turn_ns, r.pairs));
	printf("%.5f %.0f\n", median(r.ratio, r.pairs), r.side[0].reads);
	return 0;
}
