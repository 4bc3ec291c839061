#include <wisp/service/dead_letters.hpp>

#include <algorithm>
#include <utility>

namespace wisp::inline v0 {

std::vector<DeadLetter> DeadLetters::list() const {
  const MutexLock lock(mutex_);
  std::vector<DeadLetter> all;
  all.reserve(letters_.size());
  for (const Entry& each : letters_) all.push_back(each.letter);
  return all;
}

std::size_t DeadLetters::size() const {
  const MutexLock lock(mutex_);
  return letters_.size();
}

std::uint64_t DeadLetters::forgotten() const {
  const MutexLock lock(mutex_);
  return forgotten_;
}

void DeadLetters::clear() {
  std::deque<Entry> gone;  // destroyed outside of the lock
  const MutexLock lock(mutex_);
  gone.swap(letters_);
  bytes_ = 0;
}

int DeadLetters::redrive(int count) {
  int accepted = 0;
  std::vector<Entry> refused;
  // Each letter once: what fails again meanwhile comes back behind those that are here now.
  for (std::size_t left = size(); left > 0 && accepted < count; --left) {
    Entry entry;
    std::optional<detail::Rate::Turn> turn;
    {
      const MutexLock lock(mutex_);
      if (letters_.empty() || !(turn = rate_.try_take(clock_.now()))) break;
      entry = take_oldest();
    }
    if (entry.again(entry.letter.event).ok()) {
      ++accepted;
    } else {
      rate_.give_back(*turn);
      refused.push_back(std::move(entry));
    }
  }
  const MutexLock lock(mutex_);
  for (auto each = refused.rbegin(); each != refused.rend(); ++each) {
    // Newer ones took the room: the oldest are forgotten, as in add().
    if (full(each->bytes)) {
      forgotten_ += static_cast<std::uint64_t>(refused.rend() - each);
      break;
    }
    bytes_ += each->bytes;
    letters_.push_front(std::move(*each));
  }
  return accepted;
}

void DeadLetters::add(DeadLetter letter, Again again) {
  std::vector<Entry> oldest;  // destroyed outside of the lock
  const std::size_t bytes = letter.event->payload.bytes();
  const MutexLock lock(mutex_);
  while (full(bytes)) {
    oldest.push_back(take_oldest());
    ++forgotten_;
  }
  letters_.push_back({std::move(letter), std::move(again), bytes});
  bytes_ += bytes;
}

bool DeadLetters::full(std::size_t bytes) const {
  if (letters_.empty()) return false;
  return letters_.size() >= kLettersMax || bytes > kBytesMax - std::min(kBytesMax, bytes_);
}

DeadLetters::Entry DeadLetters::take_oldest() {
  Entry oldest = std::move(letters_.front());
  letters_.pop_front();
  bytes_ -= oldest.bytes;
  return oldest;
}

}  // namespace wisp::inline v0
