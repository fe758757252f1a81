/*
 * One open file seen in every way: buffered, by O_DIRECT, through a shared mapping, and written by io_submit as well. What the
 * test tools litmus and fileend share; whatever fails that must not ends the program with status 2.
 */
#ifndef ZCFS_TEST_VIEWS_H
#define ZCFS_TEST_VIEWS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define FILE_BYTES 1048576U /* a mapping's length */
#define PAGE_BYTES 4096U

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

/* How a view is read or written. */
enum way { BUFFERED, DIRECT, MAPPED, SUBMITTED };
static const char *const way_names[] = {"buffered", "O_DIRECT", "mapped", "io_submit"};

struct view {
	int buffered;
	int direct;
	unsigned char *map; /* NULL: not mapped */
};

static inline void view_open(struct view *v, const char *path, bool is_mapped)
{
	v->buffered = open(path, O_RDWR | O_CREAT, 0644);
	v->direct = open(path, O_RDWR | O_DIRECT);
	if (v->buffered < 0 || v->direct < 0)
		die(path);
	v->map = NULL;
	if (!is_mapped)
		return;
	v->map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, v->buffered, 0);
	if (v->map == MAP_FAILED)
		die("mmap");
}

static inline void view_close(struct view *v)
{
	if (v->map)
		munmap(v->map, FILE_BYTES);
	close(v->buffered);
	close(v->direct);
}

static inline ssize_t submit(int fd, const void *mem, size_t len, off_t off)
{
	static _Thread_local aio_context_t ctx; /* the process' end ends it */
	struct iocb cb = {.aio_lio_opcode = IOCB_CMD_PWRITE,
			  .aio_fildes = (uint32_t)fd,
			  .aio_buf = (uint64_t)(uintptr_t)mem,
			  .aio_nbytes = len,
			  .aio_offset = off};
	struct iocb *one = &cb;
	struct io_event event = {.res = -1};
	if ((ctx == 0 && syscall(SYS_io_setup, 1, &ctx) < 0) ||
	    syscall(SYS_io_submit, ctx, 1L, &one) != 1 ||
	    syscall(SYS_io_getevents, ctx, 1L, 1L, &event, NULL) != 1)
		die("io_submit");
	return event.res;
}

static inline void put(const struct view *v, enum way way, const void *mem, size_t len, off_t off)
{
	ssize_t n = (ssize_t)len;
	if (way == MAPPED) {
		memcpy(v->map + off, mem, len);
		if (sync_file_range(v->buffered, off, n,
				    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
			die("sync_file_range");
	} else if (way == SUBMITTED) {
		n = submit(v->direct, mem, len, off);
	} else {
		n = pwrite(way == DIRECT ? v->direct : v->buffered, mem, len, off);
	}
	if (n != (ssize_t)len)
		die("a write");
}

static inline void get(const struct view *v, enum way way, void *mem, size_t len, off_t off)
{
	if (way == MAPPED)
		memcpy(mem, v->map + off, len);
	else if (pread(way == DIRECT ? v->direct : v->buffered, mem, len, off) != (ssize_t)len)
		die("a read");
}

static inline uint32_t dice(void)
{
	static _Thread_local uint64_t state = 88172645463325252U;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

/* CLOCK_MONOTONIC so many seconds from now, in milliseconds. */
static inline long after_ms(const char *seconds)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000 + (long)(atof(seconds) * 1000);
}

static inline bool is_before(long end_ms)
{
	return after_ms("0") < end_ms;
}

#endif
