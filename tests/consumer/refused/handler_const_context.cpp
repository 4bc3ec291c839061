#include <wisp/wisp.hpp>

wisp::Subscription listen(wisp::Runtime& runtime) {
#ifdef FIXED
  return runtime.on("orders.>").to([](wisp::Context&) {});
#else
  return runtime.on("orders.>").to([](const wisp::Context&) {});
#endif
}
