/*
 * The views that fsx.c has of its file: descriptors that stay open, buffered, O_DIRECT or mapped, and the comparison of
 * everything that shows the file with the model. For fsx.c alone.
 */
#ifndef ZCFS_TEST_FSX_VIEW_H
#define ZCFS_TEST_FSX_VIEW_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsx_model.h"

#define PAGE      4096UL
#define VIEWS_MAX 4

enum kind { BUFFERED, DIRECT, MAPPED };

static const char *const kind_names[] = {"buffered", "direct", "mmap"};

struct view {
	enum kind kind;
	int fd;
	unsigned char *map; /* MODEL_BYTES, of a MAPPED one */
};

static struct view views[VIEWS_MAX];
static size_t views_count;
static size_t granule = PAGE; /* of O_DIRECT: a power of two */
static int check_fd = -1;
static bool is_map_dirty; /* stored into, and not synced since */

/* The backing tells what O_DIRECT demands; a FUSE filesystem does not. */
static inline void learn_granule(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx stx;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && stx.stx_mask & STATX_DIOALIGN &&
	    stx.stx_dio_offset_align >= 512 && stx.stx_dio_offset_align <= 65536)
		granule = stx.stx_dio_offset_align;
#else
	(void)fd;
#endif
}

static inline void view_open(struct view *v)
{
	v->fd = open(path, O_RDWR | (v->kind == DIRECT ? O_DIRECT : 0));
	CHECK(v->fd >= 0, "open %s", kind_names[v->kind]);
	if (v->kind != MAPPED)
		return;
	v->map = mmap(NULL, MODEL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	CHECK(v->map != MAP_FAILED, "mmap");
}

/* The mapping of a file may outlive its descriptor: every other time it is the first to go. */
static inline void view_close(struct view *v, bool is_map_first)
{
	if (v->kind == MAPPED && is_map_first)
		CHECK(munmap(v->map, MODEL_BYTES) == 0, "munmap");
	CHECK(close(v->fd) == 0, "close");
	if (v->kind == MAPPED && !is_map_first)
		CHECK(munmap(v->map, MODEL_BYTES) == 0, "munmap");
}

/* Behind the end, within the last page, a mapping shows zeros. */
static inline void compare_tail(const struct view *v)
{
	for (size_t i = model_len; i % PAGE != 0; i++)
		CHECK(v->map[i] == 0, "mapped behind the end: byte %zu is %02x", i, v->map[i]);
}

/* A pread of len bytes at off gave n of them in scratch. */
static inline void compare_read(ssize_t n, size_t off, size_t len, const char *view)
{
	size_t rest = off < model_len ? model_len - off : 0;
	size_t wanted = len < rest ? len : rest;
	if (n != (ssize_t)wanted)
		fail("%s: pread of %zu at %zu gave %zd, not %zu", view, len, off, n, wanted);
	compare(scratch, off, wanted, view);
}

static inline void compare_fd(int fd, size_t piece, const char *view)
{
	struct stat st;
	CHECK(fstat(fd, &st) == 0, "%s: fstat", view);
	if ((size_t)st.st_size != model_len)
		fail("%s: the size is %lld", view, (long long)st.st_size);
	for (size_t off = 0; off <= model_len; off += piece) {
		errno = 0;
		compare_read(pread(fd, scratch, piece, (off_t)off), off, piece, view);
	}
}

static inline void compare_view(const struct view *v, size_t piece)
{
	compare_fd(v->fd, piece, kind_names[v->kind]);
	if (v->kind == MAPPED && model_len > 0) {
		compare(v->map, 0, model_len, "mapped");
		compare_tail(v);
	}
}

/* What mapped views hold back has to be written before anybody can ask for it underneath; not to the device. */
static inline void settle_maps(void)
{
	const unsigned flags =
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	if (is_map_dirty)
		CHECK(sync_file_range(views[0].fd, 0, 0, flags) == 0, "sync_file_range");
	is_map_dirty = false;
}

static inline void compare_backing(void)
{
	if (check_fd < 0)
		return;
	settle_maps();
	if (may_lag) {
		int fd = open(path, O_RDWR);
		CHECK(fd >= 0 && fsync(fd) == 0, "fsync");
		close(fd);
	}
	compare_fd(check_fd, 262144, "backing");
}

static inline void compare_all(void)
{
	static const size_t pieces[] = {65536, 131072, 524288};
	for (size_t i = 0; i < views_count; i++)
		compare_view(&views[i], pieces[below(3)]);
	compare_backing();
}

/* With nothing open before: as the next program sees it. */
static inline void compare_anew(void)
{
	for (enum kind kind = BUFFERED; kind <= MAPPED; kind++) {
		struct view v = {.kind = kind};
		view_open(&v);
		compare_view(&v, 131072);
		view_close(&v, true);
	}
}

static inline void views_open(const char *mode)
{
	static const enum kind mixed[] = {BUFFERED, DIRECT, MAPPED, BUFFERED};
	bool is_mixed = strcmp(mode, "mixed") == 0;
	views_count = is_mixed ? 4 : 2;
	for (size_t i = 0; i < views_count; i++) {
		views[i].kind = is_mixed                    ? mixed[i]
				: strcmp(mode, "mmap") == 0 ? MAPPED
				: mode[0] == 'd'            ? DIRECT
							    : BUFFERED;
		view_open(&views[i]);
	}
}

static inline void views_close(void)
{
	for (size_t i = 0; i < views_count; i++)
		view_close(&views[i], i % 2 == 0);
	views_count = 0;
	is_map_dirty = false; /* the kernel writes a mapping's pages when it closes the file */
}

#endif
