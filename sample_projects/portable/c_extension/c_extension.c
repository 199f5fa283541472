#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The number of places in which two texts of equal length differ. */
static PyObject *distance(PyObject *module, PyObject *args)
{
    const char *left, *right;
    Py_ssize_t left_length, right_length, differences = 0;

    if (!PyArg_ParseTuple(args, "s#s#", &left, &left_length, &right, &right_length))
        return NULL;
    if (left_length != right_length) {
        PyErr_SetString(PyExc_ValueError, "the texts differ in length");
        return NULL;
    }
    for (Py_ssize_t place = 0; place < left_length; place++)
        differences += left[place] != right[place];
    return PyLong_FromSsize_t(differences);
}

static PyMethodDef functions[] = {
    {"distance", distance, METH_VARARGS, "The Hamming distance of two texts, in bytes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "c_extension",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_c_extension(void)
{
    return PyModule_Create(&definition);
}
