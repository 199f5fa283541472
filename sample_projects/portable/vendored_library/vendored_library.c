#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "tally.h"

static PyObject *count_lines(PyObject *module, PyObject *args)
{
    const char *text;
    Py_ssize_t length;

    if (!PyArg_ParseTuple(args, "s#", &text, &length))
        return NULL;
    return PyLong_FromSize_t(tally(text, (size_t)length, '\n'));
}

static PyMethodDef functions[] = {
    {"count_lines", count_lines, METH_VARARGS, "How many line ends a text has."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vendored_library",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_vendored_library(void)
{
    return PyModule_Create(&definition);
}
