// What both modules know: each compiles it for itself, as with a library of headers.
#ifndef SHAPES_HPP
#define SHAPES_HPP

#include <stdexcept>

struct Broken : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Shape {
    virtual ~Shape() = default;
};

struct Circle : Shape {};

// The functions of the module that throws, in a capsule.
struct Functions {
    void (*raise)(int which);
    Shape *(*make)();
};

#endif
