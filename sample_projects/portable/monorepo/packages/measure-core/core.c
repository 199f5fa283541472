#include <Python.h>
#include "measure_core.h"

static double sum(const double *values, long count)
{
    double found = 0;

    for (long place = 0; place < count; place++)
        found += values[place];
    return found;
}

static PyObject *total(PyObject *module, PyObject *numbers)
{
    double found = 0;
    PyObject *row = PySequence_Fast(numbers, "a sequence of numbers is wanted");

    if (row == NULL)
        return NULL;
    for (Py_ssize_t place = 0; place < PySequence_Fast_GET_SIZE(row); place++) {
        double value = PyFloat_AsDouble(PySequence_Fast_GET_ITEM(row, place));

        found += sum(&value, 1);
    }
    Py_DECREF(row);
    return PyErr_Occurred() ? NULL : PyFloat_FromDouble(found);
}

static PyMethodDef functions[] = {
    {"total", total, METH_O, "The sum of some numbers."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (module == NULL)
        return NULL;
    if (PyModule_AddObject(module, "sum", PyCapsule_New((void *)sum, MEASURE_CORE_CAPSULE, NULL)) < 0)
        return NULL;
    return module;
}
