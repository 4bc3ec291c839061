// The error vocabulary: Status, Result<T>, makers that format, and why wisp itself refused.
//
//   wisp::Result<int> half(int n) {
//     if (n % 2 != 0) return wisp::invalid_argument("{} is odd", n);
//     return n / 2;
//   }
//   wisp::Result<int> quarter(int n) {
//     WISP_TRY(int h, half(n));
//     return half(h);
//   }
//
// Status and StatusOr are Abseil's. Their string_view is Abseil's own on some systems and neither
// converts to std's nor prints with fmt; message(status) gives a std::string_view.
//
// Threads: value.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/core.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <wisp/base/config.hpp>

namespace wisp::inline v0 {

using Status = absl::Status;
using StatusCode = absl::StatusCode;

namespace detail {
template <class T>
struct ResultOf {
  using type = absl::StatusOr<T>;
};
template <>
struct ResultOf<void> {
  using type = Status;
};
}  // namespace detail

// A T or the Status that says why there is none; Result<void> is Status.
template <class T>
using Result = typename detail::ResultOf<T>::type;

// The text of `status`, empty when it is ok. Valid while `status` lives and is not assigned to.
inline std::string_view message(const Status& status) {
  return {status.message().data(), status.message().size()};
}

// "NOT_FOUND: no function 'price'", or "OK".
std::string to_string(const Status& status);

// The status within a Result of either kind.
inline const Status& status_of(const Status& status) { return status; }
template <class T>
const Status& status_of(const absl::StatusOr<T>& result) {
  return result.status();
}

// Why wisp, not the handler, refused a call or an event. Carried by the Status, so that a refusal
// differs from a handler's own error of the same code. A refusal spends no attempt.
enum class Reason : std::uint8_t {
  limit,    // a concurrency limit
  rate,     // a rate limit
  budget,   // a spending budget
  hops,     // more than kHopsMax events in one chain of causes
  stopped,  // the runtime has stopped, or this is a child after fork
  full,     // a bounded queue
  // More calls than can be served in time: this one had waited for too long; see
  // CallOptions::sheddable.
  overload,
};

std::string_view to_string(Reason reason);

// A refusal by wisp, with its reason attached to the Status.
Status refused(StatusCode code, Reason reason, std::string_view text);

// The reason if wisp refused for one of these. Nothing if the status is ok or a handler's own, nor
// of what is wrong with a call itself (a name, a type, an option) or was too late. A handler that
// hands on the error of a call of its own hands on the reason: that call was refused, and the
// handler has run. So has, perhaps, what a stop abandoned.
std::optional<Reason> reason_of(const Status& status);

namespace detail {
Status make_status(StatusCode code, fmt::string_view format, fmt::format_args arguments);
}  // namespace detail

// Makers, one for each code that a handler would choose: invalid_argument("a parcel weighs
// something, got {} kg", kg).
#define WISP_DETAIL_STATUS_MAKER(name, code)                                                   \
  template <class... Args>                                                                     \
  [[nodiscard]] Status name(fmt::format_string<Args...> format, Args&&... arguments) {         \
    return detail::make_status(StatusCode::code, format, fmt::make_format_args(arguments...)); \
  }
WISP_DETAIL_STATUS_MAKER(cancelled, kCancelled)
WISP_DETAIL_STATUS_MAKER(unknown, kUnknown)
WISP_DETAIL_STATUS_MAKER(invalid_argument, kInvalidArgument)
WISP_DETAIL_STATUS_MAKER(deadline_exceeded, kDeadlineExceeded)
WISP_DETAIL_STATUS_MAKER(not_found, kNotFound)
WISP_DETAIL_STATUS_MAKER(already_exists, kAlreadyExists)
WISP_DETAIL_STATUS_MAKER(permission_denied, kPermissionDenied)
WISP_DETAIL_STATUS_MAKER(resource_exhausted, kResourceExhausted)
WISP_DETAIL_STATUS_MAKER(failed_precondition, kFailedPrecondition)
WISP_DETAIL_STATUS_MAKER(aborted, kAborted)
WISP_DETAIL_STATUS_MAKER(out_of_range, kOutOfRange)
WISP_DETAIL_STATUS_MAKER(unimplemented, kUnimplemented)
WISP_DETAIL_STATUS_MAKER(internal, kInternal)
WISP_DETAIL_STATUS_MAKER(unavailable, kUnavailable)
WISP_DETAIL_STATUS_MAKER(data_loss, kDataLoss)
WISP_DETAIL_STATUS_MAKER(unauthenticated, kUnauthenticated)
#undef WISP_DETAIL_STATUS_MAKER

namespace detail {
inline Status take_status(Status&& status) { return std::move(status); }
template <class T>
Status take_status(absl::StatusOr<T>&& result) {
  return std::move(result).status();
}
}  // namespace detail

}  // namespace wisp::inline v0

// Returns from the enclosing function with the error when the expression has one.
//   WISP_TRY(expression);               a Status, or a Result whose value is not wanted
//   WISP_TRY(Type name, expression);    declares `name` with the value; also assigns:
//   WISP_TRY(name, expression)
// A type with a comma in it needs `auto` or an alias.
#define WISP_TRY(...)                                                                              \
  WISP_DETAIL_TRY_PICK(__VA_ARGS__, WISP_DETAIL_TRY_N, WISP_DETAIL_TRY_N, WISP_DETAIL_TRY_N,       \
                       WISP_DETAIL_TRY_N, WISP_DETAIL_TRY_N, WISP_DETAIL_TRY_N, WISP_DETAIL_TRY_N, \
                       WISP_DETAIL_TRY_1, )                                                        \
  (__VA_ARGS__)
#define WISP_DETAIL_TRY_PICK(a, b, c, d, e, f, g, h, picked, ...) picked
#define WISP_DETAIL_TRY_1(expression)                                 \
  do {                                                                \
    if (auto wisp_try_result = (expression); !wisp_try_result.ok())   \
      return ::wisp::detail::take_status(std::move(wisp_try_result)); \
  } while (false)
#define WISP_DETAIL_TRY_N(target, ...) \
  WISP_DETAIL_TRY_ASSIGN(WISP_DETAIL_TRY_JOIN(wisp_try_, __COUNTER__), target, (__VA_ARGS__))
#define WISP_DETAIL_TRY_JOIN(a, b) WISP_DETAIL_TRY_JOIN_2(a, b)
#define WISP_DETAIL_TRY_JOIN_2(a, b) a##b
#define WISP_DETAIL_TRY_ASSIGN(result, target, expression)                 \
  auto result = expression;                                                \
  if (!result.ok()) return ::wisp::detail::take_status(std::move(result)); \
  target = *std::move(result)
