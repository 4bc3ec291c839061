#include "notes.hpp"

namespace backend {
namespace {

wisp::Status check(const std::string& text) {
  if (!text.empty() && text.size() <= kNoteBytesMax) return wisp::Status();
  return wisp::invalid_argument("a note has 1 to {} bytes, not {}", kNoteBytesMax, text.size());
}

wisp::Status none(std::int64_t id) { return wisp::not_found("there is no note {}", id); }

}  // namespace

wisp::Result<Note> Notes::create(const NewNote& note) {
  WISP_TRY(check(note.text));
  const wisp::MutexLock lock(mutex_);
  std::size_t& count = counts_[note.owner];
  if (count >= kNotesMax)
    return wisp::resource_exhausted("there are {} notes, as many as may be", kNotesMax);
  ++count;
  const std::int64_t id = next_++;
  texts_[{note.owner, id}] = note.text;
  return Note{.id = id, .text = note.text};
}

std::vector<Note> Notes::list(const Owner& of) {
  std::vector<Note> all;
  const wisp::MutexLock lock(mutex_);
  for (auto at = texts_.lower_bound({of.owner, 0}); at != texts_.end(); ++at) {
    if (at->first.first != of.owner) break;
    all.push_back({.id = at->first.second, .text = at->second});
  }
  return all;
}

wisp::Result<Note> Notes::read(const NoteId& which) {
  const wisp::MutexLock lock(mutex_);
  const auto found = texts_.find({which.owner, which.id});
  if (found == texts_.end()) return none(which.id);
  return Note{.id = which.id, .text = found->second};
}

wisp::Result<Note> Notes::change(const ChangedNote& note) {
  WISP_TRY(check(note.text));
  const wisp::MutexLock lock(mutex_);
  const auto found = texts_.find({note.owner, note.id});
  if (found == texts_.end()) return none(note.id);
  found->second = note.text;
  return Note{.id = note.id, .text = note.text};
}

wisp::Status Notes::remove(const NoteId& which) {
  const wisp::MutexLock lock(mutex_);
  if (texts_.erase({which.owner, which.id}) == 0) return none(which.id);
  const auto count = counts_.find(which.owner);
  if (--count->second == 0) counts_.erase(count);
  return wisp::Status();
}

}  // namespace backend
