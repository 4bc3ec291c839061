// What a world that cannot go on says.
#include <string>

#include <fmt/format.h>

#include "scheduler.hpp"

namespace wisp::inline v0::sim {

std::string Scheduler::report(std::string_view what) const {
  std::string text =
      fmt::format("wisp::sim, seed {}, {} after the start: {}\n", seed_, moment(now_), what);
  const bool ours = self() != nullptr;  // or it may be running meanwhile
  for (const auto& each : threads_) {
    if (each->state == Simulated::State::idle) continue;
    std::string line =
        each->number == 0 ? "  the main thread" : fmt::format("  thread {}", each->number);
    const std::string_view function = ours ? each->fiber->function() : std::string_view();
    if (!function.empty()) line += fmt::format(", in '{}',", function);
    else if (!each->name.empty()) line += fmt::format(", in {},", each->name);
    const bool back = each->number == 0 && mode_ != Mode::waiting;
    if (back) {
      line += " advances time";
    } else if (each->state != Simulated::State::waiting) {
      line += each->state == Simulated::State::ready ? " could go on" : " runs";
    } else {
      line += fmt::format(" has been waiting since {}", moment(each->since));
      line += each->until == Time::never() ? ", without a limit"
                                           : fmt::format(", until {}", moment(each->until));
    }
    text += line + "\n";
  }
  if (const std::size_t queued = tasks_.size() + late_.size(); queued > 0) {
    text += fmt::format("  {} tasks are queued; {} have begun, the limit is {}\n", queued,
                        tasks_begun_, options_.threads_max);
  }
  return text;
}

}  // namespace wisp::inline v0::sim
