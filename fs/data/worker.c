/*
 * A worker's memory and pipes. Owns the mapped area and both pipes; refuses to share them: every function is for
 * the thread that owns the worker.
 */
#include "data/worker.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"

#define PAGE_BYTES    4096UL
#define PIPE_RETRY_NS (1000LL * 1000 * 1000)

void pipe_close(struct pipe *p)
{
	if (p->rd >= 0)
		close(p->rd);
	if (p->wr >= 0)
		close(p->wr);
	*p = (struct pipe){.rd = -1, .wr = -1};
}

int pipe_open(struct pipe *p, size_t slots)
{
	if (p->rd < 0) {
		int fds[2];
		if (pipe2(fds, O_CLOEXEC) < 0)
			return -errno;
		p->rd = fds[0];
		p->wr = fds[1];
		p->slots = 0;
	}
	if (p->slots >= slots)
		return 0;
	int bytes = fcntl(p->wr, F_GETPIPE_SZ);
	if (bytes >= 0 && (size_t)bytes / PAGE_BYTES < slots)
		bytes = fcntl(p->wr, F_SETPIPE_SZ, (int)(slots * PAGE_BYTES));
	if (bytes < 0) {
		int err = -errno;
		pipe_close(p);
		return err;
	}
	p->slots = (size_t)bytes / PAGE_BYTES;
	return 0;
}

void pipe_renew(struct pipe *p)
{
	size_t slots = p->slots;
	pipe_close(p);
	int err = pipe_open(p, slots);
	if (err < 0)
		log_err("cannot renew a worker's pipe, it copies until there is one: %s", strerror(-err));
}

void worker_renew_pipe(struct worker *w)
{
	cred_set_resource(&w->cred, true);
	pipe_renew(&w->pipe);
}

void worker_retry_pipe(struct worker *w)
{
	if (w->pipe.rd >= 0 || w->pipe_slots == 0 || clock_coarse_ns() < w->pipe_retry_ns)
		return;
	w->pipe_retry_ns = clock_coarse_ns() + PIPE_RETRY_NS;
	cred_set_resource(&w->cred, true);
	if (pipe_open(&w->pipe, w->pipe_slots) == 0)
		log_info("a worker has a pipe again and splices");
}

/*
 * A reply takes one slot for its header and one for each page touched: an unaligned range of n pages touches n + 1. A request
 * by pipe takes as many. The kernel rounds pipe sizes up to a power of two, so ask for the next one.
 */
static size_t slots_for(uint64_t io_bytes)
{
	size_t need = io_bytes / PAGE_BYTES + 2;
	size_t slots = 16;
	while (slots < need)
		slots *= 2;
	return slots;
}

uint64_t pipe_max_io(uint64_t wanted_bytes)
{
	struct pipe probe = {.rd = -1, .wr = -1};
	uint64_t io_bytes = wanted_bytes;
	/* Halving keeps requests a power of two: 1 MiB reads split evenly, not into 254 pages and 2. */
	while (pipe_open(&probe, slots_for(io_bytes)) < 0 && io_bytes > PAGE_BYTES)
		io_bytes = io_bytes / 2 / PAGE_BYTES * PAGE_BYTES;
	bool has_pipe = probe.rd >= 0;
	pipe_close(&probe);
	return has_pipe ? io_bytes : wanted_bytes;
}

int worker_init(struct worker *w, uint64_t max_io_bytes, bool want_pipe)
{
	*w = (struct worker){.pipe = {.rd = -1, .wr = -1}, .spare = {.rd = -1, .wr = -1}};
	w->data_bytes = max_io_bytes + WORKER_SLACK;
	w->scratch_bytes = WORKER_SCRATCH;
	w->area_bytes = WORKER_HEADROOM + w->data_bytes + w->scratch_bytes;
	void *area =
		mmap(NULL, w->area_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return -errno;
	w->area = area;
	w->data = w->area + WORKER_HEADROOM;
	w->scratch = w->data + w->data_bytes;
	w->pipe_slots = want_pipe ? slots_for(max_io_bytes) : 0;
	int err = want_pipe ? pipe_open(&w->pipe, w->pipe_slots) : 0;
	if (err < 0)
		log_warn("a worker has no pipe and copies instead of splicing: %s; see zcfs doctor",
			 strerror(-err));
	return 0;
}

void worker_fini(struct worker *w)
{
	pipe_close(&w->pipe);
	pipe_close(&w->spare);
	if (w->area)
		munmap(w->area, w->area_bytes);
	w->area = NULL;
}
