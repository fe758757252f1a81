/*
 * The doctor on the machine: kernel, /dev/fuse, FUSE's newer parts, libfuse, pipes, descriptors, readahead.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/auto.h"
#include "cli.h"
#include "run.h"

enum { TIMEOUT_MS = 10000, PIPE_WANTED_BYTES = 2 << 20, NOFILE_WANTED = 65536 };

/* The first bytes of a small file, without the last newline; false if it cannot be read. */
static bool read_line(const char *path, char *out, size_t size)
{
	int AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, out, size - 1);
	if (len < 0)
		return false;
	out[len] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return true;
}

static void probe_kernel(void)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2) {
		doctor_say(DOCTOR_SKIPPED, "kernel", "its version cannot be told");
		return;
	}
	unsigned version = major * 1000 + minor;
	if (version < 5008)
		doctor_say(DOCTOR_MISSING, "kernel",
			   "Linux %s cannot set a file's times by an O_PATH descriptor, the only kind that "
			   "zcfs keeps of files: boot Linux 5.8 or newer, 6.6 if you can",
			   u.release);
	else if (version < 6001)
		doctor_say(DOCTOR_DEGRADED, "kernel",
			   "Linux %s does not tell O_DIRECT's alignment (4096 is taken) and cannot map "
			   "uncached files shared: boot Linux 6.6 or newer",
			   u.release);
	else if (version < 6006)
		doctor_say(DOCTOR_DEGRADED, "kernel",
			   "Linux %s cannot map uncached files shared (MAP_SHARED with cache=none or "
			   "path=direct gives ENODEV): boot Linux 6.6 or newer",
			   u.release);
	else
		doctor_say(DOCTOR_OK, "kernel", "Linux %s", u.release);
}

static void probe_dev_fuse(void)
{
	int AUTO_FD fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int err = errno;
	if (fd >= 0)
		doctor_say(DOCTOR_OK, "/dev/fuse", "can be opened");
	else if (err == ENOENT || err == ENODEV || err == ENXIO)
		doctor_say(DOCTOR_MISSING, "/dev/fuse",
			   "%s, no mount is possible: 'modprobe fuse' as root; in a container, start it "
			   "with --device /dev/fuse",
			   strerror(err));
	else
		doctor_say(DOCTOR_MISSING, "/dev/fuse",
			   "%s, no mount is possible: 'chmod 666 /dev/fuse' as root; in a container, allow "
			   "the device (--device /dev/fuse) and CAP_SYS_ADMIN",
			   strerror(err));
}

/* The kernel's configuration, from wherever it stands, into out; empty if nowhere. */
static void read_kernel_config(char *out, size_t size)
{
	static const char *const heads[] = {"/boot/config-", "/lib/modules/", "/proc/config.gz"};
	static const char *const tails[] = {"", "/config", NULL};
	struct utsname u;
	if (uname(&u) < 0)
		u.release[0] = '\0';
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		char path[512];
		snprintf(path, sizeof(path), "%s%s%s", heads[i], tails[i] ? u.release : "",
			 tails[i] ? tails[i] : "");
		const char *argv[] = {"gzip", "-dcf", path, NULL};
		if (access(path, R_OK) == 0 && run_program(argv, TIMEOUT_MS, out, size) == 0)
			return;
	}
	out[0] = '\0';
}

static const char *config_value(const char *config, const char *name)
{
	char line[64];
	if (!*config)
		return "not to be seen";
	snprintf(line, sizeof(line), "\n%s=", name);
	const char *at = strstr(config, line);
	return !at ? "no" : at[strlen(line)] == 'y' ? "yes" : "module";
}

static void probe_fuse_features(void)
{
	enum { CONFIG_BYTES = 1 << 20 };
	char enabled[16];
	char *config = malloc(CONFIG_BYTES);
	if (!config)
		return;
	read_kernel_config(config, CONFIG_BYTES);
	if (!read_line("/sys/module/fuse/parameters/enable_uring", enabled, sizeof(enabled)))
		snprintf(enabled, sizeof(enabled), "absent");
	doctor_say(DOCTOR_OK, "FUSE features",
		   "passthrough built in: %s; io_uring built in: %s, enable_uring=%s; this version of zcfs "
		   "needs neither",
		   config_value(config, "CONFIG_FUSE_PASSTHROUGH"),
		   config_value(config, "CONFIG_FUSE_IO_URING"), enabled);
	free(config);
}

