#include <Python.h>

/* From libspecial, which the build forgets to name. */
double special_bessel(int order, double x);

static PyObject *bessel(PyObject *module, PyObject *args)
{
    int order;
    double x;

    if (!PyArg_ParseTuple(args, "id", &order, &x))
        return NULL;
    return PyFloat_FromDouble(special_bessel(order, x));
}

static PyMethodDef functions[] = {
    {"bessel", bessel, METH_VARARGS, "The Bessel function of the first kind."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "under_linked",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_under_linked(void)
{
    return PyModule_Create(&definition);
}
