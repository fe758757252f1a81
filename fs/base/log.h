/*
 * Messages to people. Before the daemon detaches they go to stderr, afterwards to syslog (facility
 * daemon, ident "zcfs"). One line each: what was tried, on what, why it failed, what to do next.
 * Thread-safe, may block on the log's socket: never call with a lock held.
 */
#ifndef ZCFS_BASE_LOG_H
#define ZCFS_BASE_LOG_H

#include <syslog.h>

/*
 * level: LOG_ERR, LOG_WARNING, LOG_INFO or LOG_DEBUG of syslog.h; fmt as printf, without
 * newline.
 */
void log_msg(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...)  log_msg(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO, __VA_ARGS__)

/* From now on lines go to syslog instead of stderr. Called once; other threads may log meanwhile. */
void log_to_syslog(void);

#endif
