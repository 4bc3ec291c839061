// The ten lines of the README, and what they lead to: a typed call, one in the background, an
// event.
#include <wisp/wisp.hpp>

using namespace wisp::literals;

WISP_FUNCTION(greet, .timeout = 1s) = [](const std::string& name) { return "hello, " + name; };

int main() {
  wisp::Runtime runtime{wisp::linked_functions(), {.tariff = wisp::tariffs::aws_lambda_x86()}};
  if (!runtime.status().ok()) {
    fmt::print(stderr, "{}\n", wisp::to_string(runtime.status()));
    return 1;
  }

  // On this thread, and on a worker that starts for it.
  const wisp::Result<std::string> here = runtime.call(greet, "here");
  auto pending = runtime.start(greet, "there");
  if (!here.ok() || !pending.wait().ok()) return 1;
  fmt::print("{}; {}, for {} USD\n", *here, *pending.wait(), pending.receipt().cost);

  // Delivery ends where the subscription's scope does.
  auto arrivals = runtime.on("guests.*.arrived").to([](const std::string& name) {
    fmt::print("{} has arrived\n", name);
  });
  const wisp::Result<wisp::EventId> accepted = runtime.emit("guests.7.arrived", "Ada");
  if (!accepted.ok()) return 1;

  // Lets what was accepted run; says what was left if it takes longer.
  return runtime.stop(1s).status.ok() ? 0 : 1;
}
