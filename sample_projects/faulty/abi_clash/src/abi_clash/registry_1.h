// Version 1: the registry counts.
struct Registry {
    long count;
};

__attribute__((noinline)) inline Registry &registry()
{
    static Registry only = {0};
    return only;
}
