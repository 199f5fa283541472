#define PY_SSIZE_T_CLEAN
#include <Python.h>

unsigned bundled_digest(const char *text, unsigned long length);

static PyObject *digest(PyObject *module, PyObject *args)
{
    const char *text;
    Py_ssize_t length;

    if (!PyArg_ParseTuple(args, "y#", &text, &length))
        return NULL;
    return PyLong_FromUnsignedLong(bundled_digest(text, (unsigned long)length));
}

static PyMethodDef functions[] = {
    {"digest", digest, METH_VARARGS, "The sum over some bytes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_digest",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__digest(void)
{
    return PyModule_Create(&definition);
}
