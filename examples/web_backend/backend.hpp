// The functions of the API, what they share, and the paths on which they are served.
#pragma once

#include <string>
#include <vector>

#include <wisp/http/client.hpp>
#include <wisp/http/gateway.hpp>
#include <wisp/http/webhook.hpp>
#include <wisp/wisp.hpp>

#include "accounts.hpp"
#include "notes.hpp"

namespace backend {

struct BackendOptions {
  std::string notify_url{};     // where each change is sent, signed; empty: nowhere
  std::string notify_secret{};  // "whsec_…"
  wisp::Duration report_every = std::chrono::minutes(1);
};

class Backend {
 public:
  // Requires: `accounts` outlives this.
  Backend(Accounts& accounts, const BackendOptions& options);

  wisp::Catalogue functions();
  static wisp::RuntimeOptions limits();
  wisp::Status serve(wisp::http::Gateway& gateway);
  // What happens besides: notifications, and the report. Ends with this.
  wisp::Status begin(wisp::Runtime& runtime);

 private:
  wisp::Status changed(wisp::Context& context, const std::string& owner, std::int64_t id,
                       const char* what);

  const BackendOptions options_;
  Accounts& accounts_;
  Notes notes_;
  wisp::http::Client client_;
  std::optional<wisp::http::Webhook> webhook_;

  const wisp::Function<Account, SignUp> sign_up_;
  const wisp::Function<Session, SignIn> sign_in_;
  const wisp::Function<Note, NewNote> create_;
  const wisp::Function<std::vector<Note>, Owner> list_;
  const wisp::Function<Note, NoteId> read_;
  const wisp::Function<Note, ChangedNote> change_;
  const wisp::Function<void, NoteId> remove_;
  const wisp::Function<void, NoteEvent> notify_;
  const wisp::Function<void, void> report_;

  std::optional<wisp::Subscription> notifications_;
  std::optional<wisp::Schedule> reports_;
};

}  // namespace backend
