#include "backend.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include <wisp/json/json.hpp>

namespace backend {
namespace {

using namespace wisp::literals;
using wisp::http::RouteOptions;

// A password takes tens of milliseconds and 19 MiB, so there is a bound on how many are looked at
// at once; and on how many one address may show, so that nobody takes all of them.
constexpr wisp::Limits kPasswords{.concurrency = 24, .per_second = 200};
constexpr int kPasswordWeight = 10;  // of an address's 200 requests a second

void print(const wisp::Bill& bill) {
  fmt::print("report: {} of {}\n", bill.total, bill.tariff);
  for (const wisp::BillLine& line : bill.lines)
    fmt::print("report: {:<24} {:<6} {:>8} calls {:>6} errors {}\n", line.function, line.tenant,
               line.calls, line.errors, line.cost);
  std::fflush(stdout);
}

}  // namespace

Backend::Backend(Accounts& accounts, const BackendOptions& options)
    : options_(options),
      accounts_(accounts),
      // The URL is the operator's own, so it may be a neighbour's.
      client_({.allow_private = true}),
      sign_up_(wisp::function("sign_up",
                              [this](const SignUp& wanted) { return accounts_.sign_up(wanted); },
                              {.limits = kPasswords})),
      sign_in_(wisp::function("sign_in",
                              [this](const SignIn& given) { return accounts_.sign_in(given); },
                              {.limits = kPasswords})),
      create_(
          wisp::function("create_note",
                         [this](const NewNote& note, wisp::Context& context) -> wisp::Result<Note> {
                           WISP_TRY(Note made, notes_.create(note));
                           WISP_TRY(changed(context, note.owner, made.id, "created"));
                           return made;
                         })),
      list_(
          wisp::function("list_notes", [this](const Owner& owner) { return notes_.list(owner); })),
      read_(
          wisp::function("read_note", [this](const NoteId& which) { return notes_.read(which); })),
      change_(wisp::function(
          "change_note",
          [this](const ChangedNote& note, wisp::Context& context) -> wisp::Result<Note> {
            WISP_TRY(Note made, notes_.change(note));
            WISP_TRY(changed(context, note.owner, made.id, "changed"));
            return made;
          })),
      remove_(wisp::function("remove_note",
                             [this](const NoteId& which, wisp::Context& context) -> wisp::Status {
                               WISP_TRY(notes_.remove(which));
                               return changed(context, which.owner, which.id, "removed");
                             })),
      notify_(wisp::function(
          "notify",
          [this](const NoteEvent& event, wisp::Context& context) -> wisp::Status {
            const std::string body = wisp::json::write(event);
            WISP_TRY(const auto signature,
                     webhook_->sign(wisp::to_string(context.event_id()), body));
            WISP_TRY(const auto response,
                     client_.send({.method = "POST",
                                   .url = options_.notify_url,
                                   .headers = {{"Content-Type", "application/json"},
                                               {"webhook-id", signature.id},
                                               {"webhook-timestamp", signature.timestamp},
                                               {"webhook-signature", signature.signature}},
                                   .body = body},
                                  context));
            return to_status(response);
          },
          {.timeout = 5s})),
      report_(wisp::function("report", [this](wisp::Context& context) {
        print(context.runtime().bill(options_.report_every));
      })) {}

wisp::Catalogue Backend::functions() {
  return wisp::Catalogue()
      .add(sign_up_)
      .add(sign_in_)
      .add(create_)
      .add(list_)
      .add(read_)
      .add(change_)
      .add(remove_)
      .add(notify_)
      .add(report_);
}

// A plan is a tenant: who is on it shares its rate, its budget, and its part of the machine.
wisp::RuntimeOptions Backend::limits() {
  return {.tariff = wisp::tariffs::aws_lambda_x86(),
          .budgets = {{.name = "free", .tenant = "free", .hard = wisp::Money::dollars(1)},
                      {.name = "pro",
                       .tenant = "pro",
                       .soft = wisp::Money::dollars(80),
                       .hard = wisp::Money::dollars(100)}},
          .tenants = {{.name = "free", .weight = 1, .per_second = 50},
                      {.name = "pro", .weight = 4, .per_second = 1'000}}};
}

wisp::Status Backend::serve(wisp::http::Gateway& gateway) {
  const RouteOptions own{.roles = {"user"}, .caller = "owner"};
  gateway.post("/accounts", sign_up_, {.open = true, .weight = kPasswordWeight})
      .post("/sessions", sign_in_, {.open = true, .weight = kPasswordWeight})
      .post("/notes", create_, own)
      .get("/notes", list_, own)
      .get("/notes/{id}", read_, own)
      .put("/notes/{id}", change_, own)
      .remove("/notes/{id}", remove_, own);
  return gateway.start();
}

wisp::Status Backend::begin(wisp::Runtime& runtime) {
  reports_ = runtime.every(options_.report_every).run(report_);
  WISP_TRY(reports_->status());
  if (options_.notify_url.empty()) return wisp::Status();
  WISP_TRY(webhook_,
           wisp::http::Webhook::make({.name = "web_backend", .secrets = {options_.notify_secret}}));
  notifications_ = runtime.on("notes.*.*")
                       .deliver({.attempts = 5, .dead_letter = "notifications.failed"})
                       .to(notify_);
  return notifications_->status();
}

// A note is changed whether or not somebody is told; what cannot be told is logged.
wisp::Status Backend::changed(wisp::Context& context, const std::string& owner, std::int64_t id,
                              const char* what) {
  const auto published =
      context.runtime().emit(fmt::format("notes.{}.{}", id, what), NoteEvent{owner, id, what});
  if (!published.ok())
    context.log("note {} was {}: {}", id, what, wisp::to_string(published.status()));
  return wisp::Status();
}

}  // namespace backend
