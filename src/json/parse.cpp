// The only file that sees Boost.JSON.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>

#include <wisp/json/json.hpp>

namespace wisp::inline v0::json {
namespace {

using Error = boost::json::error_code;
using View = boost::json::string_view;

constexpr std::size_t kQuotedMax = 32;

std::string where(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t begin = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  return fmt::format("line {}, byte {}", line, at - begin + 1);
}

}  // namespace

// What the parser calls; false ends it.
class Document::Handler {
 public:
  static constexpr std::size_t max_object_size = SIZE_MAX;
  static constexpr std::size_t max_array_size = SIZE_MAX;
  static constexpr std::size_t max_key_size = SIZE_MAX;
  static constexpr std::size_t max_string_size = SIZE_MAX;

  Handler(Document& document, std::string_view source, const Limits& limits)
      : document_(document), source_(source), limits_(limits) {}

  // Why it ended the parser, unless the text is no JSON.
  Status status;

  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }
  bool on_array_begin(Error& error) { return begin(ValueKind::array, error); }
  bool on_array_end(std::size_t n, Error&) { return end(n); }
  bool on_object_begin(Error& error) { return begin(ValueKind::object, error); }
  bool on_object_end(std::size_t n, Error&) { return end(n); }
  bool on_key_part(View part, std::size_t, Error&) { return keep(part); }
  bool on_key(View rest, std::size_t, Error& error) { return text(rest, error); }
  bool on_string_part(View part, std::size_t, Error&) { return keep(part); }
  bool on_string(View rest, std::size_t, Error& error) { return text(rest, error); }
  bool on_number_part(View, Error&) { return true; }
  bool on_int64(std::int64_t n, View number, Error& error) {
    // No integer has a sign of 0.
    if (n == 0 && number.starts_with('-'))
      return add({.kind = ValueKind::real, .size = 0, .real = -0.0}, error);
    return add({.kind = ValueKind::integer, .size = 0, .integer = n}, error);
  }
  bool on_uint64(std::uint64_t n, View, Error& error) {
    return add({.kind = ValueKind::natural, .size = 0, .natural = n}, error);
  }
  bool on_double(double near, View number, Error& error) {
    // Boost's own is some bits off at times. What is too small for a double is left as it has it.
    double n = near;
    std::from_chars(number.data(), number.data() + number.size(), n);
    if (!std::isfinite(n)) {
      status =
          invalid_argument("a number is beyond those of a double: {}",
                           std::string_view(number.data(), std::min(number.size(), kQuotedMax)));
      return fail(error);
    }
    return add({.kind = ValueKind::real, .size = 0, .real = n}, error);
  }
  bool on_bool(bool value, Error& error) {
    return add({.kind = ValueKind::boolean, .size = 0, .boolean = value}, error);
  }
  bool on_null(Error& error) { return add({}, error); }
  bool on_comment_part(View, Error&) { return true; }
  bool on_comment(View, Error&) { return true; }

 private:
  static bool fail(Error& error) {
    error = boost::json::make_error_code(boost::json::error::exception);
    return false;
  }
  bool add(const Value& value, Error& error) {
    if (document_.values_.size() >= limits_.values) {
      status = resource_exhausted("more than {} values", limits_.values);
      return fail(error);
    }
    document_.values_.push_back(value);
    return true;
  }
  bool begin(ValueKind kind, Error& error) {
    if (open_.size() >= static_cast<std::size_t>(limits_.depth)) {
      status = resource_exhausted("arrays and objects are nested deeper than {}", limits_.depth);
      return fail(error);
    }
    open_.push_back(document_.values_.size());
    return add({.kind = kind, .size = 0, .length = 1}, error);
  }
  bool end(std::size_t n) {
    Value& value = document_.values_[open_.back()];
    value.size = static_cast<std::uint32_t>(n);
    value.length = document_.values_.size() - open_.back();
    open_.pop_back();
    return true;
  }
  // A part of a text that is not as it stands in the source.
  bool keep(View part) {
    // No text gets longer by its escapes' being read.
    if (document_.changed_ == nullptr)
      document_.changed_ = std::make_unique<char[]>(source_.size());
    std::memcpy(document_.changed_.get() + used_ + kept_, part.data(), part.size());
    kept_ += part.size();
    return true;
  }
  bool text(View rest, Error& error) {
    const bool as_it_stands = kept_ == 0 && std::less_equal<>()(source_.data(), rest.data()) &&
                              std::less<>()(rest.data(), source_.data() + source_.size());
    if (as_it_stands || rest.size() + kept_ == 0) {
      return add({.kind = ValueKind::text,
                  .size = static_cast<std::uint32_t>(rest.size()),
                  .text = rest.data()},
                 error);
    }
    keep(rest);
    const char* const begin = document_.changed_.get() + used_;
    used_ += kept_;
    return add({.kind = ValueKind::text,
                .size = static_cast<std::uint32_t>(std::exchange(kept_, 0)),
                .text = begin},
               error);
  }

  Document& document_;
  const std::string_view source_;
  const Limits limits_;
  std::vector<std::size_t> open_;
  std::size_t used_ = 0;  // of changed_, by whole texts, and then by the one that is being read
  std::size_t kept_ = 0;
};

Result<Document> Document::parse(std::string_view text, const Limits& limits) {
  if (text.size() > std::min(limits.bytes, kBytesMax)) {
    return resource_exhausted("a text of {} bytes: the limit is {}", text.size(),
                              std::min(limits.bytes, kBytesMax));
  }
  Document document;
  document.values_.reserve(std::min(limits.values, text.size() / 8 + 4));
  boost::json::parse_options options;
  options.max_depth = static_cast<std::size_t>(std::max(limits.depth, 0)) + 1;
  boost::json::basic_parser<Handler> parser(options, document, text, limits);
  Error error;
  std::size_t at = parser.write_some(false, text.data(), text.size(), error);
  if (!error && at < text.size()) error = boost::json::error::extra_data;
  if (!error) return document;
  const Status& status = parser.handler().status;
  if (!status.ok())
    return Status(status.code(), fmt::format("{}: {}", where(text, at), message(status)));
  return invalid_argument("no JSON at {}: {}", where(text, std::min(at, text.size())),
                          error.message());
}

}  // namespace wisp::inline v0::json
