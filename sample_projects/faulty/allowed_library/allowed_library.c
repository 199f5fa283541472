#include <Python.h>

#define GL_VERSION 0x1F02

const unsigned char *glGetString(unsigned name);

static PyObject *gl_version(PyObject *module, PyObject *nothing)
{
    const unsigned char *version = glGetString(GL_VERSION);

    return PyUnicode_FromString(version != NULL ? (const char *)version : "");
}

static PyMethodDef functions[] = {
    {"gl_version", gl_version, METH_NOARGS, "The version of OpenGL, as the driver tells it."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "allowed_library",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_allowed_library(void)
{
    return PyModule_Create(&definition);
}
