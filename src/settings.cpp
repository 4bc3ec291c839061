// Apart from the rest of a Runtime, for programs that do without.
#include <wisp/model/settings.hpp>

#include <wisp/runtime.hpp>
#include <wisp/service/detail/tuning.hpp>

namespace wisp::inline v0 {

Status Runtime::configure(const Settings& settings) {
  return invoker_->parts().tuner->configure(settings);
}

Settings Runtime::settings() const {
  return invoker_->forked() ? Settings() : invoker_->parts().tuner->settings();
}

}  // namespace wisp::inline v0
