#include <Python.h>

#include <string.h>

/* As code that is meant to be linked into programs only has it, for speed. */
static __thread char scratch[8192] __attribute__((tls_model("initial-exec")));

static PyObject *reversed_text(PyObject *module, PyObject *args)
{
    const char *text;
    size_t length;

    if (!PyArg_ParseTuple(args, "s", &text))
        return NULL;
    length = strlen(text);
    if (length >= sizeof scratch) {
        PyErr_SetString(PyExc_ValueError, "too long");
        return NULL;
    }
    for (size_t place = 0; place < length; place++)
        scratch[place] = text[length - 1 - place];
    scratch[length] = 0;
    return PyUnicode_FromString(scratch);
}

static PyMethodDef functions[] = {
    {"reversed_text", reversed_text, METH_VARARGS, "An ASCII text, last letter first."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "static_tls",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_static_tls(void)
{
    return PyModule_Create(&definition);
}
