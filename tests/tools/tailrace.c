/*
 * tailrace GROWING READ SECONDS: one thread appends the pattern to the file GROWING, a byte a write, as fast as it can; the
 * other reads READ, the same file by another name, 64 KiB at a time across its growing end, and checks that what it gets is
 * the pattern and not less than was written when it began. Prints "READS SHORT WRONG"; status 1 if there was any of
 * the latter.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define READ_BYTES 65536U
#define SEED       7U

static const char *growing;
static _Atomic uint64_t written;
static atomic_bool is_over;

static void die(const char *what)
{
	fprintf(stderr, "tailrace: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *append_bytes(void *arg)
{
	int fd = open(growing, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC, 0644);
	(void)arg;
	if (fd < 0)
		die(growing);
	for (uint64_t off = 0; !atomic_load(&is_over); off++) {
		unsigned char byte = pattern_byte(off, SEED);
		if (write(fd, &byte, 1) != 1)
			die("append");
		atomic_store(&written, off + 1);
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned char *mem = aligned_memory(READ_BYTES);
	uint64_t reads = 0, few = 0, wrong = 0;
	pthread_t thread;
	if (argc != 4)
		return 2;
	growing = argv[1];
	if (pthread_create(&thread, NULL, append_bytes, NULL) != 0)
		die("thread");
	while (atomic_load(&written) == 0)
		;
	int fd = open(argv[2], O_RDONLY);
	if (fd < 0)
		die(argv[2]);
	for (time_t end = time(NULL) + atoi(argv[3]); time(NULL) < end; reads++) {
		/* From anywhere in the last 32 KiB. */
		uint64_t least = atomic_load(&written), back = reads * 7919 % 32768;
		uint64_t off = least > back ? least - back : 0;
		ssize_t n = pread(fd, mem, READ_BYTES, (off_t)off);
		if (n < 0)
			die("pread");
		few += (uint64_t)n < READ_BYTES && off + (uint64_t)n < least;
		wrong += pattern_differs(mem, (size_t)n, off, SEED) != (size_t)n;
	}
	atomic_store(&is_over, true);
	pthread_join(thread, NULL);
	close(fd);
	free(mem);
	printf("%llu %llu %llu\n", (unsigned long long)reads, (unsigned long long)few,
	       (unsigned long long)wrong);
	return reads == 0 || few > 0 || wrong > 0;
}
