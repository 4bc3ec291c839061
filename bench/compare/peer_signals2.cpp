// Boost.Signals2 with its default mutex, so that any thread may connect and emit.
#include <boost/signals2.hpp>

#include "events.hpp"

namespace {

compare::Outcome publish(const compare::Options& options, int subscribers) {
  boost::signals2::signal<void(const compare::Event&)> signal;
  for (int i = 0; i < subscribers; ++i)
    signal.connect([](const compare::Event& event) { compare::deliver(event); });
  return compare::publish(options, subscribers, 1,
                          [&](const compare::Event& event) { signal(event); });
}

}  // namespace

int main(int argc, char** argv) {
  return compare::run({{"G1", [](const auto& o) { return publish(o, 1); }},
                       {"G8", [](const auto& o) { return publish(o, 8); }},
                       {"G64", [](const auto& o) { return publish(o, 64); }}},
                      argc, argv);
}
