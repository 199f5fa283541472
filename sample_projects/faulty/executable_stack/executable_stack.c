#include <Python.h>

/* The number of bits that are set. */
static PyObject *population(PyObject *module, PyObject *args)
{
    unsigned long number;
    long count = 0;

    if (!PyArg_ParseTuple(args, "k", &number))
        return NULL;
    for (; number != 0; number &= number - 1)
        count++;
    return PyLong_FromLong(count);
}

static PyMethodDef functions[] = {
    {"population", population, METH_VARARGS, "How many bits of a number are set."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "executable_stack",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_executable_stack(void)
{
    return PyModule_Create(&definition);
}
