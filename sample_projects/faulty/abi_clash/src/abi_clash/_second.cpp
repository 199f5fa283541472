#include <Python.h>

#include "registry_2.h"

static PyMethodDef functions[] = {
    {nullptr, nullptr, 0, nullptr},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_second", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr,
};

PyMODINIT_FUNC PyInit__second()
{
    registry().notify();
    return PyModule_Create(&definition);
}
