#include <Python.h>

/* Declared here, because the headers of later Pythons do not. */
PyAPI_FUNC(wchar_t *) PyUnicode_AsUnicode(PyObject *text);

static PyObject *first_letter(PyObject *module, PyObject *text)
{
    wchar_t *letters = PyUnicode_AsUnicode(text);

    if (letters == NULL)
        return NULL;
    return PyLong_FromLong(letters[0]);
}

static PyMethodDef functions[] = {
    {"first_letter", first_letter, METH_O, "The code of a text's first letter."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "abi3_violation",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_abi3_violation(void)
{
    return PyModule_Create(&definition);
}
