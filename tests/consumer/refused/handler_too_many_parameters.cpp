#include <wisp/wisp.hpp>

#ifdef FIXED
WISP_FUNCTION(add) = [](const int& a, wisp::Context&) { return a; };
#else
WISP_FUNCTION(add) = [](const int& a, const int& b, wisp::Context&) { return a + b; };
#endif
