// Which line of the bill a call with labels counts on: asked for each, so not compiled for size as
// the rest of the ledger is.
#include <wisp/base/text.hpp>
#include <wisp/engine/detail/ledger.hpp>

namespace wisp::inline v0::detail {

std::size_t Ledger::LineHash::operator()(const LineName& name) const {
  // Odd numbers, so that the same text in another place is another key.
  return hash_text(name.function) + 0x9e3779b97f4a7c15U * static_cast<unsigned>(name.version) +
         0xbf58476d1ce4e5b9U * hash_text(name.tenant) + 0x94d049bb133111ebU * hash_text(name.tag);
}

std::optional<int> Ledger::line(const LineName& name) const {
  const MutexLock lock(mutex_);
  const auto found = line_index_.find(name);
  return found == line_index_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace wisp::inline v0::detail
