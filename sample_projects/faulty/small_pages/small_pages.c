#include <Python.h>

static const char letters[3000] = "portable";

static PyObject *letter(PyObject *module, PyObject *args)
{
    unsigned place;

    if (!PyArg_ParseTuple(args, "I", &place))
        return NULL;
    return PyLong_FromLong(letters[place % sizeof letters]);
}

static PyMethodDef functions[] = {
    {"letter", letter, METH_VARARGS, "The code of one letter."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "small_pages",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_small_pages(void)
{
    return PyModule_Create(&definition);
}
