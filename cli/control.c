/*
 * Reads ledgers, and sets what can be set, through extended attributes. Owns the translation of what the kernel says into
 * what a person should do.
 */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cli.h"
#include "fs/wire.h"
#include "json.h"

static const char *const counter_names[CONTROL_COUNT] = {
#define COUNTER(id, name, unit, help) [CONTROL_##id] = name,
#include "fs/stats/counters.def"
};

const char *control_counter_name(enum control_counter id)
{
	return counter_names[id];
}

enum control_counter control_counter_find(const char *name, size_t len)
{
	unsigned id = 0;
	while (id < CONTROL_COUNT &&
	       (strlen(counter_names[id]) != len || memcmp(counter_names[id], name, len) != 0))
		id++;
	return (enum control_counter)id;
}

/* Attribute calls take no O_PATH descriptor, but its name in /proc. */
static void fd_path(int fd, char out[32])
{
	snprintf(out, 32, "/proc/self/fd/%d", fd);
}

ssize_t control_get(int fd, const char *name, char *buf)
{
	char path[32];
	fd_path(fd, path);
	ssize_t len = getxattr(path, name, buf, CONTROL_VALUE_BYTES - 1);
	if (len < 0)
		return errno == EOPNOTSUPP ? -ENODATA : -errno;
	buf[len] = '\0';
	return len;
}

int control_set(int fd, const char *name, const char *value)
{
	char path[32];
	char AUTO_FREE *ledger = malloc(CONTROL_VALUE_BYTES);
	if (!ledger)
		return -ENOMEM;
	ssize_t len = control_get(fd, ZCFS_XATTR_JSON, ledger);
	if (len < 0)
		return (int)len;
	fd_path(fd, path);
	return setxattr(path, name, value, strlen(value), 0) == 0 ? 0 : -errno;
}

int control_reset(int fd)
{
	return control_set(fd, ZCFS_XATTR_RESET, "1");
}

/* A member of the ledger's object: keeps it if it is the title or one of the sums. */
static void take_member(const char *key, size_t key_len, const char *value, void *ctx)
{
	struct control_ledger *ledger = ctx;
	enum control_counter id = control_counter_find(key, key_len);
	if (id != CONTROL_COUNT)
		ledger->value[id] = strtoull(value, NULL, 10);
	else if (key_len == 5 && memcmp(key, "title", 5) == 0 && *value == '"')
		snprintf(ledger->title, sizeof(ledger->title), "%.*s",
			 (int)strcspn(value + 1, "\"\\"), value + 1);
}

int control_parse(const char *json, struct control_ledger *out)
{
	*out = (struct control_ledger){0};
	return json_each_member(json, take_member, out) ? 0 : -EPROTO;
}

int control_complain(const char *cmd, const char *path, int err)
{
	struct stat st;
	bool is_other_kind = err == -ENODATA && stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
			     !S_ISDIR(st.st_mode);
	if (is_other_kind) {
		cli_error(cmd, "%s is neither a file nor a directory: only those have a ledger", path);
		return STATUS_BAD_INPUT;
	}
	switch (-err) {
	case ENODATA:
		cli_error(cmd, "%s is not on a zcfs mount: 'findmnt -t fuse.zcfs' lists the mounts", path);
		return STATUS_BAD_INPUT;
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ELOOP:
		cli_error(cmd, "cannot look at %s: %s", path, strerror(-err));
		return STATUS_BAD_INPUT;
	case ENOTCONN:
		cli_error(cmd, "%s: the daemon of its mount has died: 'zcfs umount' clears it", path);
		return STATUS_FAILED;
	case EACCES:
	case EPERM:
		cli_error(cmd, "%s: %s: a ledger belongs to those who may access the file", path,
			  strerror(-err));
		return STATUS_FAILED;
	case EPROTO:
		cli_error(cmd,
			  "%s: its daemon answers with something else than a ledger: is it "
			  "another version?",
			  path);
		return STATUS_FAILED;
	default:
		cli_error(cmd, "%s: %s", path, strerror(-err));
		return STATUS_FAILED;
	}
}
