/*
 * Globs over the path of a file below the mount ("db/main/base.wal": no leading slash). Components
 * are matched by fnmatch(3): '*', '?', '[a-z]', '[!x]', '[[:digit:]]', and a backslash before a
 * character to mean it literally. They match a leading dot as well, and bytes rather than
 * characters unless the program called setlocale().
 *
 *   no slash      matches the last component, wherever it is     *.wal      a.wal, db/a.wal
 *   a slash       matches the whole path from the root           db/?.wal   db/a.wal, not x/db/a.wal
 *   leading slash the same, for one component                    /a.wal     a.wal, not db/a.wal
 *   **            as a whole component, any number of them       db/ **     all in db, not db itself
 *                 (none as well, unless it is the last)          ** /tmp/x  tmp/x, a/b/tmp/x
 *
 * (The blanks beside ** are there for C's sake.) '*' and '?' never cross a slash. Layer: base,
 * pure functions, thread-safe; neither allocates nor blocks.
 */
#ifndef ZCFS_BASE_GLOB_H
#define ZCFS_BASE_GLOB_H

#include <stdbool.h>

#include "base/auto.h"

/*
 * The longest component of a glob in bytes: more than a name's 255, as a bracket is longer than
 * what it matches.
 */
#define GLOB_COMPONENT_MAX 1023

/*
 * NULL if `glob` is valid, else why it is not, as the end of a sentence ("has a '[' without its
 * ']'"). Besides broken syntax it refuses what can match nothing: empty components (and so a slash
 * at the end), "." and "..", a range like [z-a].
 */
const char *glob_error(const char *glob) MUST_CHECK;

/*
 * True if `glob`, which glob_error() has accepted, matches `relpath`: relative, without empty
 * components, "." and ".."; "" is the mount's root. Costs at most one fnmatch() for each pair of
 * components.
 */
bool glob_match(const char *glob, const char *relpath) MUST_CHECK;

#endif
