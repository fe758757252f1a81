/*
 * On whose behalf a thread calls the backing filesystem. Each worker thread owns one `struct cred`
 * and is the only one to use it: fsuid, fsgid, umask and the effective capability set are
 * attributes of a thread (cred_thread_init() gives the thread a umask of its own by
 * unshare(CLONE_FS)). Nothing else in the thread may change them.
 *
 * The state is lazy: a call that finds the thread already as wanted costs no system call. So every
 * operation that creates something calls cred_become() first, every one that takes space calls that or
 * cred_serve(), and every one that could clear or keep set-id bits calls cred_set_fsetid(); the others do not
 * care whose fsuid was left, because the daemon keeps its capabilities (SECBIT_NO_SETUID_FIXUP) under it.
 *
 * Creating counts among the latter. The caller's kernel has already taken S_ISGID from the mode
 * where the caller may not have it, and it knows the supplementary groups, which the daemon does
 * not: create with CAP_FSETID on, or the backing filesystem would take it from members of the
 * group as well.
 *
 * A daemon that is not root has nothing to become: cred->can_switch is false and cred_become()
 * only sets the umask. That is right because then every caller is the daemon's own user.
 *
 * The kernel makes a process undumpable when one of its threads changes its fsuid (prctl(2),
 * PR_SET_DUMPABLE); a daemon that wants core dumps sets it again.
 */
#ifndef ZCFS_BASE_CRED_H
#define ZCFS_BASE_CRED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"

struct cred {
	uid_t fsuid;
	gid_t fsgid;
	mode_t umask;
	bool can_switch; /* has CAP_SETUID, CAP_SETGID: may take a caller's fsuid and fsgid */
	bool has_nofixup; /* SECBIT_NO_SETUID_FIXUP is set: capabilities survive setfsuid() */
	bool may_fsetid; /* CAP_FSETID is permitted, so it can be switched on */
	bool may_resource; /* the same of CAP_SYS_RESOURCE */
	/*
	 * The thread's capability sets, one bit a capability, as capset() wants all three of
	 * them.
	 */
	uint64_t caps_effective;
	uint64_t caps_permitted;
	uint64_t caps_inheritable;
};

/*
 * Makes the calling thread a worker: its own fs_struct (umask, cwd), umask 0,
 * SECBIT_NO_SETUID_FIXUP where permitted, CAP_FSETID and CAP_SYS_RESOURCE effective where permitted. Once per thread,
 * before its first request. 0, or -errno of unshare(), capget() or capset() (a security module may
 * forbid them).
 */
int cred_thread_init(struct cred *c) MUST_CHECK;

/*
 * From now on what this thread creates belongs to uid:gid, with this umask (the backing filesystem
 * applies it, or a default ACL in its place). Never fails: setfsuid() can only be refused where
 * can_switch is false, or for an id without meaning in the daemon's user namespace, and from such
 * callers the kernel passes no requests on.
 */
void cred_become(struct cred *c, uid_t uid, gid_t gid, mode_t mask);

/*
 * What this thread does from now on it does for uid:gid, with the rights to disk space that go with it: beyond quotas and into
 * the blocks kept for root only uid 0 comes (whose CAP_SYS_RESOURCE the daemon cannot see, so it is taken to have it). For
 * operations that take space and create nothing: write, fallocate, truncate, setxattr, link, rename. Never fails, as
 * cred_become().
 */
void cred_serve(struct cred *c, uid_t uid, gid_t gid);

/* As cred_become(), but leaves the umask at 0: for callers whose mode is already final. */
void cred_become_nomask(struct cred *c, uid_t uid, gid_t gid);

/*
 * Switches CAP_FSETID in the thread's effective set; nothing where it is not permitted. Off: the
 * backing filesystem clears set-id bits at a write or truncate, as it does for an unprivileged
 * caller. On: it keeps them, as it does for root.
 */
void cred_set_fsetid(struct cred *c, bool is_on);

/*
 * Switches CAP_SYS_RESOURCE in the thread's effective set; nothing where it is not permitted. On, the daemon's own pipes may
 * pass /proc/sys/fs/pipe-max-size. cred_serve() and cred_become() set it by the caller.
 */
void cred_set_resource(struct cred *c, bool is_on);

#endif
