// What each attribute may be.
#include <wisp/json/cloud_event.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/text.hpp>
#include <wisp/json/detail/cloud_event_attributes.hpp>

namespace wisp::inline v0 {
namespace {

using json::CloudEvent;

constexpr std::string_view kUriMarks = "-._~:/?#[]@!$&'()*+,;=";
constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// No control characters, no code points that are no characters: section 3.1 of the specification.
bool is_plain(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = detail::utf8_length(text);
    if (size == 0) return false;
    auto point = static_cast<std::uint32_t>(static_cast<unsigned char>(text[0]));
    if (size > 1) point &= 0xffU >> (size + 1);
    for (std::size_t i = 1; i < size; ++i)
      point = point << 6U | (static_cast<unsigned char>(text[i]) & 0x3fU);
    if (point < 0x20 || (point >= 0x7f && point <= 0x9f) || (point >= 0xfdd0 && point <= 0xfdef) ||
        (point & 0xfffeU) == 0xfffeU)
      return false;
    text.remove_prefix(size);
  }
  return true;
}

// Of the characters of RFC 3986, two digits after each percent sign.
bool is_uri_reference(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_letter(c) || is_digit(c) || kUriMarks.find(c) != kUriMarks.npos) continue;
    if (c != '%' || text.size() - i < 3 || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))
      return false;
  }
  return !text.empty();
}

bool is_uri(std::string_view text) {
  const std::string_view scheme = text.substr(0, text.find(':'));
  return scheme.size() < text.size() && !scheme.empty() && is_letter(scheme[0]) &&
         std::all_of(
             scheme.begin(), scheme.end(),
             [](char c) {
               return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
             }) &&
         is_uri_reference(text);
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || is_digit(c) || kTokenMarks.find(c) != kTokenMarks.npos;
  });
}

std::string_view without_parameters(std::string_view media_type) {
  media_type = media_type.substr(0, media_type.find(';'));
  while (media_type.ends_with(' ')) media_type.remove_suffix(1);
  return media_type;
}

bool is_media_type(std::string_view text) {
  const std::string_view type = without_parameters(text);
  const std::size_t slash = type.find('/');
  return slash != type.npos && is_token(type.substr(0, slash)) &&
         is_token(type.substr(slash + 1)) &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < '\x7f'; });
}

bool is_extension_name(std::string_view name) {
  return !name.empty() && name.size() <= json::kExtensionNameMax && name != "data" &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); });
}

constexpr std::string_view kPlain = "a text without control characters";

// What was expected instead of `text`; empty: just that.
using Rule = std::string_view (*)(std::string_view text);

std::string_view expect_text(std::string_view text) {
  if (text.empty()) return "a text that is not empty";
  return is_plain(text) ? std::string_view() : kPlain;
}
std::string_view expect_source(std::string_view text) {
  return is_uri_reference(text) ? "" : "a URI reference that is not empty";
}
std::string_view expect_schema(std::string_view text) { return is_uri(text) ? "" : "a URI"; }
std::string_view expect_media_type(std::string_view text) {
  return is_media_type(text) ? "" : "a media type";
}

struct Known {
  std::string_view name;
  std::string CloudEvent::* member;  // null: not a text
  Rule expect;
  bool required;
};
constexpr Known kKnown[] = {
    {"specversion", nullptr, nullptr, true},
    {"id", &CloudEvent::id, expect_text, true},
    {"source", &CloudEvent::source, expect_source, true},
    {"type", &CloudEvent::type, expect_text, true},
    {"subject", &CloudEvent::subject, expect_text, false},
    {"time", nullptr, nullptr, false},
    {"datacontenttype", &CloudEvent::datacontenttype, expect_media_type, false},
    {"dataschema", &CloudEvent::dataschema, expect_schema, false},
};

}  // namespace

namespace detail {

Status CloudEventAttributes::read(std::string_view name, const Reader& from) {
  const auto* const known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                         [&](const Known& each) { return each.name == name; });
  if (known == std::end(kKnown)) return read_extension(name, from);
  const std::uint32_t bit = 1U << (known - std::begin(kKnown));
  if ((seen_ & bit) != 0) return from.wrong("is there twice");
  seen_ |= bit;
  if (from.kind() == ValueKind::null) return Status();
  if (name == "time") {
    WISP_TRY(to_.time, from.read<WallTime>());
    return Status();
  }
  if (from.kind() != ValueKind::text) return from.expected("a text");
  const std::string_view text = from.value().view();
  if (name == "specversion") {
    if (text != "1.0") return from.expected("\"1.0\"");
    version_ = true;
    return Status();
  }
  if (const std::string_view what = known->expect(text); !what.empty()) return from.expected(what);
  (to_.*known->member).assign(text);
  return Status();
}

