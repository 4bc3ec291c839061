// How the tests of the gateway and of the client wait for another thread.
#pragma once

#include <unistd.h>

namespace wisp::test {

// Looks every 5 ms until `holds()`; gives up after 20 s.
template <class Holds>
bool wait_for(Holds holds) {
  for (int i = 0; i < 4'000; ++i) {
    if (holds()) return true;
    ::usleep(5'000);
  }
  return false;
}

}  // namespace wisp::test
