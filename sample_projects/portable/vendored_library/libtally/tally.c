#include "tally.h"

size_t tally(const char *text, size_t length, char byte)
{
    size_t count = 0;

    for (size_t place = 0; place < length; place++)
        count += text[place] == byte;
    return count;
}
