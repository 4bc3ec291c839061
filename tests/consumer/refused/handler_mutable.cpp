#include <wisp/wisp.hpp>

#ifdef FIXED
WISP_FUNCTION(next) = [count = 0](const int& n) { return n + count; };
#else
WISP_FUNCTION(next) = [count = 0](const int& n) mutable { return n + count++; };
#endif