Status CloudEventAttributes::read_extension(std::string_view name, const Reader& from) {
  if (!is_extension_name(name))
    return from.wrong(fmt::format("no attribute has such a name: a to z and 0 to 9, at most {}",
                                  json::kExtensionNameMax));
  if (to_.extensions.find(name) != to_.extensions.end() ||
      std::find(unset_.begin(), unset_.end(), name) != unset_.end())
    return from.wrong("is there twice");
  if (to_.extensions.size() + unset_.size() >= json::kExtensionsMax)
    return from.wrong(fmt::format("more than {} extensions", json::kExtensionsMax));
  json::ExtensionValue value;
  switch (from.kind()) {
    case ValueKind::null:
      unset_.emplace_back(name);
      return Status();
    case ValueKind::boolean:
      value = from.value().boolean;
      break;
    case ValueKind::text:
      if (!is_plain(from.value().view())) return from.expected(kPlain);
      value = std::string(from.value().view());
      break;
    case ValueKind::array:
    case ValueKind::object:
      return from.expected("a text, a whole number, true or false");
    default: {
      WISP_TRY(value, from.read<std::int32_t>());
    }
  }
  to_.extensions.emplace(name, std::move(value));
  return Status();
}

Status CloudEventAttributes::complete(const Reader& all) const {
  if (!version_) return all.lacks("specversion");
  for (const Known& each : kKnown)
    if (each.required && each.member != nullptr && (to_.*each.member).empty())
      return all.lacks(each.name);
  return Status();
}

Status check_data(const CloudEvent& event, const Reader& from, const json::Limits& limits) {
  if (!event.has_json()) return Status();
  const auto document = json::Document::parse(event.data, limits);
  return document.ok() ? Status() : from.wrong(message(document.status()));
}

std::string time_text(WallTime time) {
  std::string text;
  json::TextWriter to(text);
  Codec<WallTime>::write(to, time);
  return text.substr(1, text.size() - 2);  // without its quotes
}

}  // namespace detail

namespace json {

std::string to_string(const ExtensionValue& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const std::int32_t* number = std::get_if<std::int32_t>(&value))
    return fmt::format("{}", *number);
  return std::get<std::string>(value);
}

bool is_json_type(std::string_view media_type) {
  const std::string_view type = without_parameters(media_type);
  const auto ends = [&](std::string_view end) {
    return type.size() > end.size() &&
           std::equal(end.begin(), end.end(), type.end() - static_cast<std::ptrdiff_t>(end.size()),
                      [](char a, char b) { return a == b || (is_letter(a) && (a ^ 0x20) == b); });
  };
  return type.find('/') != type.npos && (ends("/json") || ends("+json"));
}

Status CloudEvent::no_json(std::string_view root) const {
  if (data.empty()) return invalid_argument("{}: is missing", root);
  return invalid_argument("{}: expected JSON, got {}", root,
                          datacontenttype.empty() ? "bytes of no type" : datacontenttype);
}

Status check(const CloudEvent& event, std::string_view place) {
  const auto named = [&](std::string_view name) {
    return place.empty() ? std::string(name) : fmt::format("{}.{}", place, name);
  };
  const auto expected = [&](std::string_view name, std::string_view text, std::string_view what) {
    const Value value{.kind = ValueKind::text,
                      .size = static_cast<std::uint32_t>(text.size()),
                      .text = text.data()};
    return Reader(value, named(name)).expected(what);
  };
  for (const Known& each : kKnown) {
    if (each.member == nullptr) continue;
    const std::string& text = event.*each.member;
    if (text.empty() && each.required) return invalid_argument("{}: is missing", named(each.name));
    if (text.empty()) continue;
    if (const std::string_view what = each.expect(text); !what.empty())
      return expected(each.name, text, what);
  }
  if (event.extensions.size() > kExtensionsMax)
    return invalid_argument("{}: more than {} extensions", named("extensions"), kExtensionsMax);
  for (const auto& [name, value] : event.extensions) {
    const bool known = std::any_of(std::begin(kKnown), std::end(kKnown),
                                   [&](const Known& each) { return each.name == name; });
    if (known || !is_extension_name(name))
      return invalid_argument("{}: no extension has such a name", named(name));
    const std::string* const text = std::get_if<std::string>(&value);
    if (text != nullptr && !is_plain(*text)) return expected(name, *text, kPlain);
  }
  const Value none{};
  const std::string name = named("data");
  return detail::check_data(event, Reader(none, name), {.bytes = kBytesMax, .values = SIZE_MAX});
}

}  // namespace json
}  // namespace wisp::inline v0
