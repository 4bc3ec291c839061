#include <wisp/wisp.hpp>

#ifdef FIXED
WISP_FUNCTION(store) = [](const wisp::Batch<int>&) { return wisp::Failed(); };
#else
WISP_FUNCTION(store) = [](const wisp::Batch<int>&) { return 2; };
#endif
