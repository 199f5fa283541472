#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>

/* Each element becomes the sum of itself and all before it; works on a copy, in one dimension. */
static PyObject *running_sum(PyObject *module, PyObject *values)
{
    PyArrayObject *sums = (PyArrayObject *)PyArray_FROMANY(
        values, NPY_DOUBLE, 1, 1, NPY_ARRAY_CARRAY | NPY_ARRAY_ENSURECOPY);

    if (sums == NULL)
        return NULL;
    double *value = PyArray_DATA(sums);
    for (npy_intp i = 1; i < PyArray_DIM(sums, 0); i++)
        value[i] += value[i - 1];
    return (PyObject *)sums;
}

static PyMethodDef functions[] = {
    {"running_sum", running_sum, METH_O, "The running sum of some numbers, as a numpy array."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "with_dependencies",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_with_dependencies(void)
{
    import_array();
    return PyModule_Create(&definition);
}
