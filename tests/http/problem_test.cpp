#include "http/problem.hpp"

#include <wisp/model/policy.hpp>

#include "catch.hpp"

using namespace std::chrono_literals;
using wisp::Status;
using wisp::StatusCode;
using wisp::http::Answer;
using wisp::http::problem;
using wisp::http::retry_after_field;

TEST_CASE("problem: each code has its status, and what is inside stays there", "[problem]") {
  constexpr int kStatus[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                             409, 409, 400, 501, 500, 503, 500, 401};
  for (int code = 1; code <= 16; ++code) {
    INFO(code);
    const Answer answer = problem(Status(static_cast<StatusCode>(code), "the price is 7"));
    const int expected = kStatus[code];
    CHECK(answer.status == expected);
    CHECK(answer.content_type == "application/problem+json");
    const bool inside = expected == 500 || expected == 499;
    CHECK((answer.body.find("the price is 7") == answer.body.npos) == inside);
    CHECK((answer.fields == "Retry-After: 1\r\n") == (expected == 429 || expected == 503));
    CHECK((answer.fields == "WWW-Authenticate: Bearer\r\n") == (expected == 401));
  }
  // A refusal of wisp's own is no secret.
  const Answer stopped =
      problem(wisp::refused(StatusCode::kCancelled, wisp::Reason::stopped, "stopping"));
  CHECK(stopped.status == 503);
  CHECK(stopped.body.find("stopping") != stopped.body.npos);
}

TEST_CASE("problem: says when to come again, if the error does", "[problem]") {
  const auto fields = [](const Status& status) { return problem(status).fields; };
  const Status busy = wisp::resource_exhausted("busy");
  CHECK(fields(wisp::with_retry_after(busy, 90'001ms)) == "Retry-After: 91\r\n");
  CHECK(fields(wisp::with_retry_after(busy, 0s)) == "Retry-After: 1\r\n");
  CHECK(fields(wisp::with_retry_after(wisp::unavailable("down"), 48h)) == "Retry-After: 600\r\n");
  CHECK(fields(wisp::with_retry_after(wisp::not_found("gone"), 9s)).empty());
  CHECK(retry_after_field(2s) == "Retry-After: 2\r\n");
  CHECK(retry_after_field(1ns) == "Retry-After: 1\r\n");
}
