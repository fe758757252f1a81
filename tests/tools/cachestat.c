/*
 * cachestat FILE|DESCRIPTOR...: prints "CACHED DIRTY", the pages of each file in the page cache, by cachestat(2) (Linux 6.5).
 * The observer that says whether a cache was really bypassed. A file on a FUSE mount is named by the number of an inherited
 * descriptor, since opening it may drop its cache. Exit 3: the kernel has no such call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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
		bool is_inherited = argv[i][strspn(argv[i], "0123456789")] == 0;
		int fd = is_inherited ? atoi(argv[i]) : open(argv[i], O_RDONLY);
		if (fd < 0 || syscall(SYS_cachestat, fd, &range, &stat, 0U) < 0) {
			fprintf(stderr, "cachestat: %s: %s\n", argv[i], strerror(errno));
			return errno == ENOSYS ? 3 : 1;
		}
		printf("%llu %llu\n", (unsigned long long)stat.cache, (unsigned long long)stat.dirty);
		close(fd);
	}
	return 0;
}
