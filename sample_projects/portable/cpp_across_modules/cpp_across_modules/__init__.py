from cpp_across_modules import _catcher, _thrower

caught = _catcher.catch_all(_thrower.functions)
expected = ["int", "std::runtime_error", "std::out_of_range", "std::string", "Broken", "Circle"]
if caught != expected:
    raise ImportError(f"caught {caught}, not {expected}")
