/*
 * What the daemon keeps of root's rights once the mount is there: the capabilities that serving takes (confine.c has the list,
 * each with its reason), and no way to any other. Layer: base. Blocks never.
 */
#ifndef ZCFS_BASE_CONFINE_H
#define ZCFS_BASE_CONFINE_H

#include <stdint.h>

#include "base/auto.h"

/* The capabilities that serving takes, one bit a capability. */
uint64_t confine_kept(void);

/*
 * Takes from the calling thread, and so from every thread it starts afterwards, whatever is not in confine_kept(): from the
 * permitted, effective, inheritable and ambient capabilities and, with CAP_SETPCAP, from the bounding set. Sets
 * SECBIT_NO_SETUID_FIXUP for workers to inherit, since none of them may set it later. Who may unmount by itself
 * (CAP_SYS_ADMIN) needs no set-user-id helper at the end: then no program that is executed from here on has more rights
 * than a user (PR_SET_NO_NEW_PRIVS, SECBIT_NOROOT). For good, and harmless to call again. Capabilities are a thread's own: call
 * it before threads are started, and after mounting. 0, or -errno of the step that failed; the steps after it are tried all the same.
 */
int confine_process(void) MUST_CHECK;

#endif
