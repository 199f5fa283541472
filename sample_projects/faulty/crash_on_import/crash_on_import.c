#include <Python.h>

/* Nobody fills the table before it is read; volatile, so that no compiler reasons the read away. */
static const long *volatile table;

static PyObject *first_entry(PyObject *module, PyObject *nothing)
{
    return PyLong_FromLong(table[0]);
}

static PyMethodDef functions[] = {
    {"first_entry", first_entry, METH_NOARGS, "The first entry of the table."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "crash_on_import",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_crash_on_import(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (module != NULL && PyModule_AddIntConstant(module, "FIRST", table[0]) < 0)
        Py_CLEAR(module);
    return module;
}
