/*
 * A child program with its output kept and a deadline.
 */
#ifndef ZCFS_RUN_H
#define ZCFS_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

/*
 * Runs argv (argv[0] is looked up in PATH unless it has a slash), stdin empty, stdout and stderr together into
 * out, ended by NUL, cut off at out_bytes, without the last newline. Returns the exit status, 128 + the signal that ended it,
 * -ETIMEDOUT (then it was killed) or -errno of starting it.
 */
int run_program(const char *const argv[], int timeout_ms, char *out, size_t out_bytes) MUST_CHECK;

/* As run_program() for a function in a forked child: its return value is the exit status. */
int run_function(int (*fn)(void *ctx), void *ctx, int timeout_ms, char *out, size_t out_bytes) MUST_CHECK;

/* Waits until the process behind a pidfd has ended; false when timeout_ms passed first. */
bool run_wait_gone(int pidfd, int timeout_ms);

#endif
