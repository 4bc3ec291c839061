// Names to addresses, on threads of their own: the system's resolver can neither be interrupted nor
// told how long to take, so a call that is tired of it goes and leaves it behind.
//
// Threads: any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/engine/detail/thread.hpp>
#include <wisp/http/client.hpp>

#include "client_wait.hpp"

namespace wisp::inline v0::http {

inline constexpr std::size_t kLookupsMax = 16;  // at once

class Lookups {
 public:
  // Requires: `resolver`, if there is one, outlives this.
  explicit Lookups(Resolver* resolver);
  // Waits for those that were left behind.
  ~Lookups();

  // kUnavailable also when kLookupsMax are under way.
  Result<std::vector<IpAddress>> resolve(const std::string& host, const Wait& wait);

 private:
  struct Lookup;
  struct Running {
    wisp::detail::Thread thread;
    std::shared_ptr<Lookup> lookup;
  };

  Status start(const std::shared_ptr<Lookup>& lookup);

  Resolver& resolver_;
  Mutex mutex_;  // nothing else is locked under it
  std::vector<Running> running_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace wisp::inline v0::http
