/* The library that travels compressed. */
#include <stddef.h>

size_t strlcpy(char *target, const char *source, size_t size);

size_t trim(char *target, const char *source, size_t size)
{
    return strlcpy(target, source, size);
}
