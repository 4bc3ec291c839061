// A value that was found in a text, and its place there, for a codec to make a T of.
//
//   wisp::Status Codec<Celsius>::read(const Reader& from, Celsius& to) {
//     WISP_TRY(to.degrees, from.read<double>());
//     if (to.degrees < -273.15) return from.expected("a temperature above absolute zero");
//     return wisp::Status();
//   }
//
// Errors are kInvalidArgument and say where and what: "order.items[3].price: expected a number, got
// \"abc\"".
//
// Threads: value; refers to the readers around it and to the values.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/base/value.hpp>

namespace wisp::inline v0 {

template <class T>
struct Codec;

enum class UnknownMembers : std::uint8_t { refuse, ignore };

class Reader {
 public:
  // `root`: what errors call the whole; empty: "the value".
  Reader(const Value& value, std::string_view root, UnknownMembers unknown = UnknownMembers::refuse)
      : value_(&value), name_(root), unknown_(unknown) {}

  const Value& value() const { return *value_; }
  ValueKind kind() const { return value_->kind; }
  UnknownMembers unknown() const { return unknown_; }

  // What Codec<T> makes of it.
  template <class T>
  Result<T> read() const {
    T made{};
    WISP_TRY(Codec<T>::read(*this, made));
    return made;
  }

  // Calls visit(Reader) for each element, or visit(name, Reader) for each member, in the order of
  // the text, until one does not return ok. Not such a value: the error.
  template <class Visit>
  Status each_element(Visit visit) const {
    if (kind() != ValueKind::array) return expected("an array");
    const Value* at = value_ + 1;
    for (std::size_t i = 0; i < value_->size; ++i, at = at->next())
      WISP_TRY(visit(Reader(*at, *this, i)));
    return Status();
  }
  template <class Visit>
  Status each_member(Visit visit) const {
    if (kind() != ValueKind::object) return expected("an object");
    const Value* at = value_ + 1;
    for (std::size_t i = 0; i < value_->size; ++i) {
      const std::string_view name = at->view();
      WISP_TRY(visit(name, Reader(at[1], *this, name)));
      at = at[1].next();
    }
    return Status();
  }

  // "order.items[3].price: expected a number, got \"abc\"".
  Status expected(std::string_view what) const;
  // "order.items[3].price: is missing".
  Status lacks(std::string_view member) const;
  // "order.items[3].prise: `what`".
  Status wrong(std::string_view what) const;

  // "order.items[3].price".
  std::string place() const;

 private:
  Reader(const Value& value, const Reader& outer, std::string_view name)
      : value_(&value), outer_(&outer), name_(name), unknown_(outer.unknown_) {}
  Reader(const Value& value, const Reader& outer, std::size_t index)
      : value_(&value), outer_(&outer), index_(index), unknown_(outer.unknown_) {}

  const Value* value_;
  const Reader* outer_ = nullptr;
  std::string_view name_;
  std::optional<std::size_t> index_;
  UnknownMembers unknown_;
};

}  // namespace wisp::inline v0
