/*
 * Cleanup attributes: a file descriptor or heap block is owned from its declaration and handed on
 * with take_*(). All of them keep errno. Layer: base; depends on libc only.
 */
#ifndef ZCFS_BASE_AUTO_H
#define ZCFS_BASE_AUTO_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void auto_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}

static inline void auto_free(void *p)
{
	int saved = errno;
	free(*(void **)p);
	errno = saved;
}

/* int AUTO_FD fd = open(...); closed when the scope ends, unless taken. -1 (any negative) is "none". */
#define AUTO_FD __attribute__((cleanup(auto_close)))
/* char AUTO_FREE *s = strdup(...); freed when the scope ends, unless taken. */
#define AUTO_FREE  __attribute__((cleanup(auto_free)))
#define MUST_CHECK __attribute__((warn_unused_result))

/* Moves ownership of *fd to the caller. */
static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* Moves ownership of a heap pointer to the caller: return take_ptr(&p); */
#define take_ptr(pp)                          \
	__extension__({                       \
		__typeof__(*(pp)) p_ = *(pp); \
		*(pp) = NULL;                 \
		p_;                           \
	})

#endif
