#include <wisp/wisp.hpp>

int double_by_the_other_unit(wisp::Runtime& runtime, int n) {
  return runtime.call(wisp::named<int(int)>("twice"), n).value_or(0);
}
