// The grammar of heads and chunks is Boost.Beast's; what it would repair is refused here.
#include <algorithm>
#include <charconv>

#include <boost/beast/http/basic_parser.hpp>

#include "chunks.hpp"
#include "head.hpp"

namespace wisp::inline v0::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

// RFC 9110, 7.2: a name or an address, and a port; of RFC 3986's names those that DNS may have.
bool is_host(std::string_view value) {
  const std::size_t close = value.starts_with('[') ? value.find(']') : 0;
  if (close == value.npos || close == 1) return false;
  const std::size_t colon = value.find(':', close);
  std::string_view name = value.substr(0, colon);
  const auto of_name = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
  };
  const auto of_address = [](char c) { return hex_digit(c) >= 0 || c == ':' || c == '.'; };
  if (close > 0) {
    if (name.size() != close + 1) return false;
    name = name.substr(1, close - 1);
    if (!std::all_of(name.begin(), name.end(), of_address)) return false;
  } else if (!std::all_of(name.begin(), name.end(), of_name)) {
    return false;
  }
  if (colon == value.npos) return true;
  const std::string_view port = value.substr(colon + 1);
  return port.size() <= 5 && (!name.empty() || port.empty()) &&
         std::all_of(port.begin(), port.end(), is_digit);
}

// What every use of the parser has to define.
class Parser : public beast::http::basic_parser<true> {
 protected:
  void on_request_impl(beast::http::verb, beast::string_view, beast::string_view, int,
                       error_code&) override {}
  void on_response_impl(int, beast::string_view, int, error_code&) override {}
  void on_field_impl(beast::http::field, beast::string_view, beast::string_view,
                     error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(beast::string_view, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view, error_code&) override {
    return 0;
  }
  void on_finish_impl(error_code&) override {}
};

class HeadParser final : public Parser {
 public:
  HeadParser(Head& to, Rejection& rejected) : to_(to), rejected_(rejected) {
    header_limit(1U << 20);  // a scanner has seen the end
    body_limit(boost::none);
  }

 private:
  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target,
                       int version, error_code&) override {
    to_.method = view(method);
    to_.target = view(target);
    to_.minor = version % 10;
    to_.keep_alive = to_.minor == 1;
  }

  void on_field_impl(beast::http::field field, beast::string_view name, beast::string_view value,
                     error_code& error) override {
    to_.fields.push_back({view(name), view(value)});
    switch (field) {
      case beast::http::field::content_length:
        length(view(value));
        break;
      case beast::http::field::transfer_encoding:
        encoding(view(value));
        break;
      case beast::http::field::host:
        host(view(value));
        break;
      case beast::http::field::expect:
        expect(view(value));
        break;
      default:
        break;
    }
    if (rejected_) error = beast::http::error::bad_field;
  }

  void length(std::string_view value) {
    if (to_.length) return refuse("more than one Content-Length");
    std::uint64_t length = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (value.empty() || end != value.data() + value.size() || error != std::errc())
      return refuse("a Content-Length that is no number");
    to_.length = length;
  }

  void encoding(std::string_view value) {
    if (to_.minor == 0) return refuse("a Transfer-Encoding in HTTP/1.0");
    if (to_.chunked) return refuse("more than one Transfer-Encoding");
    if (!same_name(value, "chunked")) {
      rejected_ = {501, "a Transfer-Encoding other than chunked"};
      return;
    }
    to_.chunked = true;
  }

  void host(std::string_view value) {
    if (hosts_++ > 0) return refuse("more than one Host");
    if (!is_host(value)) return refuse("a Host that is none");
    to_.host = value;
  }

  void expect(std::string_view value) {
    if (!same_name(value, "100-continue")) {
      rejected_ = {417, "an Expect other than 100-continue"};
      return;
    }
    to_.expects_continue = to_.minor == 1;  // RFC 9110, 10.1.1
  }

  void on_header_impl(error_code&) override {
    if (to_.length && to_.chunked) return refuse("both Content-Length and Transfer-Encoding");
    if (to_.minor == 1 && hosts_ == 0) return refuse("no Host");
  }

  void refuse(std::string_view what) { rejected_ = {400, what}; }

  Head& to_;
  Rejection& rejected_;
  int hosts_ = 0;
};

