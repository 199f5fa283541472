#include <Python.h>

static PyObject *magic(PyObject *module, PyObject *nothing)
{
    return PyBytes_FromStringAndSize("\177ELF", 4);
}

static PyMethodDef functions[] = {
    {"magic", magic, METH_NOARGS, "What every library begins with."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_unpack",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__unpack(void)
{
    return PyModule_Create(&definition);
}
