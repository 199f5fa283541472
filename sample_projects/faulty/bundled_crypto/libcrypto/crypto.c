/* Adler's sum: enough of a digest for a library that only shares its name with OpenSSL's. */
unsigned bundled_digest(const char *text, unsigned long length)
{
    unsigned a = 1, b = 0;

    for (unsigned long place = 0; place < length; place++) {
        a = (a + (unsigned char)text[place]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}
