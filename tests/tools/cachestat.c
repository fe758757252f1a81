/*
 * cachestat FILE...: prints "CACHED DIRTY", the pages of each file in the page cache, by cachestat(2) (Linux 6.5). The
 * observer that says whether a cache was really bypassed. Exit 3: the kernel has no such call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

int main(int argc, char **argv)
{
	/* As the kernel's headers have it; those of older distributions do not. */
	struct {
		uint64_t off, len;
	} range = {0, 0};
	struct {
		uint64_t cache, dirty, writeback, evicted, recently_evicted;
	} stat;

	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY);
		if (fd < 0 || syscall(SYS_cachestat, fd, &range, &stat, 0U) < 0) {
			fprintf(stderr, "cachestat: %s: %s\n", argv[i], strerror(errno));
			return errno == ENOSYS ? 3 : 1;
		}
		printf("%llu %llu\n", (unsigned long long)stat.cache, (unsigned long long)stat.dirty);
		close(fd);
	}
	return 0;
}
