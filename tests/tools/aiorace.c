/*
 * aiorace FILE SECONDS [map]: one thread overwrites the blocks of FILE by asynchronous O_DIRECT writes (libaio's system calls,
 * 8 in flight), each with a higher number than before; others read the blocks buffered, by pread or (map) through a shared
 * mapping, and check that what they see is never older than the last write that was complete when they began, and never torn.
 * Prints "READS STALE TORN"; status 1 if there was any of the latter.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define BLOCKS      64U
#define BLOCK_BYTES 16384U
#define DEPTH       8U
#define READERS     2

static const char *path;
static bool is_mapped;
static _Atomic uint64_t completed[BLOCKS];
static _Atomic uint64_t reads, stale, torn;
static atomic_bool is_over;

static void die(const char *what)
{
	fprintf(stderr, "aiorace: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void stamp(uint64_t *mem, uint64_t number)
{
	for (size_t i = 0; i < BLOCK_BYTES / sizeof(*mem); i++)
		mem[i] = number;
}

static void *read_all(void *arg)
{
	int fd = open(path, O_RDONLY);
	uint64_t *mem = (void *)aligned_memory(BLOCK_BYTES);
	const unsigned char *map = NULL;
	(void)arg;
	if (fd < 0)
		die(path);
	if (is_mapped) {
		map = mmap(NULL, (size_t)BLOCKS * BLOCK_BYTES, PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			die("mmap");
	}
	for (unsigned b = 0; !atomic_load(&is_over); b = (b + 7) % BLOCKS) {
		uint64_t least = atomic_load(&completed[b]);
		if (map)
			memcpy(mem, map + (size_t)b * BLOCK_BYTES, BLOCK_BYTES);
		else if (pread(fd, mem, BLOCK_BYTES, (off_t)b * BLOCK_BYTES) != (ssize_t)BLOCK_BYTES)
			die("pread");
		atomic_fetch_add(&reads, 1);
		bool is_stale = false;
		for (size_t i = 0; i < BLOCK_BYTES / sizeof(*mem); i++)
			is_stale |= mem[i] < least;
		if (is_stale)
			atomic_fetch_add(&stale, 1);
	}
	free(mem);
	close(fd);
	return NULL;
}

/* After the race every view must have the last numbers. */
static void check_end(void)
{
	uint64_t *mem = (void *)aligned_memory(BLOCK_BYTES);
	int fd = open(path, O_RDONLY);
	for (unsigned b = 0; fd >= 0 && b < BLOCKS; b++) {
		if (pread(fd, mem, BLOCK_BYTES, (off_t)b * BLOCK_BYTES) != (ssize_t)BLOCK_BYTES)
			die("pread");
		for (size_t i = 0; i < BLOCK_BYTES / sizeof(*mem); i++)
			if (mem[i] != atomic_load(&completed[b])) {
				atomic_fetch_add(&torn, 1);
				break;
			}
	}
	close(fd);
	free(mem);
}

static void write_until(time_t end)
{
	aio_context_t ctx = 0;
	struct iocb cb[DEPTH];
	struct iocb *pending[DEPTH];
	struct io_event events[DEPTH];
	uint64_t *mem[DEPTH], number = 1;
	unsigned block = 0;
	int fd = open(path, O_RDWR | O_DIRECT);

	if (fd < 0 || syscall(SYS_io_setup, DEPTH, &ctx) < 0)
		die("io_setup");
	for (unsigned i = 0; i < DEPTH; i++)
		mem[i] = (void *)aligned_memory(BLOCK_BYTES);
	for (; time(NULL) < end; number++) {
		for (unsigned i = 0; i < DEPTH; i++, block = (block + 1) % BLOCKS) {
			stamp(mem[i], number);
			cb[i] = (struct iocb){.aio_data = block,
					      .aio_lio_opcode = IOCB_CMD_PWRITE,
					      .aio_fildes = (uint32_t)fd,
					      .aio_buf = (uint64_t)(uintptr_t)mem[i],
					      .aio_nbytes = BLOCK_BYTES,
					      .aio_offset = (int64_t)block * BLOCK_BYTES};
			pending[i] = &cb[i];
		}
		if (syscall(SYS_io_submit, ctx, (long)DEPTH, pending) != (long)DEPTH)
			die("io_submit");
		for (unsigned done = 0; done < DEPTH;) {
			long n = syscall(SYS_io_getevents, ctx, 1L, (long)DEPTH, events, NULL);
			if (n <= 0)
				die("io_getevents");
			for (long i = 0; i < n; i++, done++) {
				if (events[i].res != (int64_t)BLOCK_BYTES)
					die("asynchronous write");
				atomic_store(&completed[events[i].data], number);
			}
		}
	}
	syscall(SYS_io_destroy, ctx);
	close(fd);
}

int main(int argc, char **argv)
{
	pthread_t thread[READERS];
	if (argc < 3)
		return 2;
	path = argv[1];
	is_mapped = argc > 3;
	int fd = open(path, O_RDWR | O_CREAT, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)BLOCKS * BLOCK_BYTES) < 0)
		die(path);
	close(fd);
	for (int i = 0; i < READERS; i++)
		if (pthread_create(&thread[i], NULL, read_all, NULL) != 0)
			die("thread");
	write_until(time(NULL) + atoi(argv[2]));
	atomic_store(&is_over, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	check_end();
	printf("%llu %llu %llu\n", (unsigned long long)reads, (unsigned long long)stale,
	       (unsigned long long)torn);
	return stale || torn ? 1 : 0;
}
