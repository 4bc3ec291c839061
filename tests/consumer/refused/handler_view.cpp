#include <wisp/wisp.hpp>

#ifdef FIXED
WISP_FUNCTION(shout) = [](const std::string& text) { return text + "!"; };
#else
WISP_FUNCTION(shout) = [](std::string_view text) { return std::string(text) + "!"; };
#endif
