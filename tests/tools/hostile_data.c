/*
 * Attempts on a file's data (hostile.h): offsets, lengths, sizes and ranges at the ends of their types, vectors, pipes,
 * mappings past the end, O_DIRECT switched while reading.
 */
#include "hostile.h"

#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static const int64_t offsets[] = {
	0,           1,       4095,       FILE_BYTES - 1, FILE_BYTES, FILE_BYTES + 1,
	2 * GIB - 1, 4 * GIB, FAR - 4096, FAR - 1,        FAR,        -1,
	INT64_MIN,   -4096};
static const uint64_t lengths[] = {0,       1,         4096,         2 * GIB - 1,    2 * GIB,
				   4 * GIB, SSIZE_MAX, (uint64_t)-1, (uint64_t)-4096};

static void try_reads(void)
{
	EACH(o, offsets)
	EACH(l, lengths)
	{
		size_t len = lengths[l];
		note(syscall(SYS_pread64, fd, area, len, offsets[o]), "pread %#lx at %ld", len,
		     offsets[o]);
	}
	note(read(-1, area, 1), "read of -1");
	note(pread(fd, nowhere, 100, 0), "pread to address 1");
	note(pread(fd, nowhere, 0, 0), "pread of nothing to address 1");
}

/* Only where nothing or an error comes of it, or a byte or page at a sane place: a file of 2 GiB would take its time. */
static void try_writes(void)
{
	EACH(o, offsets)
	EACH(l, lengths)
	{
		size_t len = lengths[l];
		if (len > 4096 && offsets[o] >= 0 && offsets[o] < FAR - 4096)
			continue;
		note(syscall(SYS_pwrite64, fd, area, len, offsets[o]), "pwrite %#lx at %ld", len,
		     offsets[o]);
		note(ftruncate(fd, FILE_BYTES), "back to its size");
	}
	note(pwrite(fd, nowhere, 100, 0), "pwrite from address 1");
	note(pwrite(fd, nowhere, 409600, 0), "large pwrite from address 1");
	int fd_append = open(path, O_WRONLY | O_APPEND);
	note(pwrite(fd_append, area, 10, FAR - 5), "pwrite appending at the end of the offsets");
	note(ftruncate(fd, FILE_BYTES), "back to its size");
	close(fd_append);
}

static void try_sizes(void)
{
	EACH(o, offsets)
	{
		note(syscall(SYS_ftruncate, fd, offsets[o]), "ftruncate to %ld", offsets[o]);
		note(syscall(SYS_truncate, path, offsets[o]), "truncate to %ld", offsets[o]);
		note(ftruncate(fd, FILE_BYTES), "back to its size");
	}
}

static void try_vectors(void)
{
	static struct iovec iov[1100];
	const int counts[] = {0, 1, 1023, 1024, 1025, -1, INT_MAX};
	for (int i = 0; i < 1100; i++)
		iov[i] = (struct iovec){area + i, i % 3 ? 1 : 0};
	EACH(c, counts)
	{
		note(preadv(fd, iov, counts[c], 5), "preadv of %d", counts[c]);
		note(pwritev(fd, iov, counts[c], 5), "pwritev of %d", counts[c]);
	}
	for (int i = 0; i < 1024; i++)
		iov[i] = (struct iovec){area, GIB};
	note(preadv(fd, iov, 1024, 0), "preadv of 1024 GiB");
	iov[0].iov_len = SSIZE_MAX;
	iov[1].iov_len = SSIZE_MAX;
	note(preadv(fd, iov, 2, 0), "preadv of twice the largest size");
	iov[0] = (struct iovec){area, 100};
	iov[1] = (struct iovec){nowhere, 100};
	note(preadv(fd, iov, 2, 0), "preadv half to address 1");
	note(pwritev(fd, iov, 2, 0), "pwritev half from address 1");
	const int flags[] = {RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_APPEND, 0x20,
			     0x40,      0x80,      0x100,    0x40000000};
	iov[0] = (struct iovec){area, 100};
	EACH(f, flags)
	{
		note(preadv2(fd, iov, 1, 10, flags[f]), "preadv2 with %#x", (unsigned)flags[f]);
		note(pwritev2(fd, iov, 1, 10, flags[f]), "pwritev2 with %#x", (unsigned)flags[f]);
	}
	note(ftruncate(fd, FILE_BYTES), "back to its size");
}

static void try_ranges(void)
{
	const int modes[] = {0,
			     FALLOC_FL_KEEP_SIZE,
			     FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
			     FALLOC_FL_PUNCH_HOLE,
			     FALLOC_FL_ZERO_RANGE,
			     FALLOC_FL_COLLAPSE_RANGE,
			     FALLOC_FL_INSERT_RANGE,
			     FALLOC_FL_UNSHARE_RANGE,
			     0x100,
			     -1};
	const int64_t ends[][2] = {{0, 0},       {0, -1},     {-1, 1},          {FAR, 1},
				   {FAR, FAR},   {1, FAR},    {FAR - 1, 1},     {INT64_MIN, 1},
				   {4096, 4096}, {100, 1000}, {4096, INT64_MIN}};
	EACH(m, modes)
	EACH(e, ends)
	{
		note(syscall(SYS_fallocate, fd, modes[m], ends[e][0], ends[e][1]),
		     "fallocate %#x of %ld at %ld", (unsigned)modes[m], ends[e][1], ends[e][0]);
		note(ftruncate(fd, FILE_BYTES), "back to its size");
	}
	const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE, 5, -1};
	EACH(w, whences)
	EACH(o, offsets)
	{
		note(syscall(SYS_lseek, fd, offsets[o], whences[w]), "lseek %d to %ld", whences[w],
		     offsets[o]);
		note(lseek(fd, 0, SEEK_SET), "lseek back");
	}
}

