#include <wisp/base/status.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/cord.h>

#include "catch.hpp"

using wisp::Reason;
using wisp::Result;
using wisp::Status;
using wisp::StatusCode;

namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return wisp::invalid_argument("{} is odd", n);
  return n / 2;
}

Status even(int n) { return half(n).status(); }

Result<std::pair<int, int>> both(int a, int b) { return std::pair(a, b); }

Result<std::unique_ptr<int>> owned(int n) {
  if (n < 0) return wisp::out_of_range("{} is negative", n);
  return std::make_unique<int>(n);
}

// One function for each form of WISP_TRY, because each returns from the function around it.
Result<int> declares(int n) {
  WISP_TRY(int h, half(n));
  WISP_TRY(const int q, half(h));
  return q;
}

Result<int> assigns(int n) {
  int h = 0;
  WISP_TRY(h, half(n));
  std::vector<int> list(1);
  WISP_TRY(list[0], half(h));
  return list[0];
}

Status discards(int n, int& reached) {
  WISP_TRY(half(n));
  ++reached;
  WISP_TRY(even(n / 2));
  ++reached;
  return Status();
}

Result<int> commas(int a) {
  using Pair = std::pair<int, int>;
  WISP_TRY(Pair pair, both(a, 1));
  WISP_TRY(auto deduced, both(pair.first, 2));
  WISP_TRY(auto braced, Result<std::pair<int, int>>{std::pair<int, int>{deduced.second, 3}});
  return pair.second + deduced.second + braced.second;
}

Result<std::string> converts_the_error(int n) {
  WISP_TRY(const auto pointer, owned(n));
  return std::to_string(*pointer);
}

Result<int> takes_an_lvalue(const Result<int>& given) {
  WISP_TRY(const int n, given);
  return n;
}

int runs = 0;
Result<int> counted(int n) {
  ++runs;
  return half(n);
}
Status evaluates_once(int n) {
  WISP_TRY(counted(n));
  WISP_TRY([[maybe_unused]] int h, counted(n));
  return Status();
}

// In a branch without braces only the form without a target is one statement.
Status in_a_branch(bool tried, int n) {
  if (tried) WISP_TRY(half(n));
  else return wisp::aborted("not tried");
  return Status();
}

}  // namespace

TEST_CASE("status: makers carry their code and format their text", "[status]") {
  const std::vector<std::pair<Status, StatusCode>> made{
      {wisp::cancelled("{}", 1), StatusCode::kCancelled},
      {wisp::unknown("{}", 1), StatusCode::kUnknown},
      {wisp::invalid_argument("{}", 1), StatusCode::kInvalidArgument},
      {wisp::deadline_exceeded("{}", 1), StatusCode::kDeadlineExceeded},
      {wisp::not_found("{}", 1), StatusCode::kNotFound},
      {wisp::already_exists("{}", 1), StatusCode::kAlreadyExists},
      {wisp::permission_denied("{}", 1), StatusCode::kPermissionDenied},
      {wisp::resource_exhausted("{}", 1), StatusCode::kResourceExhausted},
      {wisp::failed_precondition("{}", 1), StatusCode::kFailedPrecondition},
      {wisp::aborted("{}", 1), StatusCode::kAborted},
      {wisp::out_of_range("{}", 1), StatusCode::kOutOfRange},
      {wisp::unimplemented("{}", 1), StatusCode::kUnimplemented},
      {wisp::internal("{}", 1), StatusCode::kInternal},
      {wisp::unavailable("{}", 1), StatusCode::kUnavailable},
      {wisp::data_loss("{}", 1), StatusCode::kDataLoss},
      {wisp::unauthenticated("{}", 1), StatusCode::kUnauthenticated}};
  for (const auto& [status, code] : made) {
    CHECK(status.code() == code);
    CHECK(wisp::message(status) == "1");
    CHECK_FALSE(wisp::reason_of(status).has_value());
  }
  const std::string name = "price";
  CHECK(wisp::message(wisp::not_found("no '{}' in {:.1f} s", name, 0.25)) == "no 'price' in 0.2 s");
  CHECK(wisp::message(wisp::not_found("{{}}")) == "{}");
}

