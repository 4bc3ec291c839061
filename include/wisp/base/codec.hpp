// Between a T and values in a text: JSON's, or whatever a reader and a writer stand for.
//
//   struct Parcel { double kg; std::optional<std::string> note; };
//   WISP_FIELDS(Parcel, kg, note)                       // {"kg": 2.5}, and a note perhaps
//   enum class Size { small, large };
//   WISP_ENUM(Size, small, large)                       // "small"
//
//   template <>
//   struct wisp::Codec<Celsius> {                       // a type of your own
//     static wisp::Status read(const wisp::Reader& from, Celsius& to);
//     static void write(wisp::Writer& to, const Celsius& value);
//   };
//
// Has a codec: bool, whole and real numbers, std::string, what WISP_FIELDS or WISP_ENUM name, and
// of these std::optional (null, or absent as a member: one that holds what is null is read as
// empty), containers (arrays; maps from std::string objects), std::array, std::pair and std::tuple
// (arrays of their length), std::variant (see below), std::chrono durations ("1.5s", as protobuf's
// mapping to JSON has them) and times of std::chrono::system_clock ("2026-11-29T17:30:00.25Z", RFC
// 3339).
//
// A whole number is read as it was meant or not at all: 300 is no std::uint8_t, 2.5 no int, but 2.0
// is; a real one is what is nearest to its digits. A member that the type has and the object has
// not, is an error unless it is an optional; one twice is an error; one that the type has not, as
// the reader says (UnknownMembers).
//
// Threads: any.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <wisp/base/enums.hpp>
#include <wisp/base/fields.hpp>
#include <wisp/base/reader.hpp>
#include <wisp/base/schema.hpp>
#include <wisp/base/status.hpp>
#include <wisp/base/writer.hpp>

namespace wisp::inline v0 {

template <class T>
concept HasCodec = requires(const Reader& from, Writer& writer, T& to, const T& value) {
  { Codec<T>::read(from, to) } -> std::same_as<Status>;
  Codec<T>::write(writer, value);
};

template <>
struct Codec<bool> {
  static Status read(const Reader& from, bool& to);
  static void write(Writer& to, bool value) { to.boolean(value); }
  static void schema(Schema& to) { to.simple("boolean"); }
};

template <>
struct Codec<std::string> {
  static Status read(const Reader& from, std::string& to);
  static void write(Writer& to, const std::string& value) { to.text(value); }
  static void schema(Schema& to) { to.simple("string"); }
};

namespace detail {

template <class T>
concept WholeNumber = std::integral<T> && !std::same_as<T, bool>;

// A number that is whole; the error of `from` unless it is one from `low` to `high`.
Result<std::int64_t> read_integer(const Reader& from, std::int64_t low, std::int64_t high);
Result<std::uint64_t> read_natural(const Reader& from, std::uint64_t high);
Result<double> read_real(const Reader& from, double most);

// Which of these an object has, and whether it lacks what it must have.
class Members {
 public:
  explicit Members(std::span<const FieldInfo> fields) : fields_(fields) {}
  // The place of the field of that name among all, or -1: there is none. The one after the last is
  // looked at first.
  int find(std::string_view name);
  // An error if it was seen before.
  Status see(const Reader& member, int index);
  bool seen(std::size_t index) const { return (seen_ >> index & 1) != 0; }

