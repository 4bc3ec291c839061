#include "handlers.hpp"

static int plain(int n) { return n + 1; }

Handler plain_handler() { return wisp::function("plain", &plain); }
