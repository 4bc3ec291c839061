// Handlers of one type, a plain function pointer, so that both objects instantiate the same
// templates.
#pragma once

#include <wisp/wisp.hpp>

using Handler = wisp::Function<int, int>;

Handler throwing_handler();  // from an object with exceptions
Handler plain_handler();     // from one without
