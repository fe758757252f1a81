/*
 * The model of one file, in memory, and the comparison of its views with it. For roundtrip.c alone: the first difference
 * ends the program with one line.
 */
#ifndef ZCFS_TEST_MODEL_H
#define ZCFS_TEST_MODEL_H

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pattern.h"

#define MIB         (1UL << 20)
#define MODEL_BYTES (4 * MIB)
#define BLOCK       4096U

static char mnt_path[4096], backing_path[4096];
static const char *method;
static unsigned char *model, *scratch;
static size_t model_len;

#define CHECK(cond, ...)                                                                         \
	do {                                                                                     \
		if (!(cond)) {                                                                   \
			int err_ = errno;                                                        \
			fprintf(stderr, "roundtrip %s: line %d: %s: ", method, __LINE__, #cond); \
			fprintf(stderr, __VA_ARGS__);                                            \
			fprintf(stderr, " (errno %s)\n", strerrorname_np(err_));                 \
			exit(1);                                                                 \
		}                                                                                \
	} while (0)

static uint64_t next_random(void)
{
	static uint64_t x = 88172645463325252U;
	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static int open_checked(const char *path, int flags)
{
	int fd = open(path, flags, 0644);
	CHECK(fd >= 0, "%s", path);
	return fd;
}

static void compare(const unsigned char *mem, size_t off, size_t len, const char *view)
{
	size_t i = 0;
	while (i < len && mem[i] == model[off + i])
		i++;
	CHECK(i == len, "%s, size %zu: byte %zu is %02x, not %02x", view, model_len, off + i,
	      mem[i], model[off + i]);
}

/* Reads by pieces of `piece` to the end. */
static void compare_fd(int fd, size_t piece, const char *view)
{
	struct stat st;
	CHECK(fstat(fd, &st) == 0 && (size_t)st.st_size == model_len, "%s: size %lld, not %zu",
	      view, (long long)st.st_size, model_len);
	size_t off = 0;
	for (;;) {
		ssize_t n = pread(fd, scratch, piece, (off_t)off);
		size_t wanted = model_len - off < piece ? model_len - off : piece;
		CHECK(n == (ssize_t)wanted, "%s: pread of %zu at %zu of %zu gave %zd", view, piece,
		      off, model_len, n);
		if (n == 0)
			break;
		compare(scratch, off, (size_t)n, view);
		off += (size_t)n;
		if ((size_t)n < piece)
			break;
	}
}

static void compare_map(int fd, int how, const char *view)
{
	if (model_len == 0)
		return;
	unsigned char *map = mmap(NULL, model_len, PROT_READ, how, fd, 0);
	CHECK(map != MAP_FAILED, "mmap %s", view);
	compare(map, 0, model_len, view);
	size_t end = (model_len + BLOCK - 1) / BLOCK * BLOCK;
	for (size_t i = model_len; i < end; i++)
		CHECK(map[i] == 0, "%s: not zero behind the end: %zu of %zu", view, i, model_len);
	munmap(map, model_len);
}

static void compare_views(const char *path, size_t piece, const char *view)
{
	int fd = open_checked(path, O_RDONLY);
	compare_fd(fd, piece, view);
	compare_map(fd, MAP_SHARED, view);
	compare_map(fd, MAP_PRIVATE, view);
	close(fd);
	fd = open_checked(path, O_RDONLY | O_DIRECT);
	compare_fd(fd, MIB / 4, view);
	close(fd);
}

static void compare_all(void)
{
	compare_views(mnt_path, MIB, "mount");
	compare_views(mnt_path, 62281, "mount, odd reads");
	int fd = open_checked(backing_path, O_RDONLY);
	compare_fd(fd, MIB, "backing");
	close(fd);
}

static void model_write(size_t off, size_t len, uint64_t seed)
{
	pattern_fill(model + off, len, off, seed);
	if (len > 0 && off + len > model_len)
		model_len = off + len;
}

static void model_truncate(size_t len)
{
	if (len < model_len)
		memset(model + len, 0, model_len - len);
	model_len = len;
}

#endif
