#include <stdexcept>

#include "handlers.hpp"

static int throws(int) { throw std::runtime_error("no such parcel"); }

Handler throwing_handler() { return wisp::function("throws", &throws); }
