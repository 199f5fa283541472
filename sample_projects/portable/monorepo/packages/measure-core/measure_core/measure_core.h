#ifndef MEASURE_CORE_H
#define MEASURE_CORE_H

#define MEASURE_CORE_CAPSULE "measure_core._core.sum"

/* The sum of some numbers. */
typedef double (*measure_core_sum)(const double *values, long count);

#endif
