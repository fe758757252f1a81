/*
 * Another program, run to its end. Layer: base.
 */
#ifndef ZCFS_BASE_RUN_H
#define ZCFS_BASE_RUN_H

#include "base/auto.h"

/*
 * Runs argv[0], found in PATH, with the NULL-terminated argv, its output and errors thrown away, and
 * waits. Its exit status (0..255; 128 + N when signal N ended it), or -errno when it could not be
 * started. Blocks; from any thread, where nobody else waits for all children.
 */
int run_silently(const char *const *argv) MUST_CHECK;

#endif
