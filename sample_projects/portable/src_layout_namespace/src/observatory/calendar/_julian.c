#include <Python.h>

/* Fliegel and Van Flandern, Communications of the ACM 11 (1968), 657. C's division truncates, as
 * theirs does. */
static long julian_day(long year, long month, long day)
{
    long shift = (month - 14) / 12;

    return day - 32075 + 1461 * (year + 4800 + shift) / 4 + 367 * (month - 2 - shift * 12) / 12
        - 3 * ((year + 4900 + shift) / 100) / 4;
}

static PyObject *day_number(PyObject *module, PyObject *args)
{
    long year, month, day;

    if (!PyArg_ParseTuple(args, "lll", &year, &month, &day))
        return NULL;
    return PyLong_FromLong(julian_day(year, month, day));
}

static PyMethodDef functions[] = {
    {"day_number", day_number, METH_VARARGS, "The Julian day number of a Gregorian date."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "observatory.calendar._julian",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__julian(void)
{
    return PyModule_Create(&definition);
}
