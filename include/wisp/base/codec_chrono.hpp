// Codecs of std::chrono: a duration is "1.5s", seconds with up to nine decimals, as in protobuf's
// mapping to JSON; a time of std::chrono::system_clock is "2026-11-29T17:30:00.25Z", as in RFC
// 3339, written in UTC and read with any offset.
//
// What the type cannot hold exactly is an error: no "1.5s" for whole seconds. Within 292 years of
// zero or of 1970.
//
// Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

#include <wisp/base/codec.hpp>

namespace wisp::inline v0 {
namespace detail {

// Both in nanoseconds, since 1970 the latter.
Result<std::int64_t> read_duration(const Reader& from);
Result<std::int64_t> read_time(const Reader& from);
void write_duration(Writer& to, std::int64_t ns);
void write_time(Writer& to, std::int64_t ns);

// An error if the type cannot hold it.
template <class Duration>
Result<Duration> from_ns(const Reader& from, std::int64_t ns) {
  using std::chrono::nanoseconds;
  if constexpr (std::is_unsigned_v<typename Duration::rep>) {
    if (ns < 0) return from.expected("a time that its type can count");
  }
  using Finer = std::ratio_divide<std::nano, typename Duration::period>;
  if constexpr (Finer::num > Finer::den && std::is_integral_v<typename Duration::rep>) {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / Finer::num;
    if (ns > most || ns < -most) return from.expected("a time that its type can count");
  }
  const auto made = std::chrono::duration_cast<Duration>(nanoseconds(ns));
  if constexpr (!std::chrono::treat_as_floating_point_v<typename Duration::rep>) {
    if (std::chrono::duration_cast<nanoseconds>(made).count() != ns)
      return from.expected("a multiple of what its type counts in");
  }
  return made;
}

}  // namespace detail

template <class Rep, class Period>
struct Codec<std::chrono::duration<Rep, Period>> {
  using Duration = std::chrono::duration<Rep, Period>;
  static Status read(const Reader& from, Duration& to) {
    WISP_TRY(const std::int64_t ns, detail::read_duration(from));
    WISP_TRY(to, detail::from_ns<Duration>(from, ns));
    return Status();
  }
  static void write(Writer& to, Duration value) {
    detail::write_duration(to, std::chrono::duration_cast<std::chrono::nanoseconds>(value).count());
  }
  static void schema(Schema& to) {
    to.writer().begin_object();
    to.member("type", "string");
    to.member("pattern", R"(^-?[0-9]{1,10}(\.[0-9]{1,9})?s$)");
    to.writer().end_object();
  }
};

template <class Duration>
struct Codec<std::chrono::time_point<std::chrono::system_clock, Duration>> {
  using Time = std::chrono::time_point<std::chrono::system_clock, Duration>;
  static Status read(const Reader& from, Time& to) {
    WISP_TRY(const std::int64_t ns, detail::read_time(from));
    WISP_TRY(const auto since, detail::from_ns<Duration>(from, ns));
    to = Time(since);
    return Status();
  }
  static void write(Writer& to, Time value) {
    detail::write_time(
        to, std::chrono::duration_cast<std::chrono::nanoseconds>(value.time_since_epoch()).count());
  }
  static void schema(Schema& to) {
    to.writer().begin_object();
    to.member("type", "string");
    to.member("format", "date-time");
    to.writer().end_object();
  }
};

}  // namespace wisp::inline v0
