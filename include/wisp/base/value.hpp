// What a parser has found in a text, as codecs read it: values in the order of the text, those of
// an array or object right after it.
//
//   {"id": "4711", "tags": ["a", "b"]}
//   object of 2, "id", "4711", "tags", array of 2, "a", "b"
//
// One vector, whatever the nesting; nothing is copied but text that the parser had to change.
//
// Threads: value.
#pragma once

#include <cstdint>
#include <string_view>

namespace wisp::inline v0 {

enum class ValueKind : std::uint8_t { null, boolean, integer, natural, real, text, array, object };

// "null", "true or false", "a number", "a text", "an array", "an object".
std::string_view to_string(ValueKind kind);

struct Value {
  ValueKind kind = ValueKind::null;
  // Of a text its bytes, of an array its elements, of an object its members, each a text, its name,
  // and a value.
  std::uint32_t size = 0;
  union {
    bool boolean;
    std::int64_t integer;      // written as a whole number: 2, not 2.0
    std::uint64_t natural;     // beyond an integer
    double real;               // of a text, finite
    const char* text;          // UTF-8, not terminated
    std::uint64_t length = 1;  // of an array or object: itself and all values within
  };

  std::string_view view() const { return {text, size}; }
  bool nests() const { return kind == ValueKind::array || kind == ValueKind::object; }
  // What follows it and all within.
  const Value* next() const { return this + (nests() ? length : 1); }
};

}  // namespace wisp::inline v0
