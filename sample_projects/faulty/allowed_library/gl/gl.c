/* Stands in for the real library while linking; only its name gets into the module. */
const unsigned char *glGetString(unsigned name)
{
    return (const unsigned char *)(name ? "stand-in" : "");
}
