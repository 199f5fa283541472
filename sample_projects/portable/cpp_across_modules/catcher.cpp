#include <Python.h>

#include <memory>
#include <string>

#include "shapes.hpp"

namespace {

const char *caught(const Functions &functions, int which)
{
    try {
        functions.raise(which);
    } catch (int) {
        return "int";
    } catch (const Broken &) {
        return "Broken";
    } catch (const std::out_of_range &) {
        return "std::out_of_range";
    } catch (const std::runtime_error &) {
        return "std::runtime_error";
    } catch (const std::string &) {
        return "std::string";
    } catch (...) {
        return "...";
    }
    return "nothing";
}

const char *made(const Functions &functions)
{
    std::unique_ptr<Shape> shape(functions.make());
    return dynamic_cast<Circle *>(shape.get()) ? "Circle" : "Shape";
}

PyObject *catch_all(PyObject *, PyObject *capsule)
{
    const auto *functions = static_cast<Functions *>(PyCapsule_GetPointer(capsule, "functions"));
    if (!functions)
        return nullptr;
    return Py_BuildValue(
        "[ssssss]", caught(*functions, 0), caught(*functions, 1), caught(*functions, 2),
        caught(*functions, 3), caught(*functions, 4), made(*functions));
}

PyMethodDef methods[] = {
    {"catch_all", catch_all, METH_O, "Call the other module's functions and tell what was caught."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_catcher", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr,
};

} // namespace

PyMODINIT_FUNC PyInit__catcher()
{
    return PyModule_Create(&definition);
}
