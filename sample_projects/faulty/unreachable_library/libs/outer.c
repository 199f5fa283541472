int inner_sum(int a, int b);

int outer_twice(int a)
{
    return inner_sum(a, a);
}