 private:
  std::span<const FieldInfo> fields_;
  std::uint64_t seen_ = 0;
  std::size_t next_ = 0;
};

}  // namespace detail

template <detail::WholeNumber T>
struct Codec<T> {
  using Number = detail::number_t<T>;
  static Status read(const Reader& from, T& to) {
    using Range = std::numeric_limits<Number>;
    if constexpr (std::is_signed_v<Number>) {
      WISP_TRY(const std::int64_t n, detail::read_integer(from, Range::min(), Range::max()));
      to = static_cast<T>(n);
    } else {
      WISP_TRY(const std::uint64_t n, detail::read_natural(from, Range::max()));
      to = static_cast<T>(n);
    }
    return Status();
  }
  static void write(Writer& to, T value) {
    if constexpr (std::is_signed_v<Number>) to.integer(static_cast<Number>(value));
    else to.natural(value);
  }
  static void schema(Schema& to) {
    Writer& writer = to.writer();
    writer.begin_object();
    to.member("type", "integer");
    writer.name("minimum");
    write(writer, static_cast<T>(std::numeric_limits<Number>::min()));
    writer.name("maximum");
    write(writer, static_cast<T>(std::numeric_limits<Number>::max()));
    writer.end_object();
  }
};

template <std::floating_point T>
struct Codec<T> {
  static_assert(sizeof(T) <= sizeof(double), "a long double would lose digits on its way");
  static Status read(const Reader& from, T& to) {
    constexpr double kMost = std::numeric_limits<T>::max();
    // The shortest text of the largest float is above it as a double: half a step rounds to it.
    constexpr double kRead = std::same_as<T, float> ? 0x1.fffffefffffffp127 : kMost;
    WISP_TRY(const double n, detail::read_real(from, kRead));
    to = static_cast<T>(std::clamp(n, -kMost, kMost));
    return Status();
  }
  static void write(Writer& to, T value) { to.real(value); }
  static void schema(Schema& to) { to.simple("number"); }
};

template <class T>
  requires std::is_enum_v<T>
struct Codec<T> {
  static_assert(detail::HasEnumerators<T>, "name the values of this enum: WISP_ENUM(Type, a, b)");
  static Status read(const Reader& from, T& to) {
    if (from.kind() == ValueKind::text) {
      if (const std::optional<T> found = enumerator<T>(from.value().view())) {
        to = *found;
        return Status();
      }
    }
    return from.expected(detail::one_of(enumerator_names<T>()));
  }
  // One without a name is null.
  static void write(Writer& to, T value) {
    const std::string_view name = enumerator_name(value);
    if (name.empty()) to.null();
    else to.text(name);
  }
  static void schema(Schema& to) {
    Writer& writer = to.writer();
    writer.begin_object();
    writer.name("enum");
    writer.begin_array();
    for (const std::string_view each : enumerator_names<T>()) writer.text(each);
    writer.end_array();
    writer.end_object();
  }
};

template <class T>
struct Codec<std::optional<T>> {
  static Status read(const Reader& from, std::optional<T>& to) {
    to.reset();
    if (from.kind() == ValueKind::null) return Status();
    return Codec<T>::read(from, to.emplace());
  }
  static void write(Writer& to, const std::optional<T>& value) {
    if (value) Codec<T>::write(to, *value);
    else to.null();
  }
  static void schema(Schema& to) {
    Writer& writer = to.writer();
    writer.begin_object();
    writer.name("anyOf");
    writer.begin_array();
    to.of<T>();
    to.simple("null");
    writer.end_array();
    writer.end_object();
  }
};

template <class T>
  requires detail::HasFields<T>
struct Codec<T> {
  static Status read(const Reader& from, T& to) {
    return read_fields(from, to, std::make_index_sequence<kFields>());
  }
  // An empty optional is left out.
  static void write(Writer& to, const T& value) {
    to.begin_object();
    for_each_field(value, [&to]<class Member>(std::string_view name, const Member& member) {
      if constexpr (detail::IsOptional<Member>::value) {
        if (!member) return;
      }
      to.name(name);
      Codec<Member>::write(to, member);
    });
    to.end_object();
  }
  static void schema(Schema& to) { to.refer(type_info<T>().wire_name, &define); }
  // Of what is left of a value without these members, where it stands.
  static void schema_without(Schema& to, std::span<const std::string_view> names) {
    const auto in = [names](std::string_view name) {
      return std::find(names.begin(), names.end(), name) == names.end();
    };
    Writer& writer = to.writer();
    writer.begin_object();
    to.member("type", "object");
    writer.name("properties");
    writer.begin_object();
    std::apply(
        [&]<class... Field>(const Field&... field) {
          ((in(field.name) ? to.member<typename Field::Type>(field.name) : void()), ...);
        },
        detail::fields_of<T>().fields);
    writer.end_object();
    writer.name("required");
    writer.begin_array();
    std::apply(
        [&]<class... Field>(const Field&... field) {
          ((detail::IsOptional<typename Field::Type>::value || !in(field.name)
                ? void()
                : writer.text(field.name)),
           ...);
        },
        detail::fields_of<T>().fields);
    writer.end_array();
    writer.name("additionalProperties");
    writer.boolean(false);
    writer.end_object();
  }

 private:
  static void define(Schema& to) { schema_without(to, {}); }
  static constexpr std::size_t kFields = std::tuple_size_v<decltype(detail::fields_of<T>().fields)>;

  template <std::size_t i>
  static auto& member(T& of) {
    return of.*(std::get<i>(detail::fields_of<T>().fields).member);
  }
  template <std::size_t i>
  static Status read_field(const Reader& from, T& to) {
    using Member = std::remove_cvref_t<decltype(member<i>(to))>;
    static_assert(HasCodec<Member>, "wisp: a member's type has no codec: see codec.hpp");
    return Codec<Member>::read(from, member<i>(to));
  }
  template <std::size_t i>
  static Status lacks(const Reader& from, const detail::Members& members, T& to) {
    if (members.seen(i)) return Status();
    using Member = std::remove_cvref_t<decltype(member<i>(to))>;
    if constexpr (detail::IsOptional<Member>::value) {
      member<i>(to).reset();
      return Status();
    }
    return from.lacks(std::get<i>(detail::fields_of<T>().fields).name);
  }

  template <std::size_t... i>
  static Status read_fields(const Reader& from, T& to, std::index_sequence<i...>) {
    using Read = Status (*)(const Reader&, T&);
    static constexpr Read kReads[] = {&read_field<i>..., nullptr};
    detail::Members members(type_info<T>().fields);
    const auto read = [&](std::string_view name, const Reader& each) -> Status {
      const int found = members.find(name);
      if (found < 0) {
        if (from.unknown() == UnknownMembers::ignore) return Status();
        return each.wrong(fmt::format("{} has no such member", type_info<T>().name()));
      }
      WISP_TRY(members.see(each, found));
      return kReads[found](each, to);
    };
    WISP_TRY(from.each_member(read));
    Status lacking;
    (void)((lacking = lacks<i>(from, members, to), lacking.ok()) && ...);
    return lacking;
  }
};

}  // namespace wisp::inline v0
