//! What this module uses of Python's C API. All of it is in the limited API of 3.9.

use std::os::raw::{c_char, c_int, c_void};
use std::ptr;

pub type Object = *mut c_void;
pub type Function = unsafe extern "C" fn(Object, Object) -> Object;

/// PYTHON_ABI_VERSION, which modules of the limited API pass to PyModule_Create2
pub const API_VERSION: c_int = 3;
const METH_VARARGS: c_int = 1;

/// PyMethodDef
#[repr(C)]
pub struct Method {
    name: *const c_char,
    function: Option<Function>,
    flags: c_int,
    documentation: *const c_char,
}

impl Method {
    pub const END: Method = Method {
        name: ptr::null(),
        function: None,
        flags: 0,
        documentation: ptr::null(),
    };

    /// A function that takes positional arguments; both texts end with a zero.
    pub fn new(name: *const c_char, function: Function, documentation: *const c_char) -> Method {
        Method { name, function: Some(function), flags: METH_VARARGS, documentation }
    }
}

/// PyModuleDef, its PyModuleDef_Base included
#[repr(C)]
pub struct Module {
    references: isize,
    kind: *mut c_void,
    initialise: *const c_void,
    index: isize,
    copy: Object,
    name: *const c_char,
    documentation: *const c_char,
    size: isize,
    methods: *mut Method,
    slots: *const c_void,
    traverse: *const c_void,
    clear: *const c_void,
    free: *const c_void,
}

impl Module {
    /// A module without state; the name ends with a zero.
    pub fn new(name: *const c_char, methods: *mut Method) -> Module {
        Module {
            references: 1,
            kind: ptr::null_mut(),
            initialise: ptr::null(),
            index: 0,
            copy: ptr::null_mut(),
            name,
            documentation: ptr::null(),
            size: -1,
            methods,
            slots: ptr::null(),
            traverse: ptr::null(),
            clear: ptr::null(),
            free: ptr::null(),
        }
    }
}

extern "C" {
    pub fn PyModule_Create2(definition: *mut Module, version: c_int) -> Object;
    pub fn PyArg_ParseTuple(arguments: Object, format: *const c_char, ...) -> c_int;
    pub fn PyLong_FromSize_t(value: usize) -> Object;
}
