/*
 * smallfiles PHASE DIR COUNT BYTES: does one thing with each of COUNT files DIR/0, DIR/1, ... and prints the nanoseconds
 * that took. PHASE: create (open, write BYTES, close), stat, read (open, read, close) or unlink. tests/bench/ratio compiles
 * it, because an interpreter's own time would flatter the slower side.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char data[1 << 20];
static size_t len_bytes;

static int create_one(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, data, len_bytes);
	return close(fd) == 0 && n == (ssize_t)len_bytes ? 0 : -1;
}

static int stat_one(const char *name)
{
	struct stat st;
	return stat(name, &st);
}

static int read_one(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, data, len_bytes);
	return close(fd) == 0 && n == (ssize_t)len_bytes ? 0 : -1;
}

static const struct {
	const char *name;
	int (*run)(const char *name);
} phases[] = {{"create", create_one}, {"stat", stat_one}, {"read", read_one}, {"unlink", unlink}};

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static int run(int (*one)(const char *name), unsigned long count)
{
	char name[32];
	uint64_t start_ns = now_ns();
	for (unsigned long i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "%lu", i);
		if (one(name) != 0) {
			fprintf(stderr, "smallfiles: file %s: %s\n", name, strerror(errno));
			return 1;
		}
	}
	printf("%" PRIu64 "\n", now_ns() - start_ns);
	return 0;
}

int main(int argc, char **argv)
{
	len_bytes = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;
	/* Not zeros: zram keeps no page for those. */
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * i * 2654435761U >> 13);
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]) && argc == 5; i++) {
		if (strcmp(argv[1], phases[i].name) != 0 || len_bytes > sizeof(data))
			continue;
		if (chdir(argv[2]) == 0)
			return run(phases[i].run, strtoul(argv[3], NULL, 10));
		fprintf(stderr, "smallfiles: %s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	fprintf(stderr, "usage: smallfiles create|stat|read|unlink DIR COUNT BYTES\n");
	return 2;
}
