#include <Python.h>

#include <dlfcn.h>

static int (*has_capability)(unsigned);

static PyObject *can_hotplug(PyObject *module, PyObject *nothing)
{
    return PyBool_FromLong(has_capability(1));
}

static PyMethodDef functions[] = {
    {"can_hotplug", can_hotplug, METH_NOARGS, "Whether libusb notices devices that come and go."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "unlisted_library",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_unlisted_library(void)
{
    void *library = dlopen("libusb-1.0.so.0", RTLD_NOW);

    if (library != NULL)
        *(void **)&has_capability = dlsym(library, "libusb_has_capability");
    if (has_capability == NULL) {
        PyErr_SetString(PyExc_ImportError, dlerror());
        return NULL;
    }
    return PyModule_Create(&definition);
}
