// A gateway for real clients and hostile ones; see run.py and hostile.py.
//
//   clients_server [--port N] [--certificate FILE --key FILE] [--cors ORIGIN] [--connections N]
//                  [--connections-per-address N] [--head-ms N] [--idle-ms N] [--write-ms N]
//
// Its first line is the address that it listens on; with a certificate the second is that of TLS.
// It drains and ends on SIGTERM, and by itself after five minutes.
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

namespace {

using namespace std::chrono_literals;
using wisp::http::Gateway;
using wisp::http::Response;

constexpr time_t kLifeSeconds = 300;

struct Asked {
  int id = 0;
  std::optional<std::string> language;
};
WISP_FIELDS(Asked, id, language)

struct Note {
  int id = 0;
  std::string text;
  std::optional<std::string> language;
};
WISP_FIELDS(Note, id, text, language)

struct Wait {
  int ms = 0;
};
WISP_FIELDS(Wait, ms)

struct Pieces {
  int count = 0;
  int bytes = 0;
};
WISP_FIELDS(Pieces, count, bytes)

const auto read_note = wisp::function("read_note", [](const Asked& asked) {
  return Note{.id = asked.id, .text = "as ever", .language = asked.language};
});
const auto write_note = wisp::function(
    "write_note", [](const Note& note, wisp::Context& context) -> wisp::Result<Note> {
      WISP_TRY(context.runtime().emit("notes.written", note));
      return note;
    });
const auto remove_note = wisp::function("remove_note", [](const Asked&) {});
const auto waits = wisp::function("waits", [](const Wait& wait, wisp::Context& context) {
  return context.sleep(std::chrono::milliseconds(wait.ms));
});
// How much came, whatever it is.
const auto measure = wisp::function("measure", [](const wisp::http::Request& request) {
  return Response{.body = std::to_string(request.body.size()) + '\n'};
});
const auto text = wisp::function("text", [] {
  Response response;
  while (response.body.size() < 65'536) response.body += "a line like those before it\n";
  return response;
});
// Made while it is sent, however much that is.
const auto pieces = wisp::function("pieces", [](const Pieces& asked) {
  Response response{.content_type = "application/octet-stream"};
  response.stream =
      [piece = std::string(static_cast<std::size_t>(std::clamp(asked.bytes, 1, 65'536)), 'x'),
       left = asked.count]() mutable -> wisp::Result<std::optional<std::string>> {
    if (left-- <= 0) return std::optional<std::string>();
    return std::optional(piece);
  };
  return response;
});

// What the command line says.
struct Asking {
  wisp::http::GatewayOptions plain{.port = 0, .gzip = true};
  wisp::http::Tls tls{};
};

std::optional<Asking> parse(int count, char** words) {
  Asking asking;
  wisp::http::Limits& limits = asking.plain.limits;
  if (count % 2 == 0) return std::nullopt;
  for (int i = 1; i < count; i += 2) {
    const std::string_view name = words[i];
    const char* const value = words[i + 1];
    const std::chrono::milliseconds time(std::atoi(value));
    if (name == "--port") asking.plain.port = std::atoi(value);
    else if (name == "--certificate") asking.tls.certificate_file = value;
    else if (name == "--key") asking.tls.key_file = value;
    else if (name == "--cors") asking.plain.cors.origins.push_back(value);
    else if (name == "--connections") limits.connections = std::atoi(value);
    else if (name == "--connections-per-address") limits.connections_per_address = std::atoi(value);
    else if (name == "--head-ms") limits.head_time = time;
    else if (name == "--idle-ms") limits.idle_time = time;
    else if (name == "--write-ms") limits.write_time = time;
    else return std::nullopt;
  }
  return asking;
}

wisp::Status begin(Gateway& gateway, std::string_view scheme) {
  gateway.get("/notes/{id}", read_note)
      .post("/notes", write_note)
      .put("/notes/{id}", write_note)
      .patch("/notes/{id}", write_note)
      .remove("/notes/{id}", remove_note)
      .get("/waits", waits)
      .post("/measure", measure)
      .put("/measure", measure)
      .get("/text", text)
      .get("/pieces", pieces)
      .cloud_events("/events", {.types = wisp::http::EventTypes().add<Note>("notes.written")})
      .events<Note>("/written", "notes.written");
  WISP_TRY(gateway.start());
  fmt::print("{}://127.0.0.1:{}\n", scheme, gateway.port());
  std::fflush(stdout);
  return wisp::Status();
}

int failed(const wisp::Status& status) {
  fmt::print(stderr, "clients_server: {}\n", wisp::to_string(status));
  return 1;
}

}  // namespace

int main(int count, char** words) {
  const std::optional<Asking> asking = parse(count, words);
  if (!asking) {
    fmt::print(stderr, "clients_server: odd arguments; see tests/clients/server.cpp\n");
    return 2;
  }
  // Before there are threads, so that none of them takes it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  wisp::Runtime runtime{wisp::Catalogue()
                            .add(read_note)
                            .add(write_note)
                            .add(remove_note)
                            .add(waits)
                            .add(measure)
                            .add(text)
                            .add(pieces)};
  if (!runtime.status().ok()) return failed(runtime.status());
  Gateway plain{runtime, asking->plain};
  if (const wisp::Status begun = begin(plain, "http"); !begun.ok()) return failed(begun);
  wisp::http::GatewayOptions options = asking->plain;
  options.port = 0;
  options.tls = asking->tls;
  Gateway secure{runtime, options};
  if (asking->tls.wanted())
    if (const wisp::Status begun = begin(secure, "https"); !begun.ok()) return failed(begun);

  const timespec life{.tv_sec = kLifeSeconds, .tv_nsec = 0};
  const bool told = sigtimedwait(&signals, nullptr, &life) == SIGTERM;
  for (Gateway* each : {&plain, &secure})
    if (const wisp::Status stopped = each->stop(10s); !stopped.ok()) return failed(stopped);
  return told ? 0 : 1;
}
