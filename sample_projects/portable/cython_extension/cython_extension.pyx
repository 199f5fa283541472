# cython: language_level=3
"""Prime numbers."""


def primes(int limit):
    """All prime numbers below `limit`, by the sieve of Eratosthenes."""
    cdef int number, multiple
    cdef bytearray is_composite = bytearray(max(limit, 0))
    found = []
    for number in range(2, limit):
        if is_composite[number]:
            continue
        found.append(number)
        for multiple in range(2 * number, limit, number):
            is_composite[multiple] = 1
    return found
