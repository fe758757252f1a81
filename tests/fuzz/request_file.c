/* Requests about an open file's data; see request.h. What is read and written is held against the backing file itself. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "node/handle.h"
#include "request.h"

#define SETFL_FLAGS \
	(O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME) /* what fcntl(2) may change after an open */

static unsigned char data[DAEMON_MAX_IO];

/* The flags that come with this request: as opened, or changed meanwhile. */
static uint32_t flags_now(struct input *in, const struct opened *o)
{
	uint32_t change = input_u8(in);

	return change < 128 ? o->flags
			    : o->flags ^ ((change << 10 | change << 14) & (uint32_t)SETFL_FLAGS);
}

/* A descriptor of the open's backing file to read from, by no way of the daemon's; -1 if it cannot be had. */
static int backing_fd(const struct opened *o)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d",
		       handle_any_fd((const struct handle *)(uintptr_t)o->fh));
	return open(path, O_RDONLY | O_CLOEXEC);
}

void request_read(struct kernel *k, struct input *in)
{
	struct opened *o = request_open(k, in, S_IFREG);
	uint64_t offset = input_number(in) & INT64_MAX, size = input_number(in);

	if (!o)
		return;
	if (size > DAEMON_MAX_IO)
		size = DAEMON_MAX_IO;
	if (offset > INT64_MAX - size) /* refused above */
		offset = INT64_MAX - size;
	const struct fuse_read_in read = {
		.fh = o->fh,
		.offset = offset,
		.size = (uint32_t)size,
		.read_flags = input_u8(in) & 1 ? 0 : FUSE_READ_LOCKOWNER,
		.flags = flags_now(in, o),
	};
	kernel_put_header(k, FUSE_READ, o->node);
	kernel_put(k, &read, sizeof(read));
	if (kernel_ask(k, size) < 0)
		return;
	int AUTO_FD fd = backing_fd(o);
	ssize_t n = fd < 0 ? -1 : pread(fd, data, size, (off_t)offset);
	if (n < 0)
		return;
	REQUIRE((size_t)n == k->answer_bytes, "%zu bytes read, the file has %zd", k->answer_bytes, n);
	REQUIRE(n == 0 || memcmp(data, k->answer, (size_t)n) == 0, "other bytes than the file's");
}

static void check_written(struct kernel *k, const struct opened *o, const struct fuse_write_in *write)
{
	static unsigned char now[DAEMON_MAX_IO];
	const struct fuse_write_out *out = (const void *)k->answer;
	bool is_append = write->flags & O_APPEND && !(write->write_flags & FUSE_WRITE_CACHE);
	int AUTO_FD fd = -1;

	REQUIRE(out->size <= write->size, "%u bytes written of %u", out->size, write->size);
	REQUIRE(!(write->write_flags & FUSE_WRITE_CACHE) || out->size == write->size,
		"a short write-back");
	fd = backing_fd(o);
	if (fd < 0 || is_append)
		return;
	ssize_t n = pread(fd, now, out->size, (off_t)write->offset);
	REQUIRE(n == (ssize_t)out->size && memcmp(now, data, out->size) == 0,
		"%u bytes written at %llu are not there", out->size, (unsigned long long)write->offset);
}

/* The kernel writes through opens that may write; others would be refused with EBADF, which shows nothing. */
void request_write(struct kernel *k, struct input *in)
{
	struct opened *o = request_open(k, in, S_IFREG);
	uint64_t offset = input_number(in) & INT64_MAX, size = input_number(in);
	unsigned seed = input_u8(in);

	if (!o)
		return;
	if (size > DAEMON_MAX_IO)
		size = DAEMON_MAX_IO;
	if (offset > INT64_MAX - size)
		offset = INT64_MAX - size;
	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)(seed + i * 7 + (i >> 9));
	const struct fuse_write_in write = {
		.fh = o->fh,
		.offset = offset,
		.size = (uint32_t)size,
		.write_flags = input_u8(in) &
			       (FUSE_WRITE_CACHE | FUSE_WRITE_LOCKOWNER | FUSE_WRITE_KILL_SUIDGID),
		.flags = flags_now(in, o),
	};
	kernel_put_header(k, FUSE_WRITE, o->node);
	kernel_put(k, &write, sizeof(write));
	kernel_put(k, data, size);
	if (kernel_ask_exact(k, sizeof(struct fuse_write_out)) == 0)
		check_written(k, o, &write);
}

void request_sync(struct kernel *k, struct input *in)
{
	unsigned which = input_u8(in);
	struct opened *o = kernel_open(k, input_u8(in), ANY_TYPE);

	if (!o)
		return;
	bool is_dir = S_ISDIR(o->node->type), is_flush = which & 2 && !is_dir;
	const struct fuse_flush_in flush = {.fh = o->fh};
	const struct fuse_fsync_in sync = {.fh = o->fh, .fsync_flags = which & FUSE_FSYNC_FDATASYNC};

	kernel_put_header(k, is_flush ? FUSE_FLUSH : is_dir ? FUSE_FSYNCDIR : FUSE_FSYNC, o->node);
	if (is_flush)
		kernel_put(k, &flush, sizeof(flush));
	else
		kernel_put(k, &sync, sizeof(sync));
	(void)kernel_ask(k, 0);
}

