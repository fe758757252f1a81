/*
 * fsx.c's --race: one process overwrites blocks of the file through one kind of descriptor while another reads them through
 * one, each kind against each. Every word of a block is the block's number and a count that grows by one with each write, so
 * that a reader knows, of every word, without stopping the writer:
 *
 *   it is the block's own;
 *   it is not older than the last write of the block that was complete before the read began;
 *   it is not newer than the last that had begun when the read was over;
 *   it is not older than what this reader has seen there before.
 *
 * So a block that nobody writes to meanwhile is of one count from end to end. One that is written to during the read may be
 * torn, part old and part new. ext4 itself tears blocks, some of them of 512 bytes, in every pair but an O_DIRECT reader with
 * a writer that is not mapped, where its inode's lock happens to prevent it; no filesystem promises that, so it is counted here
 * and not judged. All of the rest ext4 keeps in every pair.
 *
 * --lag, for a FUSE filesystem whose buffered writes go through the kernel's page cache: the kernel fills the page, unlocks it
 * and only then asks the daemon to write. If the page is dropped in between (by a GETATTR that brings a new mtime), the next
 * reader fetches the block as it was before the write. The daemon drops such a page again: of writes that cover whole pages
 * before it answers, of others just after. So a block of no whole pages may be older by exactly one write, since the one
 * before was complete, for buffered writers with readers of the page cache, buffered or mapped. There one is allowed and
 * counted, two are not; and once the writer has stopped, none.
 *
 * Prints for each pair how many reads there were, how many blocks were written to meanwhile, torn, and late by one.
 */
#ifndef ZCFS_TEST_FSX_RACE_H
#define ZCFS_TEST_FSX_RACE_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fsx_view.h"

#define RACE_BLOCKS 48U
#define RACE_SPAN   6U /* at most so many blocks at once */

/* Of both processes. */
static struct race_shared {
	_Atomic uint64_t begun[RACE_BLOCKS], complete[RACE_BLOCKS];
	uint64_t reads, met, torn, late; /* the reader's; read when it has ended */
} * race_shared;

static uint64_t race_lag; /* in the present pair */
static size_t race_block_bytes;
static uint64_t *race_seen; /* the reader's: the largest count yet, of each word of the file */

static inline uint64_t race_word(size_t block, uint64_t count)
{
	return count == 0 ? 0 : (block + 1) << 48 | count;
}

/* Random blocks: at least one. */
static inline size_t race_pick(size_t *count)
{
	*count = 1 + below(RACE_SPAN);
	return below(RACE_BLOCKS - *count + 1);
}

static inline void race_get(const struct view *v, size_t off, size_t len)
{
	if (v->kind == MAPPED) {
		memcpy(scratch, v->map + off, len);
		return;
	}
	errno = 0;
	ssize_t n = pread(v->fd, scratch, len, (off_t)off);
	if (n != (ssize_t)len)
		fail("pread of %zu at %zu gave %zd", len, off, n);
}

/* Checks one block, `words` as it was read: whether it was torn. */
static inline bool race_check(const uint64_t *words, size_t block, uint64_t least, uint64_t most)
{
	size_t count = race_block_bytes / 8;
	uint64_t *seen = race_seen + block * count;
	bool is_torn = false, is_late = false;
	for (size_t i = 0; i < count; i++) {
		uint64_t got = words[i] & ((1UL << 48) - 1);
		errno = 0;
		if (words[i] != race_word(block, got))
			fail("block %zu, word %zu is another's: %016llx", block, i,
			     (unsigned long long)words[i]);
		if (got + race_lag < least || got > most || got + race_lag < seen[i])
			fail("block %zu, word %zu has count %llu; complete before the read: %llu, begun after "
			     "it: %llu, seen before: %llu; the block's first and last counts: %llu %llu",
			     block, i, (unsigned long long)got, (unsigned long long)least,
			     (unsigned long long)most, (unsigned long long)seen[i],
			     (unsigned long long)(words[0] & ((1UL << 48) - 1)),
			     (unsigned long long)(words[count - 1] & ((1UL << 48) - 1)));
		is_late |= got < least || got < seen[i];
		seen[i] = got > seen[i] ? got : seen[i];
		is_torn |= words[i] != words[0];
	}
	race_shared->late += is_late;
	return is_torn;
}

static inline void race_read(const struct view *v)
{
	uint64_t least[RACE_SPAN];
	size_t count, first = race_pick(&count);
	note("read blocks %zu+%zu %s", first, count, kind_names[v->kind]);
	for (size_t i = 0; i < count; i++)
		least[i] = atomic_load(&race_shared->complete[first + i]);
	race_get(v, first * race_block_bytes, count * race_block_bytes);
	race_shared->reads++;
	for (size_t i = 0; i < count; i++) {
		uint64_t most = atomic_load(&race_shared->begun[first + i]);
		const void *block = scratch + i * race_block_bytes;
		race_shared->met += most != least[i];
		race_shared->torn += race_check(block, first + i, least[i], most);
	}
	if (one_in(64)) {
		int fd = check_fd >= 0 && one_in(2) ? check_fd : v->fd;
		CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "posix_fadvise");
	}
}

