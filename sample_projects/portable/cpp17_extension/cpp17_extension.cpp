#include <Python.h>

#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>

// Each on a cache line of its own, so that threads do not disturb each other. In C++17 `new` keeps such an
// alignment, and calls operator new(std::size_t, std::align_val_t) for it.
struct alignas(64) Counter {
    long value = 0;
};

static std::map<std::string, std::unique_ptr<Counter>, std::less<>> counters;

static long count(std::string_view name)
{
    auto found = counters.find(name);
    if (found == counters.end())
        found = counters.emplace(name, std::make_unique<Counter>()).first;
    return ++found->second->value;
}

static std::optional<long> counted(std::string_view name)
{
    if (auto found = counters.find(name); found != counters.end())
        return found->second->value;
    return std::nullopt;
}

static PyObject *py_count(PyObject *, PyObject *name)
{
    const char *text = PyUnicode_AsUTF8(name);
    if (text == nullptr)
        return nullptr;
    try {
        return PyLong_FromLong(count(text));
    } catch (const std::bad_alloc &) {
        return PyErr_NoMemory();
    }
}

static PyObject *py_counted(PyObject *, PyObject *name)
{
    const char *text = PyUnicode_AsUTF8(name);
    if (text == nullptr)
        return nullptr;
    if (auto value = counted(text))
        return PyLong_FromLong(*value);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"count", py_count, METH_O, "Count a name once more; gives how often it was counted."},
    {"counted", py_counted, METH_O, "How often a name was counted; None for one that never was."},
    {nullptr, nullptr, 0, nullptr},
};

static PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "cpp17_extension", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr,
};

PyMODINIT_FUNC PyInit_cpp17_extension()
{
    return PyModule_Create(&module);
}