/* The kernel checks modes, whence, and that a range is one; what it keeps in place of a hole must not fill memory. */
void request_range(struct kernel *k, struct input *in)
{
	struct opened *o = request_open(k, in, S_IFREG);
	unsigned which = input_u8(in);
	uint64_t offset = input_number(in) & INT64_MAX, length = input_number(in) & INT64_MAX;

	if (!o)
		return;
	if (which & 1) {
		const struct fuse_lseek_in lseek = {
			.fh = o->fh, .offset = offset, .whence = which & 2 ? SEEK_DATA : SEEK_HOLE};
		kernel_put_header(k, FUSE_LSEEK, o->node);
		kernel_put(k, &lseek, sizeof(lseek));
		(void)kernel_ask_exact(k, sizeof(struct fuse_lseek_out));
		return;
	}
	static const uint32_t modes[] = {0,  1, 3, 16,
					 17, 2}; /* FALLOC_FL_*: KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE */
	uint32_t mode = modes[(which >> 1) % (sizeof(modes) / sizeof(modes[0]))];
	if (!(mode & 2))
		offset &= (1 << 22) - 1, length &= (1 << 22) - 1;
	if (length > INT64_MAX - offset)
		length = INT64_MAX - offset;
	const struct fuse_fallocate_in fallocate = {
		.fh = o->fh, .offset = offset, .length = length, .mode = mode};
	kernel_put_header(k, FUSE_FALLOCATE, o->node);
	kernel_put(k, &fallocate, sizeof(fallocate));
	(void)kernel_ask(k, 0);
}

void request_copy(struct kernel *k, struct input *in)
{
	struct opened *from = request_open(k, in, S_IFREG), *to = request_open(k, in, S_IFREG);
	bool is_wide = input_u8(in) & 1;

	if (!from || !to)
		return;
	const struct fuse_copy_file_range_in copy = {
		.fh_in = from->fh,
		.off_in = input_number(in) & INT64_MAX,
		.nodeid_out = to->node->nodeid,
		.fh_out = to->fh,
		.off_out = input_number(in) & INT64_MAX,
		.len = input_number(in) & INT64_MAX,
	};
	kernel_put_header(k, is_wide ? OPCODE_COPY_FILE_RANGE_64 : FUSE_COPY_FILE_RANGE, from->node);
	kernel_put(k, &copy, sizeof(copy));
	if (kernel_ask_exact(k, sizeof(struct fuse_write_out)) < 0)
		return;
	uint64_t copied = 0;
	memcpy(&copied, k->answer, is_wide ? sizeof(uint64_t) : sizeof(uint32_t));
	REQUIRE(copied <= copy.len, "%llu bytes copied", (unsigned long long)copied);
}

/* Sizes are the number's, in restricted ioctls; a program may well make up a number. */
void request_ioctl(struct kernel *k, struct input *in)
{
	static const uint32_t known[] = {FS_IOC_GETFLAGS,   FS_IOC_SETFLAGS,   FS_IOC_FSGETXATTR,
					 FS_IOC_FSSETXATTR, FS_IOC_GETVERSION, FS_IOC32_GETVERSION,
					 FS_IOC_GETFSLABEL, FIGETBSZ,          FICLONE};
	struct opened *o = request_open(k, in, input_u8(in) & 1 ? S_IFDIR : S_IFREG);
	unsigned which = input_u8(in), sizes = input_u8(in);
	uint32_t cmd = which < 200 ? known[which % (sizeof(known) / sizeof(known[0]))]
				   : (uint32_t)input_bits(in, 4);
	char value[NAME_BYTES] = "";

	if (!o)
		return;
	uint32_t in_bytes = _IOC_DIR(cmd) & _IOC_WRITE ? _IOC_SIZE(cmd) : 0;
	uint32_t out_bytes = _IOC_DIR(cmd) & _IOC_READ ? _IOC_SIZE(cmd) : 0;
	if (sizes >= 128) { /* the header of another architecture's program may say another size */
		in_bytes = sizes & 15;
		out_bytes = sizes >> 4 & 7;
	}
	const struct fuse_ioctl_in ioctl = {
		.fh = o->fh,
		.flags = (S_ISDIR(o->node->type) ? FUSE_IOCTL_DIR : 0) | (input_u8(in) & FUSE_IOCTL_32BIT),
		.cmd = cmd,
		.arg = input_bits(in, 2),
		.in_size = in_bytes,
		.out_size = out_bytes,
	};
	kernel_put_header(k, FUSE_IOCTL, o->node);
	kernel_put(k, &ioctl, sizeof(ioctl));
	input_text(in, value, sizeof(value));
	for (uint32_t done = 0; done < in_bytes; done += sizeof(value))
		kernel_put(k, value, in_bytes - done < sizeof(value) ? in_bytes - done : sizeof(value));
	if (kernel_ask(k, sizeof(struct fuse_ioctl_out) + out_bytes) == 0)
		REQUIRE(k->answer_bytes >= sizeof(struct fuse_ioctl_out), "%zu bytes", k->answer_bytes);
}
