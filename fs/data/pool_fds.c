/*
 * The pool's pages by O_DIRECT. A file whose size is no multiple of the device's block ends in a piece that O_DIRECT cannot write
 * without changing the size for a moment; that piece goes through the kernel's page cache, is written out and dropped there:
 *
 *   write    [dddd|dddd|dddd|b]      d: O_DIRECT, b: buffered
 *                            ^ file's end
 *
 * Owns its descriptors. Nothing in it changes after it is made, so any threads may use it at once.
 */
#include "data/pool_fds.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "data/path_direct.h"
#include "node/dio.h"
#include "node/mode.h"

#define SECTOR_BYTES 512U /* the least a device's block has */

struct pool_fds {
	struct pool_io io;
	struct node_table *nodes;
	int fd_direct;
	int fd_buffered; /* -1: not writable */
	uint64_t align_bytes;
};

static struct pool_fds *fds_of(struct pool_io *io)
{
	return (struct pool_fds *)(void *)io;
}

/* What is read, and where it goes: pieces that get smaller. */
struct filling {
	const struct iovec *iov;
	int count;
	size_t into_bytes; /* of the first piece are filled */
};

static ssize_t fill_once(int fd, const struct filling *f, uint64_t off_bytes)
{
	if (f->into_bytes > 0)
		return pread(fd, (char *)f->iov->iov_base + f->into_bytes,
			     f->iov->iov_len - f->into_bytes, (off_t)off_bytes);
	return preadv2(fd, f->iov, f->count < IOV_MAX ? f->count : IOV_MAX, (off_t)off_bytes, 0);
}

/* Bytes, or -errno. */
static ssize_t fill(int fd, const struct iovec *iov, int count, uint64_t off_bytes)
{
	struct filling f = {.iov = iov, .count = count};
	size_t done = 0;
	while (f.count > 0) {
		ssize_t n = fill_once(fd, &f, off_bytes + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
		for (f.into_bytes += (size_t)n; f.count > 0 && f.into_bytes >= f.iov->iov_len; f.count--)
			f.into_bytes -= (f.iov++)->iov_len;
		/* A short read off the block grid is the file's end; on the grid there may be more. */
		if (n == 0 || done % SECTOR_BYTES != 0)
			break;
	}
	return (ssize_t)done;
}

static ssize_t fds_read(struct pool_io *io, const struct iovec *iov, int count, uint64_t off_bytes)
{
	struct pool_fds *d = fds_of(io);
	ssize_t n = fill(d->fd_direct, iov, count, off_bytes);
	if (n != -EINVAL)
		return n;
	/* Whole blocks may pass the largest offset there is: through the page cache they are cut there. */
	int AUTO_FD fd = node_reopen(d->nodes, d->fd_direct, O_RDONLY);
	return fd < 0 ? fd : fill(fd, iov, count, off_bytes);
}

/* 0 or -errno. */
static int write_all(int fd, const unsigned char *mem, size_t len_bytes, uint64_t off_bytes)
{
	size_t done = 0;
	while (done < len_bytes) {
		ssize_t n = pwrite(fd, mem + done, len_bytes - done, (off_t)(off_bytes + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int fds_write(struct pool_io *io, const unsigned char *mem, size_t len_bytes, uint64_t off_bytes)
{
	struct pool_fds *d = fds_of(io);
	size_t whole = off_bytes % d->align_bytes == 0 ? len_bytes / d->align_bytes * d->align_bytes : 0;
	int err = write_all(d->fd_direct, mem, whole, off_bytes);
	if (err < 0 || whole == len_bytes)
		return err;
	err = write_all(d->fd_buffered, mem + whole, len_bytes - whole, off_bytes + whole);
	return err < 0 ? err
		       : path_direct_write_out(d->fd_buffered, off_bytes + whole, len_bytes - whole);
}

/* Of descriptors that nobody else seeks; where a filesystem cannot tell holes, it says that there are none. */
static bool has_no_hole(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && lseek(fd, 0, SEEK_HOLE) >= st.st_size;
}

static int allocate(int fd, uint64_t off_bytes, uint64_t len_bytes)
{
	int rc;
	do
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)off_bytes, (off_t)len_bytes);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

/* Space first, then the size: ext4 would make the file longer by as much as it found space for, if only for a moment. */
static int fds_reserve(struct pool_io *io, uint64_t off_bytes, uint64_t len_bytes, bool keep_size)
{
	int fd = fds_of(io)->fd_direct;
	struct stat st;
	if (keep_size && has_no_hole(fd))
		return 1;
	int err = allocate(fd, off_bytes, len_bytes);
	if (keep_size)
		return err;
	if (fstat(fd, &st) < 0)
		return err < 0 ? err : -errno;
	uint64_t end = off_bytes + len_bytes;
	if (err == 0 && (uint64_t)st.st_size < end)
		err = ftruncate(fd, (off_t)end) < 0 ? -errno : 0;
	/* What was allocated beyond the end in vain goes. */
	if (err < 0 && err != -EOPNOTSUPP)
		(void)!ftruncate(fd, st.st_size);
	return err;
}

static int fds_size(struct pool_io *io, uint64_t *size_bytes)
{
	struct stat st;
	if (fstat(fds_of(io)->fd_direct, &st) < 0)
		return -errno;
	*size_bytes = (uint64_t)st.st_size;
	return 0;
}

static int fds_set_mtime(struct pool_io *io, int64_t mtime_ns)
{
	int64_t second_ns = 1000000000;
	int64_t ns = (mtime_ns % second_ns + second_ns) % second_ns;
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (mtime_ns - ns) / second_ns, .tv_nsec = ns},
	};
	return futimens(fds_of(io)->fd_direct, times) < 0 ? -errno : 0;
}

static int fds_changed(struct pool_io *io, int64_t *changed_ns)
{
	struct statx stx;
	if (statx(fds_of(io)->fd_direct, "", AT_EMPTY_PATH, STATX_MTIME | STATX_CTIME, &stx) < 0)
		return -errno;
	*changed_ns = mode_changed_ns(&stx);
	return 0;
}

static void fds_free(struct pool_io *io)
{
	struct pool_fds *d = fds_of(io);
	auto_close(&d->fd_direct);
	auto_close(&d->fd_buffered);
	free(d);
}

static const struct pool_io_ops fds_ops = {
	.read = fds_read,
	.write = fds_write,
	.reserve = fds_reserve,
	.size = fds_size,
	.set_mtime = fds_set_mtime,
	.free = fds_free,
	.changed = fds_changed,
};

int pool_fds_new(struct node_table *nodes, int fd_direct, int fd_buffered, struct pool_io **out)
{
	struct pool_fds *d = malloc(sizeof(*d));
	if (!d) {
		auto_close(&fd_direct);
		auto_close(&fd_buffered);
		return -ENOMEM;
	}
	*d = (struct pool_fds){
		.io = {.ops = &fds_ops, .is_writable = fd_buffered >= 0, .refs = 1},
		.nodes = nodes,
		.fd_direct = fd_direct,
		.fd_buffered = fd_buffered,
		.align_bytes = dio_align_bytes(fd_direct),
	};
	*out = &d->io;
	return 0;
}
