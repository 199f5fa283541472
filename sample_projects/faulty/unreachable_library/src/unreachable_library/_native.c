#include <Python.h>

int outer_twice(int a);

static PyObject *twice(PyObject *module, PyObject *args)
{
    int number;

    if (!PyArg_ParseTuple(args, "i", &number))
        return NULL;
    return PyLong_FromLong(outer_twice(number));
}

static PyMethodDef functions[] = {
    {"twice", twice, METH_VARARGS, "Twice a number."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModule_Create(&definition);
}
