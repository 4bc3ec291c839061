// What texts a codec reads, as a JSON Schema (draft 2020-12), written piece by piece.
//
//   static void schema(Schema& to) {                       // in a Codec: one schema
//     to.writer().begin_object();
//     to.member("type", "number");
//     to.writer().end_object();
//   }
//
// Types with members are defined once, under "$defs", so that a type may contain itself.
//
// Threads: one-at-a-time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/writer.hpp>

namespace wisp::inline v0 {

template <class T>
struct Codec;

class Schema {
 public:
  // `references`: where define() will have put the definitions, for whoever reads the document.
  explicit Schema(Writer& to, std::string_view references = "#/$defs/")
      : to_(to), references_(references) {}
  Schema(const Schema&) = delete;
  Schema& operator=(const Schema&) = delete;

  Writer& writer() { return to_; }

  // Of T; of a type whose codec has none, {}: any value.
  template <class T>
  void of() {
    if constexpr (requires { Codec<T>::schema(*this); }) {
      Codec<T>::schema(*this);
    } else {
      to_.begin_object();
      to_.end_object();
    }
  }
  template <class T>
  void member(std::string_view name) {
    to_.name(name);
    of<T>();
  }
  void member(std::string_view name, std::string_view text) {
    to_.name(name);
    to_.text(text);
  }
  // {"type": type}
  void simple(std::string_view type);
  // {"$ref": references + name}, defined by `define`, another one than those that have the name.
  using Define = void (*)(Schema&);
  void refer(std::string_view name, Define definition);
  // A member with all that was referred to. At the end.
  void define(std::string_view name = "$defs");

 private:
  struct Definition {
    std::string name;
    Define define;
  };

  Writer& to_;
  std::string_view references_;
  std::vector<Definition> definitions_;
};

}  // namespace wisp::inline v0