TEST_CASE("status: prints its code and text", "[status]") {
  CHECK(wisp::to_string(Status()) == "OK");
  CHECK(wisp::message(Status()).empty());
  CHECK(wisp::to_string(wisp::not_found("no function 'price'")) ==
        "NOT_FOUND: no function 'price'");
  const Result<int> odd = half(3);
  CHECK(wisp::message(wisp::status_of(odd)) == "3 is odd");
  CHECK(wisp::status_of(half(4)).ok());
  CHECK(wisp::status_of(wisp::aborted("a")).code() == StatusCode::kAborted);
}

TEST_CASE("status: a refusal carries its reason, a handler's own error none", "[status]") {
  const std::pair<Reason, std::string_view> reasons[] = {
      {Reason::limit, "limit"},      {Reason::rate, "rate"},       {Reason::budget, "budget"},
      {Reason::hops, "hops"},        {Reason::stopped, "stopped"}, {Reason::full, "full"},
      {Reason::overload, "overload"}};
  for (const auto& [reason, name] : reasons) {
    CHECK(wisp::to_string(reason) == name);
    const Status status = wisp::refused(StatusCode::kResourceExhausted, reason, "no room");
    CHECK(wisp::reason_of(status) == reason);
    CHECK(status.code() == StatusCode::kResourceExhausted);
    CHECK(wisp::message(status) == "no room");
    const Status copy = status;
    CHECK(wisp::reason_of(copy) == reason);
    const Result<int> result = status;
    CHECK(wisp::reason_of(result.status()) == reason);
    CHECK(status != wisp::resource_exhausted("no room"));
  }
  CHECK_FALSE(wisp::reason_of(wisp::resource_exhausted("no room")).has_value());
  CHECK_FALSE(wisp::reason_of(Status()).has_value());
  Status foreign(StatusCode::kAborted, "theirs");
  foreign.SetPayload("wisp/reason", absl::Cord("no such reason"));
  CHECK_FALSE(wisp::reason_of(foreign).has_value());
}

TEST_CASE("status: WISP_TRY declares a value or returns the error", "[status]") {
  CHECK(declares(12).value() == 3);
  CHECK(wisp::message(declares(3).status()) == "3 is odd");
  CHECK(wisp::message(declares(6).status()) == "3 is odd");
  CHECK(assigns(12).value() == 3);
  CHECK(wisp::message(assigns(6).status()) == "3 is odd");
  CHECK(commas(7).value() == 6);
}

TEST_CASE("status: WISP_TRY of a status, or of a result whose value is not wanted", "[status]") {
  int reached = 0;
  CHECK(discards(4, reached).ok());
  CHECK(reached == 2);
  CHECK(discards(6, reached).code() == StatusCode::kInvalidArgument);
  CHECK(reached == 3);
  CHECK(discards(1, reached).code() == StatusCode::kInvalidArgument);
  CHECK(reached == 3);
  CHECK(in_a_branch(true, 2).ok());
  CHECK(wisp::message(in_a_branch(true, 1)) == "1 is odd");
  CHECK(in_a_branch(false, 1).code() == StatusCode::kAborted);
}

TEST_CASE("status: WISP_TRY moves values out, converts errors, evaluates once", "[status]") {
  CHECK(converts_the_error(5).value() == "5");
  CHECK(converts_the_error(-5).status().code() == StatusCode::kOutOfRange);
  const Result<int> given = 9;
  CHECK(takes_an_lvalue(given).value() == 9);
  CHECK(given.value() == 9);
  CHECK(evaluates_once(2).ok());
  CHECK(runs == 2);
  CHECK_FALSE(evaluates_once(1).ok());
  CHECK(runs == 3);
}

TEST_CASE("status: WISP_TRY keeps a refusal's reason", "[status]") {
  const auto outer = []() -> Result<int> {
    WISP_TRY(wisp::refused(StatusCode::kUnavailable, Reason::stopped, "gone"));
    return 1;
  };
  CHECK(wisp::reason_of(outer().status()) == Reason::stopped);
}
