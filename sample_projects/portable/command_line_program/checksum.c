#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Adler-32 (RFC 1950) of standard input. */
static uint32_t adler32(FILE *stream)
{
    uint32_t low = 1, high = 0;

    for (int byte; (byte = getc(stream)) != EOF;) {
        low = (low + (uint32_t)byte) % 65521;
        high = (high + low) % 65521;
    }
    return high << 16 | low;
}

int main(int count, char **arguments)
{
    if (count == 2 && strcmp(arguments[1], "--version") == 0) {
        puts("checksum 1.0");
        return 0;
    }
    if (count != 1) {
        fputs("usage: checksum [--version] < FILE\n", stderr);
        return 2;
    }
    printf("%08x\n", (unsigned)adler32(stdin));
    return ferror(stdin) ? 1 : 0;
}
