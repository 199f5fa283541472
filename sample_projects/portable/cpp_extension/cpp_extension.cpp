#include <Python.h>

#include <cstddef>
#include <exception>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using Counts = std::map<std::string, std::size_t>;

Counts count_words(const std::string &text)
{
    Counts counts;
    std::istringstream words(text);
    for (std::string word; words >> word;)
        ++counts[word];
    return counts;
}

// Counts each text in a thread of its own; an exception in a thread is thrown again here.
Counts count_all(const std::vector<std::string> &texts)
{
    std::vector<Counts> parts(texts.size());
    std::vector<std::exception_ptr> errors(texts.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < texts.size(); ++i)
        threads.emplace_back([&, i] {
            try {
                parts[i] = count_words(texts[i]);
                if (parts[i].empty())
                    throw std::invalid_argument("a text without words");
            } catch (...) {
                errors[i] = std::current_exception();
            }
        });
    for (auto &thread : threads)
        thread.join();
    for (const auto &error : errors)
        if (error)
            std::rethrow_exception(error);

    Counts total;
    for (const auto &part : parts)
        for (const auto &entry : part)
            total[entry.first] += entry.second;
    return total;
}

PyObject *to_dict(const Counts &counts)
{
    PyObject *result = PyDict_New();
    for (const auto &entry : counts) {
        PyObject *number = result ? PyLong_FromSize_t(entry.second) : nullptr;
        if (!number || PyDict_SetItemString(result, entry.first.c_str(), number) < 0)
            Py_CLEAR(result);
        Py_XDECREF(number);
    }
    return result;
}

PyObject *word_counts(PyObject *, PyObject *args)
{
    std::vector<std::string> texts;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); ++i) {
        const char *text = PyUnicode_AsUTF8(PyTuple_GET_ITEM(args, i));
        if (!text)
            return nullptr;
        texts.emplace_back(text);
    }
    try {
        return to_dict(count_all(texts));
    } catch (const std::exception &error) {
        PyErr_SetString(PyExc_ValueError, error.what());
        return nullptr;
    }
}

PyMethodDef functions[] = {
    {"word_counts", word_counts, METH_VARARGS, "How often each word stands in the given texts."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "cpp_extension", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit_cpp_extension()
{
    return PyModule_Create(&definition);
}
