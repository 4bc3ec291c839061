// Random events that are valid, with all that makes trouble on the way.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <wisp/json/cloud_event.hpp>

#include "seeds.hpp"

namespace wisp::test {

template <std::size_t n>
std::string_view one_of(Seeded& random, const std::string_view (&all)[n]) {
  return all[random.below(n)];
}

inline std::string random_text(Seeded& random, std::uint64_t pieces) {
  static constexpr std::string_view kPieces[] = {"a", "Z", "9",  " ", "\"", "%", "%41", "\\", "/",
                                                 "é", "€", "😀", "~", "'",  ",", ":",   "{",  "]"};
  std::string text;
  for (std::uint64_t i = 0; i < pieces; ++i) text += one_of(random, kPieces);
  return text;
}

inline std::string random_bytes(Seeded& random, std::uint64_t most) {
  std::string bytes(random.below(most + 1), '\0');
  for (char& each : bytes) each = static_cast<char>(random.next());
  return bytes;
}

inline void random_data(Seeded& random, json::CloudEvent& to) {
  static constexpr std::string_view kTypes[] = {
      "",           "application/json",       "application/vnd.a.b+json; charset=utf-8",
      "text/plain", "text/xml;charset=utf-8", "image/png"};
  static constexpr std::string_view kJson[] = {"null",
                                               "true",
                                               "-0.50",
                                               "1E3",
                                               "12345678901234567890123",
                                               R"("a\u0041\"]}")",
                                               R"({"data": [1.0, {"data": "}"}], "id":[ ]})",
                                               R"([ 1 ,2, "[,:" , {} ])"};
  to.datacontenttype = one_of(random, kTypes);
  if (random.below(4) == 0) return;
  if (json::is_json_type(to.datacontenttype)) to.data = one_of(random, kJson);
  else if (random.below(2) == 0) to.data = random_text(random, 20) + "\n\x01";
  else to.data = random_bytes(random, 40);
}

inline json::CloudEvent random_cloud_event(Seeded& random) {
  static constexpr std::string_view kSources[] = {
      "/a", "https://a.example/b?c=%20#d", "urn:a:b", "//a.example/x/y", "a", "#"};
  static constexpr std::string_view kNames[] = {
      "a", "z9", "traceparent", "partitionkey", "abcdefghijklmnopqrst", "0"};
  json::CloudEvent event{.id = random_text(random, 1 + random.below(8)),
                         .source = std::string(one_of(random, kSources)),
                         .type = random_text(random, 1 + random.below(8))};
  if (random.below(2) == 0) event.subject = random_text(random, 1 + random.below(8));
  if (random.below(2) == 0) {
    std::int64_t ns = random.between(-2'000'000'000'000'000'000, 4'000'000'000'000'000'000);
    if (random.below(2) == 0) ns -= ns % 1'000'000'000;
    event.time = WallTime(std::chrono::nanoseconds(ns));
  }
  if (random.below(3) == 0) event.dataschema = "https://a.example/schema";
  for (std::uint64_t left = random.below(5); left > 0; --left) {
    json::ExtensionValue& value = event.extensions[std::string(one_of(random, kNames))];
    const std::uint64_t kind = random.below(3);
    if (kind == 0) value = random.below(2) == 0;
    else if (kind == 1) value = static_cast<std::int32_t>(random.next());
    else value = random_text(random, random.below(6));
  }
  random_data(random, event);
  return event;
}

}  // namespace wisp::test
