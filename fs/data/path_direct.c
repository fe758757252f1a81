/*
 * Path direct: the backing file through an O_DIRECT descriptor and the worker's aligned buffer; no page cache below.
 *
 * A program that asked for O_DIRECT gets exactly its own range, so the backing refuses (EINVAL) what it would refuse natively.
 * A program that did not ask (path=direct imposed) is served whatever its alignment:
 *
 *   read     widened to whole blocks, the middle sent:          [..====..]
 *   write    whole blocks by O_DIRECT, the ends buffered,       [b|dddd|b]
 *            written out and dropped from the cache at once
 *
 * The ends go through the kernel's page cache, not through a read-modify-write of ours, because only the kernel can do that
 * atomically against other writers and keep the file's size right at every instant.
 */
#include "data/path_direct.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "node/dio.h"

/* A program's own O_DIRECT request, to the letter. */
static int exact_read(struct worker *w, const struct io_request *rq, int fd, struct reply *out,
		      struct account *acc)
{
	ssize_t n;
	do {
		w->syscalls++;
		n = pread(fd, w->data, rq->len_bytes, (off_t)rq->off_bytes);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		int err = errno;
		acc->is_misaligned = err == EINVAL;
		return -err;
	}
	acc->dma_bytes += (uint64_t)n;
	*out = (struct reply){
		.kind = REPLY_MEMORY, .mem = w->data, .len_bytes = (size_t)n, .way = WAY_DIRECT};
	return 0;
}

/* Through the page cache after all, where whole blocks are refused: they may pass the largest offset there is. */
static int buffered_read(struct worker *w, const struct io_request *rq, struct reply *out,
			 struct account *acc)
{
	int fd = handle_fd(rq->handle, false);
	return fd < 0 ? fd : path_copy_range(w, fd, rq->off_bytes, rq->len_bytes, out, acc);
}

