#include <Python.h>

/* Euclid's algorithm, for numbers that fit a machine word. */
static PyObject *common_divisor(PyObject *module, PyObject *args)
{
    unsigned long left, right;

    if (!PyArg_ParseTuple(args, "kk", &left, &right))
        return NULL;
    while (right != 0) {
        unsigned long rest = left % right;
        left = right;
        right = rest;
    }
    return PyLong_FromUnsignedLong(left);
}

static PyMethodDef functions[] = {
    {"common_divisor", common_divisor, METH_VARARGS, "The greatest common divisor of two numbers."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "abi3_extension",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_abi3_extension(void)
{
    return PyModule_Create(&definition);
}
