#include <Python.h>

int height_of(int index);

static PyObject *height(PyObject *module, PyObject *args)
{
    int index;

    if (!PyArg_ParseTuple(args, "i", &index))
        return NULL;
    return PyLong_FromLong(height_of(index));
}

static PyMethodDef functions[] = {
    {"height", height, METH_VARARGS, "The height of a mountain, in metres."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_heights",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__heights(void)
{
    return PyModule_Create(&definition);
}
