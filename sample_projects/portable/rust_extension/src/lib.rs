//! A Python module: `rust_extension.edits(left, right)`.

mod python;

use python::{Method, Module, Object};
use std::ffi::CStr;
use std::os::raw::c_char;
use std::ptr;

/// The Levenshtein distance: how many characters to put in, take out or change to make `right` of `left`.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, one) in left.chars().enumerate() {
        let mut corner = row[0];
        row[0] = line + 1;
        for (column, other) in right.iter().enumerate() {
            let changed = corner + (one != *other) as usize;
            corner = row[column + 1];
            row[column + 1] = changed.min(corner + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

unsafe extern "C" fn call_edits(_module: Object, arguments: Object) -> Object {
    let mut left: *const c_char = ptr::null();
    let mut right: *const c_char = ptr::null();
    if python::PyArg_ParseTuple(arguments, text(b"ss:edits\0"), &mut left, &mut right) == 0 {
        return ptr::null_mut();
    }
    let left = CStr::from_ptr(left).to_string_lossy();
    let right = CStr::from_ptr(right).to_string_lossy();
    python::PyLong_FromSize_t(edits(&left, &right))
}

fn text(bytes: &'static [u8]) -> *const c_char {
    bytes.as_ptr() as *const c_char
}

/// What Python calls when the module is imported. It keeps what it is handed for as long as it runs.
#[no_mangle]
pub unsafe extern "C" fn PyInit_rust_extension() -> Object {
    let methods = Box::leak(Box::new([
        Method::new(text(b"edits\0"), call_edits, text(b"The Levenshtein distance of two texts.\0")),
        Method::END,
    ]));
    let module = Box::leak(Box::new(Module::new(text(b"rust_extension\0"), methods.as_mut_ptr())));
    python::PyModule_Create2(module, python::API_VERSION)
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_edits() {
        assert_eq!(super::edits("kitten", "sitting"), 3);
    }
}
