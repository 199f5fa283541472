#ifndef TALLY_H
#define TALLY_H

#include <stddef.h>

/* How often `byte` stands in the first `length` bytes of `text`. */
size_t tally(const char *text, size_t length, char byte);

#endif
