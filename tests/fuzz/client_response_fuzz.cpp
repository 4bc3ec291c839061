// Bytes as the response to a request, and as where it redirects: however they arrive, the same is
// read, within the limits, and a connection that may serve again has nothing left to be misread.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/client_response.hpp"
#include "http/client_url.hpp"

namespace {

using wisp::http::ResponseReader;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Run {
  wisp::StatusCode code;
  bool done = false;
  bool reusable = false;
  wisp::http::ClientResponse response{};
};

// In pieces of `step` bytes, then the end of the connection.
Run run(std::string_view bytes, std::size_t step, bool bodiless) {
  const wisp::http::ResponseLimits limits{.head = {.bytes = 2'048, .line = 512, .fields = 20},
                                          .body = 4'096};
  ResponseReader reader(limits, bodiless);
  wisp::Status status;
  while (!bytes.empty() && status.ok()) {
    const std::string_view piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    status = reader.receive(piece);
  }
  if (status.ok()) status = reader.end(true);
  Run made{.code = status.code()};
  made.done = status.ok();
  require(!made.done || reader.done());
  if (!made.done) return made;
  made.reusable = reader.reusable();
  made.response = reader.take();
  const auto& response = made.response;
  require(response.status >= 200 && response.status <= 599);
  require(response.headers.size() <= 20 && response.body.size() <= 4'096);
  require(!bodiless || response.body.empty());
  for (const auto& each : response.headers) {
    require(!each.name.empty() && each.name.find_first_of(" \t\r\n:") == std::string::npos);
    require(each.value.find_first_of("\r\n") == std::string::npos);
  }
  return made;
}

void redirect(std::string_view location) {
  const auto from = wisp::http::parse_url("https://a.example/b/c?d", 8'192);
  const auto to = wisp::http::follow(*from, location, 4'096);
  if (!to.ok()) return;
  require(to->port >= 1 && to->port <= 65'535 && !to->host.empty());
  require(to->target.starts_with('/'));
  for (const char c : to->origin() + to->target) require(c > ' ' && c != '\\' && c != '#');
  require(to->host.find_first_of("@/?#") == std::string::npos);
  // What was taken apart means the same when it is put together.
  const auto again = wisp::http::parse_url(to->origin() + to->target, 8'192);
  require(again.ok() && again->origin() == to->origin() && again->target == to->target);
  require(again->address == to->address);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const bool bodiless : {false, true}) {
    const Run whole = run(bytes, bytes.size() + 1, bodiless);
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}}) {
      const Run pieces = run(bytes, step, bodiless);
      require(pieces.code == whole.code && pieces.done == whole.done);
      require(pieces.reusable == whole.reusable);
      require(pieces.response.status == whole.response.status);
      require(pieces.response.body == whole.response.body);
      require(pieces.response.headers.size() == whole.response.headers.size());
    }
    if (const auto location = whole.response.header("location")) redirect(*location);
  }
  redirect(bytes);
  return 0;
}
