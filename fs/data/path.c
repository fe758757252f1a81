/*
 * The table of data paths, and what they share. Owns nothing. Thread rule: the worker passed in belongs to the caller.
 */
#include "data/path.h"

#include <sys/uio.h>

#define PATH(name) extern const struct path_ops path_##name##_ops;
#include "paths.def"
#undef PATH

const struct path_ops *path_ops_get(enum path_id id)
{
	static const struct path_ops *const table[PATH_ID_COUNT] = {
#define PATH(name) [PATH_ID_##name] = &path_##name##_ops,
#include "paths.def"
#undef PATH
	};
	return table[id];
}

enum path_id path_resolve(enum path_id handle_path, bool is_direct)
{
	if (is_direct && (handle_path == PATH_ID_AUTO || handle_path == PATH_ID_pool))
		return PATH_ID_direct;
	return handle_path == PATH_ID_AUTO ? PATH_ID_splice : handle_path;
}

int payload_to_memory(struct worker *w, struct payload *in, struct account *acc)
{
	if (in->mem)
		return 0;
	size_t done = 0;
	while (done < in->len_bytes) {
		w->syscalls++;
		ssize_t n = read(w->pipe.rd, w->data + done, in->len_bytes - done);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	in->mem = w->data;
	acc->user_bytes += done;
	return 0;
}

int path_copy_range(struct worker *w, int fd, uint64_t off_bytes, size_t len_bytes,
		    struct reply *out, struct account *acc)
{
	size_t done = 0;
	while (done < len_bytes) {
		w->syscalls++;
		ssize_t n = pread(fd, w->data + done, len_bytes - done, (off_t)(off_bytes + done));
		if (n < 0 && errno == EINTR)
			continue;
		/* Also behind bytes that were good: a short answer would tell the kernel that the file ends here. */
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
		/* The page cache answers whole; fewer bytes are the file's end, and the kernel reads on if not. */
		if (done < len_bytes && (size_t)n < 4096)
			break;
	}
	*out = (struct reply){.kind = REPLY_MEMORY, .mem = w->data, .len_bytes = done, .way = WAY_COPY};
	acc->user_bytes += done;
	return 0;
}

ssize_t path_copy_payload(struct worker *w, const struct io_request *rq, int fd, struct payload *in,
			  struct account *acc)
{
	int err = payload_to_memory(w, in, acc);
	if (err < 0)
		return err;
	size_t done = 0;
	while (in->len_bytes > 0) {
		struct iovec iov = {.iov_base = in->mem, .iov_len = in->len_bytes};
		w->syscalls++;
		ssize_t n = pwritev2(fd, &iov, 1, (off_t)(rq->off_bytes + done),
				     rq->is_append ? RWF_APPEND : 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (done == 0 || rq->is_writeback))
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
		in->mem += n;
		in->len_bytes -= (size_t)n;
	}
	acc->way_bytes[WAY_COPY] += done;
	acc->user_bytes += done;
	return (ssize_t)done;
}
