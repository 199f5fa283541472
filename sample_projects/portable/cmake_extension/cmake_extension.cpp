#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <numeric>
#include <stdexcept>
#include <vector>

double mean(const std::vector<double> &values)
{
    if (values.empty())
        throw std::invalid_argument("the mean of nothing");
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

PYBIND11_MODULE(cmake_extension, module)
{
    module.def("mean", &mean, "The arithmetic mean of some numbers.");
}
