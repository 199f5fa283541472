int height_of(int index)
{
    static const int metres[] = {4808, 4634, 4545, 4478};

    return metres[index & 3];
}
