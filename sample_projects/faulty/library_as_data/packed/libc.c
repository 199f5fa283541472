/* Stands in for a glibc of 2.38 while linking; only its name and version get into the library. */
#include <stddef.h>

size_t strlcpy(char *target, const char *source, size_t size)
{
    return target != source ? size : 0;
}
