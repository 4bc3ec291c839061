// A small API: accounts, and notes that only their owners see. See README.md beside this file.
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

#include "backend.hpp"

namespace {

constexpr const char* kUsage =
    "usage: web_backend [--port N] [--notify URL] [--report-seconds N]\n"
    "  --port N            0 to 65535, 0: one that is free (8080)\n"
    "  --notify URL        where each change of a note is sent, signed by the secret of the\n"
    "                      environment's WEB_BACKEND_SECRET, whsec_ and base64 of 24 to 64 bytes\n"
    "  --report-seconds N  between two reports, 1 to 86400 (60)\n"
    "  --help              this\n";

struct Arguments {
  int port = 8080;
  int report_seconds = 60;
  std::string notify{};
  bool help = false;
};

wisp::Result<int> number(std::string_view name, std::string_view text, int low, int high) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high)
    return wisp::invalid_argument("{} is '{}', it must be a whole number from {} to {}", name, text,
                                  low, high);
  return value;
}

// Http or https, and a beginning of a host; the rest is the client's business.
bool is_url(std::string_view text) {
  const std::size_t mark = text.find("://");
  if (mark == text.npos || (text.substr(0, mark) != "https" && text.substr(0, mark) != "http"))
    return false;
  const std::string_view rest = text.substr(mark + 3);
  return !rest.empty() && rest.find_first_of("/?#:@") != 0;
}

wisp::Result<Arguments> parse(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = values[i];
    if (name == "--help") {
      arguments.help = true;
      continue;
    }
    if (name != "--port" && name != "--notify" && name != "--report-seconds")
      return wisp::invalid_argument("unknown option '{}'", name);
    if (++i == count) return wisp::invalid_argument("{} needs a value", name);
    if (name == "--port") {
      WISP_TRY(arguments.port, number(name, values[i], 0, 65'535));
    } else if (name == "--report-seconds") {
      WISP_TRY(arguments.report_seconds, number(name, values[i], 1, 86'400));
    } else {
      arguments.notify = values[i];
      if (!is_url(arguments.notify))
        return wisp::invalid_argument("--notify is '{}', and has to be a URL: https://host...",
                                      arguments.notify);
    }
  }
  return arguments;
}

// Waits in the kernel, with these blocked from the first thread on, so that they come here alone.
sigset_t end_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int each : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, each);
  return set;
}

wisp::Status run(const Arguments& arguments) {
  const sigset_t signals = end_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  backend::BackendOptions options{.notify_url = arguments.notify,
                                  .report_every = std::chrono::seconds(arguments.report_seconds)};
  if (!arguments.notify.empty()) {
    const char* const secret = getenv("WEB_BACKEND_SECRET");
    if (secret == nullptr)
      return wisp::invalid_argument("--notify needs a secret in WEB_BACKEND_SECRET");
    options.notify_secret = secret;
  }
  WISP_TRY(const auto accounts, backend::Accounts::make());
  backend::Backend backend(*accounts, options);
  wisp::RuntimeOptions limits = backend::Backend::limits();
  limits.log = [](const wisp::LogRecord& record) {
    fmt::print(stderr, "{}: {}\n", record.function, record.text);
  };
  wisp::Runtime runtime{backend.functions(), std::move(limits)};
  WISP_TRY(runtime.status());
  wisp::http::Gateway gateway{runtime,
                              {.port = arguments.port,
                               .limits = {.requests_per_second_per_address = 200},
                               .title = "notes",
                               .tokens = &accounts->verifier(),
                               .gzip = true}};
  WISP_TRY(backend.begin(runtime));
  WISP_TRY(backend.serve(gateway));
  fmt::print("http://127.0.0.1:{}\n", gateway.port());
  std::fflush(stdout);
  int which = 0;
  sigwait(&signals, &which);
  const wisp::Status stopped = gateway.stop(std::chrono::seconds(10));
  const wisp::Status ended = runtime.stop(std::chrono::seconds(5)).status;
  return stopped.ok() ? ended : stopped;
}

}  // namespace

int main(int count, char** values) {
  const auto arguments = parse(count, values);
  if (!arguments.ok()) {
    fmt::print(stderr, "web_backend: {}\n{}", wisp::message(arguments.status()), kUsage);
    return 2;
  }
  if (arguments->help) {
    fmt::print("{}", kUsage);
    return 0;
  }
  const wisp::Status ended = run(*arguments);
  if (!ended.ok()) fmt::print(stderr, "web_backend: {}\n", wisp::to_string(ended));
  return ended.ok() ? 0 : 1;
}
