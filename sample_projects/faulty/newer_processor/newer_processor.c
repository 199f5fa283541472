#include <Python.h>

static float table[16] __attribute__((aligned(64)));

/* v4fmaddps (%rsi), %zmm0, %zmm0: four multiplications and additions at once. */
static void fill_table(void)
{
    __asm__ volatile(".byte 0x62, 0xf2, 0x7f, 0x48, 0x9a, 0x06" : : "S"(table) : "xmm0", "memory");
}

static PyObject *first(PyObject *module, PyObject *nothing)
{
    return PyFloat_FromDouble(table[0]);
}

static PyMethodDef functions[] = {
    {"first", first, METH_NOARGS, "The first number of the table."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "newer_processor",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_newer_processor(void)
{
    fill_table();
    return PyModule_Create(&definition);
}
