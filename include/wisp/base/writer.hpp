// Where a codec writes a value, in whatever format: a text of JSON, later others.
//
//   to.begin_object();
//   to.name("id");
//   to.text("4711");
//   to.end_object();
//
// Threads: one-at-a-time.
#pragma once

#include <cstdint>
#include <string_view>

namespace wisp::inline v0 {

class Writer {
 public:
  virtual ~Writer() = default;

  virtual void null() = 0;
  virtual void boolean(bool value) = 0;
  virtual void integer(std::int64_t value) = 0;
  virtual void natural(std::uint64_t value) = 0;
  // What is not finite is null: JSON has no word for it.
  virtual void real(double value) = 0;
  // The shortest number that is read back as the same float.
  virtual void real(float value) = 0;
  // UTF-8; what is not is replaced by U+FFFD.
  virtual void text(std::string_view value) = 0;

  virtual void begin_array() = 0;
  virtual void end_array() = 0;
  // Between these, each member is its name and a value.
  virtual void begin_object() = 0;
  virtual void name(std::string_view name) = 0;
  virtual void end_object() = 0;

 protected:
  Writer() = default;
  Writer(const Writer&) = default;
  Writer& operator=(const Writer&) = default;
};

}  // namespace wisp::inline v0