static void try_copies(void)
{
	EACH(o, offsets)
	EACH(l, lengths)
	{
		off_t in = offsets[o], out = 0;
		note(copy_file_range(fd_from, &in, fd, &out, lengths[l], 0),
		     "copy_file_range %#lx from %ld", lengths[l], offsets[o]);
		in = 0;
		out = offsets[o];
		if (out <= 2 * FILE_BYTES || out >= FAR - 4096)
			note(copy_file_range(fd_from, &in, fd, &out, lengths[l], 0),
			     "copy_file_range %#lx to %ld", lengths[l], offsets[o]);
		note(ftruncate(fd, FILE_BYTES), "back to its size");
	}
	off_t in = 0, out = 100;
	note(copy_file_range(fd, &in, fd, &out, 4096, 0), "copy_file_range over itself");
	in = out = 0;
	note(copy_file_range(fd_from, &in, fd, &out, 4096, 1), "copy_file_range with a flag");
}

static void try_pipes(void)
{
	int ends[2], other[2];
	if (pipe2(ends, O_NONBLOCK) < 0 || pipe2(other, O_NONBLOCK) < 0)
		exit(2);
	EACH(o, offsets)
	{
		off_t at = offsets[o];
		long n = splice(fd, &at, ends[1], NULL, 4096, SPLICE_F_NONBLOCK);
		note(n, "splice from %ld", offsets[o]);
		note(tee(ends[0], other[1], 4096, SPLICE_F_NONBLOCK), "tee of it");
		at = offsets[o];
		/* Not where it would write: the file is compared at the end. */
		if (at < 0 || at > FILE_BYTES)
			note(splice(ends[0], &at, fd, NULL, 4096, SPLICE_F_NONBLOCK) < 0 ? -1 : 0,
			     "splice into the file from a pipe with an offset");
		while (read(ends[0], area, 65536) > 0 || read(other[0], area, 65536) > 0)
			;
	}
	struct iovec iov = {area, 10000};
	note(vmsplice(ends[1], &iov, 1, SPLICE_F_GIFT | SPLICE_F_NONBLOCK), "vmsplice");
	off_t at = 200;
	note(splice(ends[0], NULL, fd, &at, 10000, SPLICE_F_MOVE), "splice of gifts into the file");
	at = FAR - 10;
	note(vmsplice(ends[1], &iov, 1, SPLICE_F_NONBLOCK), "vmsplice");
	note(splice(ends[0], NULL, fd, &at, 10000, 0), "splice to the end of the offsets");
	note(splice(fd, NULL, fd_from, NULL, 100, 0), "splice without a pipe");
	for (int i = 0; i < 2; i++) {
		close(ends[i]);
		close(other[i]);
	}
}

static sigjmp_buf past_end;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(past_end, 1);
}

static long touch(volatile char *at, bool is_store)
{
	if (sigsetjmp(past_end, 1))
		return 1;
	if (is_store)
		*at = 0;
	else
		(void)*at;
	return 0;
}

static void try_mappings(void)
{
	const int64_t at[] = {0, 4096, 98304, 102400, 1L << 40, FAR - 4095, 1};
	signal(SIGBUS, on_bus);
	EACH(o, at)
	{
		char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at[o]);
		note(map == MAP_FAILED ? -1 : 0, "mmap at %ld", at[o]);
		if (map == MAP_FAILED)
			continue;
		note(touch(map + 4096, false), "a signal of a load at %ld", at[o] + 4096);
		note(touch(map + 8191, true), "a signal of a store at %ld", at[o] + 8191);
		note(msync(map, 8192, MS_SYNC), "msync at %ld", at[o]);
		note(ftruncate(fd, 0), "truncated under the mapping");
		note(touch(map, false), "a signal of a load there");
		note(ftruncate(fd, FILE_BYTES), "back to its size");
		munmap(map, 8192);
	}
	note(pwrite(fd, area, FILE_BYTES, 0), "written again");
}

static atomic_bool is_over;

static void *toggle(void *arg)
{
	(void)arg;
	for (bool is_on = false; !atomic_load(&is_over); is_on = !is_on)
		(void)fcntl(fd, F_SETFL, is_on ? O_DIRECT : 0);
	return NULL;
}

/* O_DIRECT set and cleared while another thread reads by aligned blocks: every read is right either way. */
static void try_toggling(void)
{
	pthread_t thread;
	long bad = 0;
	char *mem = area + 65536;
	atomic_store(&is_over, false);
	if (pthread_create(&thread, NULL, toggle, NULL) != 0)
		exit(2);
	for (int i = 0; i < 2000; i++) {
		mem[0] = 1;
		bad += pread(fd, mem, 4096, (i % 24) * 4096L) != 4096 || mem[0] != 0;
	}
	atomic_store(&is_over, true);
	pthread_join(thread, NULL);
	note(fcntl(fd, F_SETFL, 0), "F_SETFL");
	note(bad, "wrong reads while O_DIRECT is switched");
}

void (*const attempts[])(void) = {try_reads,  try_writes, try_sizes,    try_vectors,  try_ranges,
				  try_copies, try_pipes,  try_mappings, try_toggling, NULL};
