/*
 * A miss-ratio curve as an SVG that stands alone: no scripts, fonts or files from elsewhere; for light and dark pages.
 */
#ifndef ZCFS_SVG_H
#define ZCFS_SVG_H

#include <stdio.h>

#include "curve.h"

/* Writes it to out, with `name` (of any bytes) as its title. Errors are out's. */
void svg_write(FILE *out, const struct curve *c, const char *name);

#endif
