// Signed webhooks, in and out, as Standard Webhooks has them (standardwebhooks.com, 1.0.0).
//
//   WISP_TRY(auto payments, wisp::http::Webhook::make(
//                               {.name = "payments", .secrets = {"whsec_C2FVsBQIhrsc…"}}));
//   gateway.post("/hooks/payments", paid, {.webhook = &payments});
//
//   WISP_TRY(auto fields, payments.sign("msg_4711", body));   // for a request that goes out
//
// A request is signed if HMAC-SHA256 over "id.timestamp.body" with one of the secrets is among its
// signatures, and its timestamp is within `tolerance` of the clock. Its id is remembered from then
// on, for as long as the same bytes could be accepted again: whoever repeats it is refused. A
// wall clock that is set back by more than `tolerance` lets old ones in again. Path and query are
// not signed: each sender has a secret of its own, and what is asked for is in the body.
//
// A request that was accepted is settled once it is answered. One that was handled stays
// remembered; of one that failed the id is forgotten, so that its sender may try again. A gateway
// does so by itself: handled is what is answered with 2xx. A repetition of what was handled is
// answered 204, and 409 while it is at it, and neither reaches the function. A function that goes
// on beyond its deadline has failed by then, and the next attempt may come beside it.
//
// Threads: any. Copies are the same webhook: they share what they remember.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/http/principal.hpp>

namespace wisp::inline v0::http {

struct WebhookOptions {
  std::string name{};    // Principal::id of who sends, 1 to kPrincipalIdMax bytes
  std::string tenant{};  // who pays for what it calls
  // "whsec_" and base64 of 24 to 64 bytes; two while a new one takes over. All sign, each is
  // accepted.
  std::vector<std::string> secrets{};
  Duration tolerance = std::chrono::minutes(5);  // either way, at most an hour
  // Remembered at once. When all are, more are refused, as any of them could be a repetition.
  std::size_t ids = 100'000;
  Clock* clock{};  // null: the machine's; outlives the webhook
};

// As a request carries them: webhook-id, webhook-timestamp, webhook-signature.
struct WebhookFields {
  std::string id{};
  std::string timestamp{};  // seconds since 1970
  std::string signature{};  // "v1,<base64>", several apart by spaces
};

inline constexpr std::size_t kWebhookIdMax = 256;         // bytes
inline constexpr std::size_t kWebhookSignaturesMax = 16;  // in one request

class Webhook {
 public:
  // kInvalidArgument names the option, and no secret.
  static Result<Webhook> make(const WebhookOptions& options);

  // Who sent it. kUnauthenticated: not signed, or not now. kAborted: one of this id is being
  // handled; kAlreadyExists: it was. kUnavailable: `ids` are remembered. What it accepts has to be
  // settled.
  Result<Principal> verify(const WebhookFields& fields, std::string_view body);
  // What became of one that verify() accepted. Of others it changes nothing.
  void settle(std::string_view id, bool handled);

  // For a request that goes out now. The id is 1 to kWebhookIdMax visible characters but dots;
  // a repetition has that of the first.
  Result<WebhookFields> sign(std::string_view id, std::string_view body) const;

 private:
  struct Inside;
  explicit Webhook(std::shared_ptr<Inside> inside);

  // Shared with calls that end after the gateway has, which settle theirs then.
  std::shared_ptr<Inside> inside_;
};

}  // namespace wisp::inline v0::http
