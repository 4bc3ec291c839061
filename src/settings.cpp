// Apart from the rest of a Runtime, for programs that do without.
#include <wisp/model/settings.hpp>

#include <wisp/runtime.hpp>
#include <wisp/service/detail/tuning.hpp>

namespace wisp::inline v0 {

Status Runtime::configure(const Settings& settings) {
  return invoker_->parts().tuner->configure(settings);
}

Settings Runtime::settings() const {
  // What a handler captured may ask when it is destroyed, and all this with it.
  const bool here = !invoker_->forked() && invoker_->shared_from_this() != nullptr;
  return here ? invoker_->parts().tuner->settings() : Settings();
}

}  // namespace wisp::inline v0
