/*
 * A miss-ratio curve drawn in characters: braille where the locale is UTF-8, else ASCII. No escape sequences.
 */
#ifndef ZCFS_PLOT_H
#define ZCFS_PLOT_H

#include "base/auto.h"
#include "curve.h"

/* Columns to draw in: $COLUMNS, else the terminal's on stdout, else 80; 40 to 120 of them. */
int plot_columns(void);

/* Draws to stdout; nothing where there is but one size. 0 or -ENOMEM. */
int plot_print(const struct curve *c, int columns) MUST_CHECK;

#endif
