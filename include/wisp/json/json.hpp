// JSON (RFC 8259) to and from whatever has a codec.
//
//   wisp::Result<Order> order = wisp::json::read<Order>(text, {.root = "order"});
//   order.status()        // "order.items[3].price: expected a number, got \"abc\""
//   std::string text = wisp::json::write(*order);
//
// Read strictly: one value and white space, UTF-8, no comments, nothing after it; within limits, so
// that a text costs no more than its size allows. What is beyond a limit is kResourceExhausted,
// what is no JSON kInvalidArgument with the line and column.
//
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/codec.hpp>
#include <wisp/base/codec_chrono.hpp>
#include <wisp/base/codec_containers.hpp>
#include <wisp/base/status.hpp>
#include <wisp/model/content_pattern.hpp>

namespace wisp::inline v0::json {

struct Limits {
  std::size_t bytes = 1'048'576;  // of the text; at most kBytesMax
  int depth = 32;                 // of arrays and objects, each inside of the one before
  std::size_t values = 65'536;    // in all, names of members included; 16 bytes each
};
inline constexpr std::size_t kBytesMax = 1'073'741'824;

struct ReadOptions {
  std::string_view root{};  // what errors call the whole; empty: "the value"
  UnknownMembers unknown = UnknownMembers::refuse;
  Limits limits{};
};

// A text that was found to be JSON.
class Document {
 public:
  // Requires: `text` outlives the result.
  static Result<Document> parse(std::string_view text, const Limits& limits = {});

  // What follows it lies behind it; see Value.
  const Value& root() const { return values_.front(); }

 private:
  class Handler;
  Document() = default;

  std::vector<Value> values_;
  std::unique_ptr<char[]> changed_;  // text that was written with escapes
};

template <HasCodec T>
Result<T> read(std::string_view text, const ReadOptions& options = {}) {
  WISP_TRY(const Document document, Document::parse(text, options.limits));
  return Reader(document.root(), options.root, options.unknown).template read<T>();
}

// Appends to a string, without white space.
class TextWriter final : public Writer {
 public:
  // Requires: `to` outlives this.
  explicit TextWriter(std::string& to) : to_(to) {}

  void null() override;
  void boolean(bool value) override;
  void integer(std::int64_t value) override;
  void natural(std::uint64_t value) override;
  void real(double value) override;
  void real(float value) override;
  void text(std::string_view value) override;
  void begin_array() override;
  void end_array() override;
  void begin_object() override;
  void name(std::string_view name) override;
  void end_object() override;

 private:
  void begin_value();
  void quote(std::string_view text);
  template <class Number>
  void number(Number value);

  std::string& to_;
  bool comma_ = false;  // before the next value or name
};

template <HasCodec T>
std::string write(const T& value) {
  std::string text;
  TextWriter to(text);
  Codec<T>::write(to, value);
  return text;
}

// A pattern's text compiled; see ContentPattern.
//
//   WISP_TRY(auto big, wisp::json::pattern(R"({"total": [{"numeric": [">", 100]}]})"));
//   auto paid = runtime.on("orders.*.paid").where(big.filter()).to(fulfil);
inline Result<ContentPattern> pattern(std::string_view text, const Limits& limits = {}) {
  WISP_TRY(const Document document, Document::parse(text, limits));
  return ContentPattern::compile(document.root());
}

// What read<T>() takes, as a JSON Schema (draft 2020-12).
template <HasCodec T>
std::string schema() {
  std::string text;
  TextWriter writer(text);
  writer.begin_object();
  writer.name("$schema");
  writer.text("https://json-schema.org/draft/2020-12/schema");
  Schema to(writer);
  writer.name("allOf");
  writer.begin_array();
  to.of<T>();
  writer.end_array();
  to.define();
  writer.end_object();
  return text;
}

}  // namespace wisp::inline v0::json
