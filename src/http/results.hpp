// Calls whose clients come back for what they came to.
//
// Threads: any.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/random.hpp>
#include <wisp/base/status.hpp>
#include <wisp/http/detail/endpoint.hpp>
#include <wisp/http/principal.hpp>

#include "answer.hpp"

namespace wisp::inline v0::http {

class Results {
 public:
  // At most `most` at once, those of the last `kept` included. `random` null: OpenSSL's, which
  // nobody can guess. Requires: both outlive this.
  // Answers of `bytes` in all are kept, beyond which no call is begun.
  Results(Clock& clock, Random* random, std::size_t most, Duration kept, std::size_t bytes)
      : clock_(clock), random_(random), most_(most), kept_(kept), bytes_max_(bytes) {}

  // A new one's id, 32 hex digits; of nobody it is everybody's. kUnavailable: there are as many as
  // may be. kInternal: there is no randomness.
  Result<std::string> open(const Principal& owner);
  // Whichever comes first. Of one that is gone they change nothing.
  void hold(const std::string& id, std::unique_ptr<detail::Started> call);
  void done(const std::string& id, Answer answer);
  // What done() was given for one that never began; it is gone then.
  Answer take(const std::string& id);

  // 202 while it runs, then its answer; 404: there is none, or no more, or it is another's.
  Answer look(std::string_view id, const Principal& caller);
  // 204, or 404. One that runs is asked to stop.
  Answer cancel(std::string_view id, const Principal& caller);
  void cancel_all();

 private:
  struct Entry {
    bool is_for(const Principal& caller) const {
      return owner.shown == Credential::none || owner.same_as(caller);
    }

    Principal owner;  // without roles
    std::unique_ptr<detail::Started> call{};
    std::optional<Answer> answer{};
    std::list<std::pair<Time, std::string>>::iterator done{};  // if there is an answer
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  Result<std::string> new_id() const;
  void forget_old() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void forget(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  Random* const random_;
  const std::size_t most_;
  const Duration kept_;
  const std::size_t bytes_max_;
  Mutex mutex_;  // nothing else is locked under it
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  // Those with an answer, in the order of time.
  std::list<std::pair<Time, std::string>> done_ ABSL_GUARDED_BY(mutex_);
  std::size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of their bodies
};

}  // namespace wisp::inline v0::http
