/*
 * roundtrip METHOD MNT BACKING: writes files of many sizes at odd offsets on the mount by METHOD, then compares every byte
 * and the size with what they should be: through the mount buffered, O_DIRECT and mapped, while still open and after the
 * close, and in the backing directory. Status 1 and one line at the first difference.
 */
#include <pthread.h>
#include <sys/uio.h>

#include "model.h"

static int create(int flags)
{
	memset(model, 0, model_len);
	model_len = 0;
	return open_checked(mnt_path, O_RDWR | O_CREAT | O_TRUNC | flags);
}

/* Through the descriptor that wrote, which is closed then. */
static void compare_own(int fd)
{
	compare_fd(fd, MIB, "own descriptor");
	CHECK(close(fd) == 0, "close");
}

/* All of the model's range, in one call. */
static void put(int fd, size_t off, size_t len)
{
	memcpy(scratch, model + off, len);
	ssize_t n = pwrite(fd, scratch, len, (off_t)off);
	CHECK(n == (ssize_t)len, "pwrite of %zu at %zu gave %zd", len, off, n);
}

static void by_pwrite(int flags, size_t off, size_t len)
{
	int fd = create(flags);
	model_write(off, len, 1 + len);
	put(fd, off, len);
	if (len > 2) { /* and again over its middle */
		model_write(off + len / 3, len / 2, 7);
		put(fd, off + len / 3, len / 2);
	}
	compare_own(fd);
}

static void buffered(size_t off, size_t len)
{
	by_pwrite(0, off, len);
}

static void osync(size_t off, size_t len)
{
	by_pwrite(len % 2 ? O_SYNC : O_DSYNC, off, len);
}

static void direct(size_t off, size_t len)
{
	int fd = create(O_DIRECT);
	off = off / BLOCK * BLOCK;
	len = (len + BLOCK - 1) / BLOCK * BLOCK;
	model_write(off, len, 1 + len);
	put(fd, off, len);
	compare_fd(fd, MIB / 4, "own descriptor");
	size_t odd = model_len - model_len / 3 - (model_len > 0);
	model_truncate(odd); /* an end within a block */
	CHECK(ftruncate(fd, (off_t)odd) == 0, "ftruncate %zu", odd);
	compare_fd(fd, MIB / 4, "own descriptor, odd end");
	CHECK(close(fd) == 0, "close");
}

static unsigned char *map_writable(int fd, int how)
{
	unsigned char *map = mmap(NULL, model_len, PROT_READ | PROT_WRITE, how, fd, 0);
	CHECK(map != MAP_FAILED, "mmap");
	return map;
}

static void mmap_shared(size_t off, size_t len)
{
	int fd = create(0);
	model_write(off, len, 3 + len);
	CHECK(ftruncate(fd, (off_t)model_len) == 0, "ftruncate");
	if (len > 0) {
		unsigned char *map = map_writable(fd, MAP_SHARED);
		memcpy(map + off, model + off, len);
		compare(map, 0, model_len, "own map");
		if (len % 2 == 0)
			CHECK(msync(map, model_len, MS_SYNC) == 0, "msync");
		CHECK(munmap(map, model_len) == 0, "munmap");
	}
	compare_fd(fd, MIB, "own descriptor");
	CHECK(fsync(fd) == 0, "fsync");
	CHECK(close(fd) == 0, "close");
}

static void mmap_private(size_t off, size_t len)
{
	int fd = create(0);
	model_write(off, len, 5 + len);
	put(fd, off, len);
	if (len > 0) { /* stores stay private */
		unsigned char *map = map_writable(fd, MAP_PRIVATE);
		compare(map, 0, model_len, "own map");
		memset(map, 0x55, model_len);
		munmap(map, model_len);
	}
	compare_own(fd);
}

static void vectors(size_t off, size_t len)
{
	struct iovec iov[64];
	int fd = create(0), count = 0;
	model_write(off, len, 11 + len);
	for (size_t at = 0; at < len && count < 64; count++) {
		size_t piece = count < 63 && len - at > 1237 ? 1237 : len - at;
		iov[count] = (struct iovec){.iov_base = model + off + at, .iov_len = piece};
		at += piece;
	}
	ssize_t n = pwritev(fd, iov, count, (off_t)off);
	CHECK(n == (ssize_t)len, "pwritev of %zu gave %zd", len, n);
	compare_own(fd);
}

static void append(size_t off, size_t len)
{
	int fd = create(O_APPEND);
	model_write(0, off + len, 13 + len);
	for (size_t at = 0, piece = 1; at < model_len; at += piece, piece = piece * 3 + 1) {
		if (piece > model_len - at)
			piece = model_len - at;
		memcpy(scratch, model + at, piece);
		ssize_t n = write(fd, scratch, piece);
		CHECK(n == (ssize_t)piece, "append of %zu gave %zd", piece, n);
	}
	compare_own(fd);
}

static void truncated(size_t off, size_t len)
{
	int fd = create(0);
	model_write(off, len, 17 + len);
	put(fd, off, len);
	const size_t sizes[] = {model_len / 2,     model_len + 1,          model_len / 3,
				model_len + 70001, (model_len / 4) | 511U, model_len};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		model_truncate(sizes[i]);
		CHECK(ftruncate(fd, (off_t)sizes[i]) == 0, "ftruncate %zu", sizes[i]);
		compare_fd(fd, MIB, "own descriptor");
		compare_map(fd, MAP_SHARED, "own map");
		if (i % 2 == 1 && model_len > 100) { /* write into what was cut off */
			model_write(model_len - 99, 98, 19);
			put(fd, model_len - 99, 98);
		}
	}
	CHECK(close(fd) == 0, "close");
}