static void probe_libfuse(void)
{
	char daemon[PATH_MAX], text[256];
	const char *argv[] = {daemon, "--version", NULL};
	unsigned major = 0, minor = 0;
	if (cli_find_daemon(daemon)) {
		doctor_say(DOCTOR_MISSING, "zcfsd",
			   "the daemon is neither beside this program, nor in %s, nor in PATH, no mount is "
			   "possible: install zcfs again or build it with packaging/build",
			   ZCFS_LIBEXECDIR);
		return;
	}
	int status = run_program(argv, TIMEOUT_MS, text, sizeof(text));
	const char *version = strstr(text, "libfuse ");
	if (status || !version || sscanf(version, "libfuse %u.%u", &major, &minor) != 2) {
		doctor_say(DOCTOR_MISSING, "zcfsd",
			   "%s --version fails (status %d: %s): install zcfs again or build it with "
			   "packaging/build",
			   daemon, status, text);
		return;
	}
	if (major * 1000 + minor < 3018)
		doctor_say(DOCTOR_MISSING, "libfuse",
			   "%s is older than 3.18, which zcfs needs: build it with packaging/build",
			   text);
	else
		doctor_say(DOCTOR_OK, "libfuse", "%s", text);
}

static void probe_pipe(void)
{
	char limit[32];
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0) {
		doctor_say(DOCTOR_MISSING, "pipe size", "no pipe can be made: %s", strerror(errno));
		return;
	}
	int wanted = fcntl(fds[1], F_SETPIPE_SZ, PIPE_WANTED_BYTES);
	int bytes = wanted < 0 ? fcntl(fds[1], F_SETPIPE_SZ, PIPE_WANTED_BYTES / 2) : wanted;
	if (bytes < 0)
		bytes = fcntl(fds[1], F_GETPIPE_SZ);
	close(fds[0]);
	close(fds[1]);
	if (!read_line("/proc/sys/fs/pipe-max-size", limit, sizeof(limit)))
		snprintf(limit, sizeof(limit), "unknown");
	if (wanted >= 0)
		doctor_say(DOCTOR_OK, "pipe size", "grows to 2 MiB: requests of up to 1 MiB are spliced");
	else
		doctor_say(bytes < PIPE_WANTED_BYTES / 2 ? DOCTOR_DEGRADED : DOCTOR_OK, "pipe size",
			   "grows to %d KiB (fs.pipe-max-size %s), requests are held below that, so "
			   "max_io=1M is not reached: for that 'sysctl fs.pipe-max-size=2097152' as root, "
			   "or run with CAP_SYS_RESOURCE",
			   bytes / 1024, limit);
}

static void probe_descriptors(void)
{
	struct rlimit limit;
	char file_max[32];
	if (!read_line("/proc/sys/fs/file-max", file_max, sizeof(file_max)))
		snprintf(file_max, sizeof(file_max), "unknown");
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		doctor_say(DOCTOR_SKIPPED, "descriptors", "%s", strerror(errno));
		return;
	}
	unsigned long long most = limit.rlim_max;
	if (limit.rlim_max >= NOFILE_WANTED)
		doctor_say(DOCTOR_OK, "descriptors",
			   "up to %llu open files for a mount (fs.file-max %s)", most, file_max);
	else
		doctor_say(DOCTOR_DEGRADED, "descriptors",
			   "up to %llu open files for a mount (fs.file-max %s), fewer than %d: raise the "
			   "hard limit (ulimit -Hn, LimitNOFILE=, limits.conf) if programs open more",
			   most, file_max, NOFILE_WANTED);
}

static void probe_readahead(void)
{
	glob_t found = {0};
	if (glob("/sys/class/bdi/*/read_ahead_kb", 0, NULL, &found) != 0)
		doctor_say(DOCTOR_DEGRADED, "readahead",
			   "/sys/class/bdi is not there: cached reads come in requests of 128 KiB at most: "
			   "mount sysfs on /sys");
	else if (access(found.gl_pathv[0], W_OK) == 0)
		doctor_say(DOCTOR_OK, "readahead",
			   "can be raised after mounting (read_ahead_kb is writable)");
	else
		doctor_say(DOCTOR_DEGRADED, "readahead",
			   "read_ahead_kb is not writable (%s): cached reads come in requests of 128 KiB "
			   "at most: %s",
			   strerror(errno), geteuid() ? "mount as root" : "make /sys writable");
	globfree(&found);
}

void probe_system(void)
{
	probe_kernel();
	probe_dev_fuse();
	probe_fuse_features();
	probe_libfuse();
	probe_pipe();
	probe_descriptors();
	probe_readahead();
}
