#include "results.hpp"

#include <array>
#include <cstdint>

#include <fmt/format.h>

#include "crypto.hpp"
#include "problem.hpp"

namespace wisp::inline v0::http {
namespace {

Answer no_such_call() { return problem(404, "there is no such call, or no more"); }

}  // namespace

Result<std::string> Results::new_id() const {
  std::array<std::uint64_t, 2> bits{};
  WISP_TRY(fill_random(random_, {reinterpret_cast<char*>(bits.data()), sizeof bits}));
  return fmt::format("{:016x}{:016x}", bits[0], bits[1]);
}

void Results::forget_old() {
  const Time now = clock_.now();
  while (!done_.empty() && now - done_.front().first > kept_)
    forget(entries_.find(done_.front().second));
}

void Results::forget(Entries::iterator entry) {
  if (entry->second.answer) {
    bytes_ -= entry->second.answer->body.size();
    done_.erase(entry->second.done);
  }
  entries_.erase(entry);
}

Result<std::string> Results::open(const Principal& owner) {
  WISP_TRY(std::string id, new_id());
  const MutexLock lock(mutex_);
  forget_old();
  if (entries_.size() >= most_)
    return unavailable("as many calls as may be ({}) wait for their clients", most_);
  if (bytes_ >= bytes_max_)
    return unavailable("results of {} bytes wait for their clients, the limit", bytes_max_);
  entries_[id].owner = {
      .shown = owner.shown, .issuer = owner.issuer, .id = owner.id, .tenant = owner.tenant};
  return id;
}

void Results::hold(const std::string& id, std::unique_ptr<detail::Started> call) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found != entries_.end() && !found->second.answer) found->second.call = std::move(call);
}

void Results::done(const std::string& id, Answer answer) {
  std::unique_ptr<detail::Started> call;  // goes after the lock
  const MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  call = std::move(found->second.call);
  if (found->second.answer) return;
  found->second.answer = std::move(answer);
  bytes_ += found->second.answer->body.size();
  found->second.done = done_.emplace(done_.end(), clock_.now(), id);
}

Answer Results::take(const std::string& id) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.answer) return problem(500, "");
  Answer answer = *found->second.answer;
  forget(found);
  return answer;
}

Answer Results::look(std::string_view id, const Principal& caller) {
  const MutexLock lock(mutex_);
  forget_old();
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.is_for(caller)) return no_such_call();
  if (found->second.answer) return *found->second.answer;
  return {.status = 202, .body = R"({"status":"running"})", .fields = "Retry-After: 1\r\n"};
}

Answer Results::cancel(std::string_view id, const Principal& caller) {
  std::unique_ptr<detail::Started> call;
  {
    const MutexLock lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end() || !found->second.is_for(caller)) return no_such_call();
    call = std::move(found->second.call);
    forget(found);
  }
  if (call != nullptr) call->cancel();
  return {.status = 204};
}

void Results::cancel_all() {
  Entries all;
  {
    const MutexLock lock(mutex_);
    all.swap(entries_);
    done_.clear();
    bytes_ = 0;
  }
  for (const auto& [id, entry] : all)
    if (entry.call != nullptr) entry.call->cancel();
}

}  // namespace wisp::inline v0::http