/* Any range, by reading the whole blocks around it. */
static int widened_read(struct worker *w, const struct io_request *rq, int fd, struct reply *out,
			struct account *acc)
{
	w->syscalls++;
	uint64_t align = dio_align_bytes(fd);
	uint64_t start = rq->off_bytes / align * align;
	uint64_t end = (rq->off_bytes + rq->len_bytes + align - 1) / align * align;
	size_t lead = (size_t)(rq->off_bytes - start);
	size_t got = 0;
	while (got < end - start) {
		w->syscalls++;
		ssize_t n = pread(fd, w->data + got, (size_t)(end - start) - got, (off_t)(start + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL)
			return buffered_read(w, rq, out, acc);
		if (n < 0)
			return -errno;
		got += (size_t)n;
		/* A short direct read off the block grid is the file's end; on the grid there may be more. */
		if (n == 0 || got % align != 0)
			break;
	}
	acc->dma_bytes += got;
	size_t have = got > lead ? got - lead : 0;
	*out = (struct reply){.kind = REPLY_MEMORY,
			      .mem = w->data + lead,
			      .len_bytes = have < rq->len_bytes ? have : rq->len_bytes,
			      .way = WAY_DIRECT};
	return 0;
}

static int direct_read(struct worker *w, const struct io_request *rq, struct reply *out,
		       struct account *acc)
{
	int fd = handle_fd(rq->handle, true);
	if (fd < 0)
		return fd;
	if (rq->is_direct)
		return exact_read(w, rq, fd, out, acc);
	return widened_read(w, rq, fd, out, acc);
}

static ssize_t direct_pwrite(struct worker *w, int fd, const unsigned char *mem, size_t len_bytes,
			     uint64_t off_bytes, bool is_append)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)mem, .iov_len = len_bytes};
	ssize_t n;
	do {
		w->syscalls++;
		n = pwritev2(fd, &iov, 1, (off_t)off_bytes, is_append ? RWF_APPEND : 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int path_direct_write_out(int fd, uint64_t off_bytes, uint64_t len_bytes)
{
	if (sync_file_range(fd, (off_t)off_bytes, (off_t)len_bytes,
			    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
		return -errno;
	/* Pages in part are kept, so name them whole. Only advice: a page that stays is coherent all the same. */
	uint64_t lead = off_bytes % DIO_ALIGN_DEFAULT;
	uint64_t span =
		(lead + len_bytes + DIO_ALIGN_DEFAULT - 1) / DIO_ALIGN_DEFAULT * DIO_ALIGN_DEFAULT;
	(void)posix_fadvise(fd, (off_t)(off_bytes - lead), len_bytes ? (off_t)span : 0,
			    POSIX_FADV_DONTNEED);
	return 0;
}

/* A piece that is no whole block: through the page cache, then out of it. */
static ssize_t fragment_write(struct worker *w, const struct io_request *rq, const unsigned char *mem,
			      size_t len_bytes, uint64_t off_bytes, struct account *acc)
{
	int fd = handle_fd(rq->handle, false);
	if (fd < 0)
		return fd;
	ssize_t n = direct_pwrite(w, fd, mem, len_bytes, off_bytes, rq->is_append);
	if (n <= 0)
		return n;
	acc->user_bytes += (uint64_t)n;
	w->syscalls += 2;
	/* Where an append landed is not known: the whole file. */
	int err = path_direct_write_out(fd, rq->is_append ? 0 : off_bytes,
					rq->is_append ? 0 : (uint64_t)n);
	if (err < 0)
		return err;
	acc->way_bytes[WAY_COPY] += (uint64_t)n;
	return n;
}

/* The whole blocks of a write that was not aligned by its program. */
static ssize_t body_write(struct worker *w, int fd, uint64_t align, const unsigned char *mem,
			  size_t len_bytes, uint64_t off_bytes, struct account *acc)
{
	size_t shift = (uintptr_t)mem % (align < DIO_ALIGN_DEFAULT ? align : DIO_ALIGN_DEFAULT);
	if (shift != 0) {
		/* Only the payload behind an odd head is off the grid; its head is already written, so move it down. */
		__builtin_memmove((void *)(uintptr_t)(mem - shift), mem, len_bytes);
		acc->user_bytes += len_bytes;
		mem -= shift;
	}
	ssize_t n = direct_pwrite(w, fd, mem, len_bytes, off_bytes, false);
	if (n > 0) {
		acc->way_bytes[WAY_DIRECT] += (uint64_t)n;
		acc->dma_bytes += (uint64_t)n;
	}
	return n;
}

ssize_t path_direct_split_write(struct worker *w, const struct io_request *rq, int fd,
				struct payload *in, struct account *acc)
{
	w->syscalls++;
	uint64_t align = dio_align_bytes(fd);
	uint64_t off = rq->off_bytes;
	uint64_t end = off + in->len_bytes;
	uint64_t body = (off + align - 1) / align * align;
	uint64_t tail = end / align * align;
	if (body > tail || rq->is_append) /* inside one block, or at an end only the backing knows */
		body = tail = end;
	const uint64_t edge[4] = {off, body, tail, end};
	/* The tail is set aside, because an unaligned body is moved down over the head, and could not disturb it. */
	size_t done = 0;
	for (int i = 0; i < 3; i++) {
		size_t len_bytes = (size_t)(edge[i + 1] - edge[i]);
		unsigned char *mem = in->mem + (edge[i] - off);
		if (len_bytes == 0)
			continue;
		ssize_t n = i == 1 ? body_write(w, fd, align, mem, len_bytes, edge[i], acc)
				   : fragment_write(w, rq, mem, len_bytes, edge[i], acc);
		if (n < 0)
			return done > 0 && !rq->is_writeback ? (ssize_t)done : n;
		done += (size_t)n;
		if ((size_t)n < len_bytes)
			break;
	}
	return (ssize_t)done;
}

static ssize_t direct_write(struct worker *w, const struct io_request *rq, struct payload *in,
			    struct account *acc)
{
	int fd = handle_fd(rq->handle, true);
	if (fd < 0)
		return fd;
	int err = payload_to_memory(w, in, acc);
	if (err < 0)
		return err;
	if (!rq->is_direct || rq->is_writeback) {
		ssize_t n = path_direct_split_write(w, rq, fd, in, acc);
		if (n > 0)
			in->len_bytes -= (size_t)n;
		return n;
	}
	ssize_t n = direct_pwrite(w, fd, in->mem, in->len_bytes, rq->off_bytes, rq->is_append);
	acc->is_misaligned = n == -EINVAL;
	if (n > 0) {
		acc->way_bytes[WAY_DIRECT] += (uint64_t)n;
		acc->dma_bytes += (uint64_t)n;
		in->len_bytes -= (size_t)n;
	}
	return n;
}

static bool direct_wants_pipe(size_t len_bytes)
{
	(void)len_bytes;
	return false;
}

const struct path_ops path_direct_ops = {
	.name = "direct",
	.read = direct_read,
	.write = direct_write,
	.wants_pipe = direct_wants_pipe,
};
