#include <Python.h>

#include "registry_1.h"

static PyMethodDef functions[] = {
    {nullptr, nullptr, 0, nullptr},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_first", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr,
};

PyMODINIT_FUNC PyInit__first()
{
    registry().count = 1;
    return PyModule_Create(&definition);
}