static inline void race_write(const struct view *v)
{
	uint64_t number[RACE_SPAN];
	size_t count, first = race_pick(&count), words = race_block_bytes / 8;
	for (size_t i = 0; i < count; i++) {
		number[i] = atomic_fetch_add(&race_shared->begun[first + i], 1) + 1;
		for (size_t j = 0; j < words; j++) {
			uint64_t word = race_word(first + i, number[i]);
			memcpy(scratch + (i * words + j) * 8, &word, sizeof(word));
		}
	}
	size_t off = first * race_block_bytes, len = count * race_block_bytes;
	note("write blocks %zu+%zu %s", first, count, kind_names[v->kind]);
	if (v->kind == MAPPED) {
		memcpy(v->map + off, scratch, len);
	} else {
		errno = 0;
		ssize_t n = pwrite(v->fd, scratch, len, (off_t)off);
		if (n != (ssize_t)len)
			fail("pwrite of %zu at %zu gave %zd", len, off, n);
	}
	for (size_t i = 0; i < count; i++)
		atomic_store(&race_shared->complete[first + i], number[i]);
	if (one_in(256))
		CHECK(fdatasync(v->fd) == 0, "fdatasync");
}

static inline pid_t race_reader(enum kind kind, uint64_t reads)
{
	pid_t parent = getpid(), child = fork();
	CHECK(child >= 0, "fork");
	if (child > 0)
		return child;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
	struct view v = {.kind = kind};
	random_state = ~seed;
	view_open(&v);
	for (op_number = 1; op_number <= reads; op_number++)
		race_read(&v);
	view_close(&v, true);
	_exit(0);
}

/* The writer has stopped: every view, old and new, shows the last counts. */
static inline void race_settle(const struct view *v)
{
	model_len = RACE_BLOCKS * race_block_bytes;
	for (size_t i = 0; i < model_len / 8; i++) {
		size_t block = i * 8 / race_block_bytes;
		uint64_t word = race_word(block, atomic_load(&race_shared->complete[block]));
		memcpy(model + i * 8, &word, sizeof(word));
	}
	note("compare everything");
	compare_view(v, 131072);
	compare_anew();
	CHECK(fsync(v->fd) == 0, "fsync");
	compare_backing();
}

/* The file begins as one hole, all counts 0. */
static inline bool race_pair(enum kind writer, enum kind reader, uint64_t reads)
{
	struct view v = {.kind = writer};
	memset(race_shared, 0, sizeof(*race_shared));
	memset(race_seen, 0, MODEL_BYTES);
	race_lag = may_lag && writer == BUFFERED && reader != DIRECT && race_block_bytes % 4096 != 0;
	view_open(&v);
	CHECK(ftruncate(v.fd, 0) == 0, "ftruncate");
	CHECK(ftruncate(v.fd, (off_t)(RACE_BLOCKS * race_block_bytes)) == 0, "ftruncate");
	pid_t child = race_reader(reader, reads);
	int status = 0;
	for (op_number = 1; waitpid(child, &status, WNOHANG) == 0; op_number++)
		race_write(&v);
	printf("%5zu bytes written %-8s read %-8s: %llu writes, %llu reads, %llu blocks met, %llu torn, %llu late\n",
	       race_block_bytes, kind_names[writer], kind_names[reader],
	       (unsigned long long)(op_number - 1), (unsigned long long)race_shared->reads,
	       (unsigned long long)race_shared->met, (unsigned long long)race_shared->torn,
	       (unsigned long long)race_shared->late);
	fflush(stdout);
	if (status == 0)
		race_settle(&v);
	view_close(&v, false);
	return status == 0;
}

/* `reads` in all. The program's status. */
static inline int race(uint64_t reads)
{
	/* Less than a page where O_DIRECT allows it, a page, and one that spans pages and begins within one. */
	const size_t sizes[] = {granule, PAGE * 2 + granule, PAGE * 5};
	mode_name = "race";
	race_shared = mmap(NULL, sizeof(*race_shared), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(race_shared != MAP_FAILED, "mmap");
	race_seen = (void *)aligned_memory(MODEL_BYTES);
	for (int pair = 0; pair < 9; pair++) {
		race_block_bytes = sizes[(seed + (uint64_t)pair / 3 + (uint64_t)pair) % 3];
		if (!race_pair((enum kind)(pair / 3), (enum kind)(pair % 3), reads / 9))
			return 1;
	}
	return 0;
}

#endif
