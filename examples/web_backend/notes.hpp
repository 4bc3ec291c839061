// Notes, in memory, each of one account.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/wisp.hpp>

namespace backend {

inline constexpr std::size_t kNotesMax = 1'000;       // of one account
inline constexpr std::size_t kNoteBytesMax = 10'000;  // of a text

struct Note {
  std::int64_t id = 0;
  std::string text;
};
WISP_FIELDS(Note, id, text)

// `owner` is who calls: the gateway sets it, and no request can.
struct Owner {
  std::string owner;
};
WISP_FIELDS(Owner, owner)

struct NewNote {
  std::string owner;
  std::string text;
};
WISP_FIELDS(NewNote, owner, text)

struct ChangedNote {
  std::string owner;
  std::int64_t id = 0;
  std::string text;
};
WISP_FIELDS(ChangedNote, owner, id, text)

struct NoteId {
  std::string owner;
  std::int64_t id = 0;
};
WISP_FIELDS(NoteId, owner, id)

// Published on notes.<id>.<what> after each change.
struct NoteEvent {
  std::string owner;
  std::int64_t id = 0;
  std::string what;  // created, changed, removed
};
WISP_FIELDS(NoteEvent, owner, id, what)

class Notes {
 public:
  // kResourceExhausted: the account has kNotesMax.
  wisp::Result<Note> create(const NewNote& note);
  std::vector<Note> list(const Owner& of);
  // kNotFound: the account has no such note, whoever else has.
  wisp::Result<Note> read(const NoteId& which);
  wisp::Result<Note> change(const ChangedNote& note);
  wisp::Status remove(const NoteId& which);

 private:
  wisp::Mutex mutex_;  // nothing else is locked under it
  std::map<std::pair<std::string, std::int64_t>, std::string> texts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::size_t> counts_ ABSL_GUARDED_BY(mutex_);
  std::int64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace backend
