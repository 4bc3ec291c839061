// Apart from the rest of a Runtime, for programs that do without.
#include <wisp/model/settings.hpp>

#include <wisp/runtime.hpp>
#include <wisp/service/detail/tuning.hpp>

namespace wisp::inline v0 {
namespace {

// What a handler captured may ask when it is destroyed, and all this with it.
bool here(const detail::Invoker& invoker) {
  return !invoker.forked() && invoker.shared_from_this() != nullptr;
}

}  // namespace

Status Runtime::configure(const Settings& settings) {
  if (!here(*invoker_))
    return refused(StatusCode::kUnavailable, Reason::stopped, "the runtime has stopped");
  return invoker_->parts().tuner->configure(settings);
}

Settings Runtime::settings() const {
  return here(*invoker_) ? invoker_->parts().tuner->settings() : Settings();
}

}  // namespace wisp::inline v0