// RFC 9110, 7.6.1; the last word counts.
void connection(Head& head) {
  for (const Field& each : head.fields) {
    if (!same_name(each.name, "connection")) continue;
    for (std::string_view rest = each.value; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view word = trimmed(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      if (same_name(word, "close")) {
        head.keep_alive = false;
        return;
      }
      if (same_name(word, "keep-alive")) head.keep_alive = true;
    }
  }
}

Rejection of_error(const error_code& error, std::string_view bytes) {
  if (error == beast::http::error::bad_method) return {400, "a method that is none"};
  if (error == beast::http::error::bad_target) return {400, "a target that is none"};
  if (error == beast::http::error::bad_field) return {400, "a field name that is none"};
  if (error == beast::http::error::bad_value) return {400, "a field value that is none"};
  if (error == beast::http::error::bad_content_length)
    return {400, "a Content-Length that is none"};
  if (error == beast::http::error::multiple_content_length)
    return {400, "more than one Content-Length"};
  if (error == beast::http::error::bad_transfer_encoding)
    return {400, "a Transfer-Encoding beside another length"};
  if (error != beast::http::error::bad_version) return {400, "not a request of HTTP/1"};
  // After the second space.
  const std::string_view line = bytes.substr(0, bytes.find('\r'));
  const std::size_t space = line.find(' ', line.find(' ') + 1);
  const std::string_view version = line.substr(std::min(space, line.size() - 1) + 1);
  if (version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) &&
      version[6] == '.' && is_digit(version[7]))
    return {505, "not HTTP/1.0 or HTTP/1.1"};
  return {400, "a version that is none"};
}

}  // namespace

Rejection parse_head(std::string_view bytes, Head& to) {
  Rejection rejected;
  HeadParser parser(to, rejected);
  error_code error;
  parser.put({bytes.data(), bytes.size()}, error);
  if (rejected) return rejected;
  if (error) return of_error(error, bytes);
  connection(to);
  return {};
}

class ChunkDecoder::Chunks final : public Parser {
 public:
  Chunks(std::string& body, std::uint64_t limit, int fields) : body_(body), fields_(fields) {
    body_limit(limit);
    error_code error;
    constexpr std::string_view kHead = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    put({kHead.data(), kHead.size()}, error);
    in_trailer_ = true;
  }

  // Of the chunk whose line was read last, the bytes still to come.
  std::uint64_t left() const { return left_; }

 private:
  void on_field_impl(beast::http::field, beast::string_view, beast::string_view,
                     error_code& error) override {
    if (in_trailer_ && --fields_ < 0) error = beast::http::error::header_limit;
  }
  void on_chunk_header_impl(std::uint64_t size, beast::string_view, error_code&) override {
    left_ = size;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view part, error_code&) override {
    body_.append(part.data(), part.size());
    left_ -= part.size();
    return part.size();
  }

  std::string& body_;
  std::uint64_t left_ = 0;
  int fields_;
  bool in_trailer_ = false;
};

ChunkDecoder::ChunkDecoder(std::string& body, std::uint64_t limit, const HeadLimits& head)
    : longest_(head.line),
      scanner_(longest_, true),
      chunks_(std::make_unique<Chunks>(body, limit, head.fields)) {}
ChunkDecoder::~ChunkDecoder() = default;

// Of lines the parser gets whole ones only: what it says of one would else depend on how much of
// it, and of what follows, is there.
Rejection ChunkDecoder::take(std::string_view& arrived) {
  while (!arrived.empty() && !chunks_->is_done()) {
    const bool line = chunks_->left() == 0;
    if (line) {
      if (const Rejection rejected = scanner_.look(arrived)) return rejected;
      if (!scanner_.found()) return {};
    }
    const std::string_view piece = line ? arrived.substr(0, scanner_.bytes()) : arrived;
    error_code error;
    const std::size_t used = chunks_->put({piece.data(), piece.size()}, error);
    if (error == beast::http::error::body_limit) return {413, "the body is too long"};
    if (error == beast::http::error::header_limit) return {400, "more trailer fields than allowed"};
    if (error || (line && used != piece.size())) return {400, "a chunk that is none"};
    arrived.remove_prefix(used);
    if (line) scanner_ = ChunkLineScanner(longest_, false);
  }
  return {};
}

bool ChunkDecoder::done() const { return chunks_->is_done(); }

}  // namespace wisp::inline v0::http
