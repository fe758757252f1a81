/*
 * floor MOUNTPOINT MIB [THREADS [BUFFER_MIB]]: the least that a FUSE daemon can do for a read: one read(2) of /dev/fuse, one
 * writev(2) of a header and of a buffer that never changes. Serves one file, `data`, of MIB mebibytes, opened with FOPEN_DIRECT_IO,
 * by the raw protocol: no library, no table, no accounting. tests/bench/pool compiles it and holds the buffer pool's hits against it.
 *
 * THREADS threads wait for requests, as a daemon's do (default: 2). A buffer of BUFFER_MIB is a ring that the file's offsets go
 * round in: one as large as what a program reads costs the processor's caches what any cache of that file costs them. Default: 0,
 * one buffer for every read. Ends when it is unmounted. Needs root: it mounts by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_ID       2 /* the root is FUSE_ROOT_ID */
#define FILE_NAME     "data"
#define READ_MAX      (1U << 20)
#define REQUEST_BYTES (READ_MAX + 4096U)
#define FOR_EVER_S    1000000000U
#define THREADS_MAX   64

struct server {
	int dev_fd;
	uint64_t file_bytes;
	unsigned char *answer; /* ring_bytes and READ_MAX more */
	uint64_t ring_bytes; /* offsets go round in so much; 0: every read is answered from the start */
};

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void answer(const struct server *s, uint64_t unique, int err, void *data, size_t len_bytes)
{
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + len_bytes), .error = -err, .unique = unique};
	const struct iovec iov[] = {{&header, sizeof(header)}, {data, len_bytes}};
	/* Nobody to tell if it fails: the requester or the mount is gone. */
	(void)!writev(s->dev_fd, iov, len_bytes > 0 ? 2 : 1);
}

static struct fuse_attr attr_of(const struct server *s, uint64_t id)
{
	bool is_file = id == FILE_ID;
	return (struct fuse_attr){
		.ino = id,
		.size = is_file ? s->file_bytes : 0,
		.mode = is_file ? S_IFREG | 0644U : S_IFDIR | 0755U,
		.nlink = is_file ? 1 : 2,
		.blksize = 4096,
	};
}

static void answer_init(const struct server *s, uint64_t unique, const struct fuse_init_in *in)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor < FUSE_KERNEL_MINOR_VERSION ? in->minor : FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead,
		.flags = in->flags & (FUSE_ASYNC_READ | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS),
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = READ_MAX,
		.max_pages = READ_MAX / 4096,
		.time_gran = 1,
	};
	answer(s, unique, 0, &out, sizeof(out));
}

static void answer_lookup(const struct server *s, uint64_t unique, const char *name)
{
	struct fuse_entry_out out = {.nodeid = FILE_ID,
				     .generation = 1,
				     .entry_valid = FOR_EVER_S,
				     .attr_valid = FOR_EVER_S,
				     .attr = attr_of(s, FILE_ID)};
	if (strcmp(name, FILE_NAME) == 0)
		answer(s, unique, 0, &out, sizeof(out));
	else
		answer(s, unique, ENOENT, NULL, 0);
}

static void answer_attr(const struct server *s, uint64_t unique, uint64_t id)
{
	struct fuse_attr_out out = {.attr_valid = FOR_EVER_S, .attr = attr_of(s, id)};
	answer(s, unique, 0, &out, sizeof(out));
}

static void answer_open(const struct server *s, uint64_t unique, bool is_file)
{
	struct fuse_open_out out = {.open_flags = is_file ? FOPEN_DIRECT_IO : 0};
	answer(s, unique, 0, &out, sizeof(out));
}

static void answer_read(const struct server *s, uint64_t unique, const struct fuse_read_in *in)
{
	uint64_t left = in->offset < s->file_bytes ? s->file_bytes - in->offset : 0;
	size_t len = in->size < READ_MAX ? in->size : READ_MAX;
	unsigned char *from = s->answer + (s->ring_bytes > 0 ? in->offset % s->ring_bytes : 0);
	answer(s, unique, 0, from, left < len ? (size_t)left : len);
}

static void serve(const struct server *s, const struct fuse_in_header *in)
{
	switch (in->opcode) {
	case FUSE_READ:
		answer_read(s, in->unique, (const void *)(in + 1));
		break;
	case FUSE_INIT:
		answer_init(s, in->unique, (const void *)(in + 1));
		break;
	case FUSE_LOOKUP:
		answer_lookup(s, in->unique, (const void *)(in + 1));
		break;
	case FUSE_GETATTR:
		answer_attr(s, in->unique, in->nodeid);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		answer_open(s, in->unique, in->opcode == FUSE_OPEN);
		break;
	case FUSE_READDIR: /* empty: the file is found by its name */
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		answer(s, in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break; /* no answer is due */
	default:
		answer(s, in->unique, ENOSYS, NULL, 0);
	}
}

static void *work(void *arg)
{
	const struct server *s = arg;
	void *request = NULL;
	if (posix_memalign(&request, 4096, REQUEST_BYTES) != 0)
		fail("memory");
	for (;;) {
		ssize_t n = read(s->dev_fd, request, REQUEST_BYTES);
		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			serve(s, request);
		else if (n < 0 && errno == ENODEV)
			break; /* unmounted */
		else if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
			fail("read from /dev/fuse");
	}
	free(request);
	return NULL;
}

static void attach(struct server *s, const char *mountpoint)
{
	char options[128];
	s->dev_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (s->dev_fd < 0)
		fail("/dev/fuse");
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions", s->dev_fd);
	if (mount("floor", mountpoint, "fuse.floor", MS_NOSUID | MS_NODEV, options) < 0)
		fail(mountpoint);
}

/* Huge pages where there are any, as a buffer pool's. */
static void fill_answer(struct server *s)
{
	void *mem = NULL;
	if (posix_memalign(&mem, 2U << 20, s->ring_bytes + READ_MAX) != 0)
		fail("memory");
	(void)madvise(mem, s->ring_bytes + READ_MAX, MADV_HUGEPAGE);
	memset(mem, 0x5a, s->ring_bytes + READ_MAX);
	s->answer = mem;
}

static unsigned long argument(int argc, char **argv, int i, unsigned long otherwise)
{
	return argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	struct server s = {.file_bytes = (uint64_t)argument(argc, argv, 2, 0) << 20,
			   .ring_bytes = (uint64_t)argument(argc, argv, 4, 0) << 20};
	unsigned long threads = argument(argc, argv, 3, 2);
	pthread_t thread[THREADS_MAX];
	if (argc > 5 || s.file_bytes == 0 || threads < 1 || threads > THREADS_MAX) {
		fprintf(stderr, "usage: floor MOUNTPOINT MIB [THREADS [BUFFER_MIB]]\n");
		return 2;
	}
	fill_answer(&s);
	attach(&s, argv[1]);
	for (unsigned long i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, work, &s) != 0)
			fail("cannot start a thread");
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	free(s.answer);
	return 0;
}
