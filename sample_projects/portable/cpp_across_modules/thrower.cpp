#include <Python.h>

#include <string>

#include "shapes.hpp"

namespace {

void raise(int which)
{
    switch (which) {
    case 0:
        throw 42;
    case 1:
        throw std::runtime_error("a runtime error");
    case 2:
        throw std::out_of_range("out of range");
    case 3:
        throw std::string("a string");
    default:
        throw Broken("a class of its own");
    }
}

Shape *make()
{
    return new Circle;
}

Functions functions = {raise, make};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_thrower", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr,
};

} // namespace

PyMODINIT_FUNC PyInit__thrower()
{
    PyObject *module = PyModule_Create(&definition);
    PyObject *capsule = module ? PyCapsule_New(&functions, "functions", nullptr) : nullptr;
    if (!capsule || PyModule_AddObject(module, "functions", capsule) < 0) {
        Py_XDECREF(capsule);
        Py_CLEAR(module);
    }
    return module;
}
