#include <Python.h>
#include <measure_core.h>

static measure_core_sum sum;

static PyObject *mean(PyObject *module, PyObject *args)
{
    double values[2];

    if (!PyArg_ParseTuple(args, "dd", &values[0], &values[1]))
        return NULL;
    return PyFloat_FromDouble(sum(values, 2) / 2);
}

static PyMethodDef functions[] = {
    {"mean", mean, METH_VARARGS, "The mean of two numbers."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "measure_stats",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_measure_stats(void)
{
    PyObject *core = PyImport_ImportModule("measure_core._core");

    if (core == NULL)
        return NULL;
    Py_DECREF(core);
    sum = (measure_core_sum)PyCapsule_Import(MEASURE_CORE_CAPSULE, 0);
    return sum == NULL ? NULL : PyModule_Create(&definition);
}
