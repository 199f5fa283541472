#include <Python.h>

#include <optional>
#include <string>
#include <string_view>

namespace {

// The text between the first `open` and the next `close` after it.
std::optional<std::string> between(std::string_view text, std::string_view open, std::string_view close)
{
    if (const auto start = text.find(open); start != text.npos) {
        const auto inner = text.substr(start + open.size());
        if (const auto end = inner.find(close); end != inner.npos)
            return std::string(inner.substr(0, end));
    }
    return std::nullopt;
}

PyObject *between_marks(PyObject *, PyObject *args)
{
    const char *text, *open, *close;
    if (!PyArg_ParseTuple(args, "sss", &text, &open, &close))
        return nullptr;
    if (const auto found = between(text, open, close))
        return PyUnicode_FromStringAndSize(found->data(), static_cast<Py_ssize_t>(found->size()));
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"between", between_marks, METH_VARARGS, "The text between two marks, or None."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "meson_extension", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit_meson_extension()
{
    return PyModule_Create(&definition);
}
