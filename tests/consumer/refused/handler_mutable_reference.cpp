#include <wisp/wisp.hpp>

#ifdef FIXED
WISP_FUNCTION(twice) = [](const int& n) { return 2 * n; };
#else
WISP_FUNCTION(twice) = [](int& n) { return 2 * n; };
#endif