static void sparse(size_t off, size_t len)
{
	int fd = create(0);
	const size_t far = 1200000 + off;
	model_write(far, len, 23);
	put(fd, far, len);
	model_write(off, len / 2, 29);
	put(fd, off, len / 2);
	model_truncate(far + len + 12345);
	CHECK(ftruncate(fd, (off_t)model_len) == 0, "ftruncate");
	compare_own(fd);
}

/* Random operations on one file, through three descriptors that are open all the time. */
static void mixed_step(const int fd[2])
{
	size_t off = next_random() % 300000, len = next_random() % 140000;
	if (next_random() % 3 == 0)
		len %= 5000;
	switch (next_random() % 6) {
	case 0:
	case 1:
		model_write(off, len, next_random() | 1);
		put(fd[0], off, len);
		break;
	case 2:
		off = off / BLOCK * BLOCK;
		len = len / BLOCK * BLOCK;
		model_write(off, len, next_random() | 1);
		put(fd[1], off, len);
		break;
	case 3:
		model_truncate(off);
		CHECK(ftruncate(fd[0], (off_t)off) == 0, "ftruncate");
		break;
	case 4:
		if (off < model_len) {
			len = len < model_len - off ? len : model_len - off;
			unsigned char *map = map_writable(fd[0], MAP_SHARED);
			model_write(off, len, next_random() | 1);
			memcpy(map + off, model + off, len);
			CHECK(msync(map, model_len, MS_SYNC) == 0, "msync");
			munmap(map, model_len);
		}
		break;
	default:
		compare_fd(fd[1], MIB / 16, "O_DIRECT descriptor");
		compare_fd(fd[0], 50001, "buffered descriptor");
		compare_map(fd[0], MAP_SHARED, "map");
	}
}

static void mixed(size_t off, size_t len)
{
	(void)off, (void)len;
	const int fd[2] = {create(0), open_checked(mnt_path, O_RDWR | O_DIRECT)};
	for (int i = 0; i < 500; i++)
		mixed_step(fd);
	CHECK(close(fd[0]) == 0 && close(fd[1]) == 0, "close");
}

#define WRITERS      6UL
#define WRITER_PIECE 7919UL /* odd, so that neighbours share blocks */

static void *write_stripes(void *arg)
{
	size_t mine = (size_t)(uintptr_t)arg;
	int fd = open_checked(mnt_path, O_RDWR);
	for (size_t off = mine * WRITER_PIECE; off < model_len; off += WRITERS * WRITER_PIECE) {
		size_t len = model_len - off < WRITER_PIECE ? model_len - off : WRITER_PIECE;
		ssize_t n = pwrite(fd, model + off, len, (off_t)off);
		CHECK(n == (ssize_t)len, "pwrite gave %zd", n);
	}
	CHECK(close(fd) == 0, "close");
	return NULL;
}

static void writers(size_t off, size_t len)
{
	pthread_t thread[WRITERS];
	(void)off, (void)len;
	close(create(0));
	model_write(0, 1500007, 31);
	for (size_t i = 0; i < WRITERS; i++)
		CHECK(pthread_create(&thread[i], NULL, write_stripes, (void *)(uintptr_t)i) == 0,
		      "thread");
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
}

static const struct method {
	const char *name;
	void (*carry_out)(size_t off, size_t len);
	int times; /* 0: once for each size */
} methods[] = {
	{"buffered", buffered, 0},
	{"direct", direct, 0},
	{"mmap_shared", mmap_shared, 0},
	{"mmap_private", mmap_private, 0},
	{"vectors", vectors, 0},
	{"append", append, 0},
	{"osync", osync, 0},
	{"truncated", truncated, 0},
	{"sparse", sparse, 0},
	{"mixed", mixed, 3},
	{"writers", writers, 3},
};

static void run(const struct method *m)
{
	static const size_t sizes[] = {0,      1,      511,    512,    4095,   4096,    4097,
				       12289,  16383,  16384,  16385,  32767,  32768,   65537,
				       131071, 262145, 524287, 524288, 524289, 1048576, 1048579};
	static const size_t offsets[] = {0, 1, 511, 4095, 4097, 65537, 12345};
	size_t count = m->times ? (size_t)m->times : sizeof(sizes) / sizeof(sizes[0]);
	for (size_t i = 0; i < count; i++) {
		m->carry_out(0, sizes[i]);
		compare_all();
		if (m->times)
			continue;
		m->carry_out(offsets[1 + i % 6], sizes[i]);
		compare_all();
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	method = argv[1];
	snprintf(mnt_path, sizeof(mnt_path), "%s/roundtrip", argv[2]);
	snprintf(backing_path, sizeof(backing_path), "%s/roundtrip", argv[3]);
	model = aligned_memory(MODEL_BYTES);
	memset(model, 0, MODEL_BYTES);
	scratch = aligned_memory(MODEL_BYTES);
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i].name, method) == 0) {
			run(&methods[i]);
			return 0;
		}
	fprintf(stderr, "roundtrip: no method '%s'\n", method);
	return 2;
}
