#include <wisp/service/detail/post_log.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using wisp::Payload;
using wisp::detail::Given;
using wisp::detail::Post;
using wisp::detail::PostBlock;
using wisp::detail::PostBlocks;
using wisp::detail::PostLog;
using wisp::detail::PostRecord;

template <std::size_t n>
struct Flat {
  std::array<std::uint64_t, n> words{};
};

// What was appended, and what a record has to say.
struct Expected {
  std::uint64_t sequence;
  std::size_t bytes;
  std::optional<PostRecord::Cause> cause;
  int kind;  // 0: none, 1 to 3: flat, 4: boxed
};

struct SharedCount {
  std::shared_ptr<int> count;
  std::uint64_t value = 0;
};

void append(PostBlocks& blocks, PostLog& log, const Expected& what,
            const std::shared_ptr<int>& alive) {
  Post post{.bytes = what.bytes, .accepted_ticks = ~what.sequence, .sequence = what.sequence};
  post.cause = what.cause;
  post.hops = static_cast<std::uint8_t>(what.sequence % 17);
  const Flat<1> one{{what.sequence}};
  const Flat<7> seven{{what.sequence}};
  const Flat<PostLog::kInputMax / 8> largest{{what.sequence}};
  if (what.kind == 1) post.input = Given::of(one);
  if (what.kind == 2) post.input = Given::of(seven);
  if (what.kind == 3) post.input = Given::of(largest);
  if (what.kind == 4) post.boxed = Payload::of(SharedCount{alive, what.sequence});
  if (log.append(post)) blocks.put(PostBlock::make(PostBlock::kLarge));
}

bool as_expected(PostRecord& record, const Expected& what) {
  bool right = record.sequence == what.sequence && record.accepted_ticks == ~what.sequence &&
               record.bytes == what.bytes && record.hops == what.sequence % 17 &&
               record.caused == what.cause.has_value();
  if (what.cause) {
    right = right && record.cause()->event == what.cause->event &&
            record.cause()->trace == what.cause->trace;
  }
  const void* value = record.value();
  if (what.kind == 0) return right && value == nullptr;
  if (what.kind == 4)
    return right && static_cast<const SharedCount*>(value)->value == what.sequence;
  std::uint64_t first = 0;
  std::memcpy(&first, value, sizeof first);
  return right && first == what.sequence;
}

Expected random_post(wisp::test::Seeded& random, std::uint64_t sequence) {
  Expected made{.sequence = sequence,
                .bytes = random.below(8) == 0 ? PostLog::kBytesMax : random.below(100),
                .cause = {},
                .kind = static_cast<int>(random.below(5))};
  if (random.below(3) == 0) made.cause = {.event = random.next(), .trace = random.next()};
  return made;
}

}  // namespace

TEST_CASE("post log: one consumer finds every post, in order and as it was", "[post_log]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    const auto alive = std::make_shared<int>();
    PostBlocks blocks;
    PostLog log(blocks);
    std::deque<Expected> model;
    std::size_t bytes = 0;
    PostBlock* block = nullptr;
    std::uint64_t sequence = 0;
    bool right = true;
    for (int step = 0; step < 3'000; ++step) {
      if (random.below(2) == 0) {
        model.push_back(random_post(random, ++sequence));
        bytes += model.back().bytes;
        append(blocks, log, model.back(), alive);
      } else if (block == nullptr) {
        block = log.claim();
        right = right && (block == nullptr) == model.empty();
      } else if (random.below(50) == 0) {
        blocks.put(log.leave(std::exchange(block, nullptr)));  // with records left, perhaps
      } else if (PostRecord* record = block->take()) {
        right = right && !model.empty() && as_expected(*record, model.front());
        PostBlock::release(*record);
        bytes -= model.front().bytes;
        model.pop_front();
      } else {
        blocks.put(log.leave(std::exchange(block, nullptr)));
      }
      log.refresh();
      right = right && log.count() == static_cast<int>(model.size()) && log.bytes() == bytes;
      REQUIRE(right);
    }
    if (block != nullptr) log.leave(block);
    for (PostBlock* each : log.claim_all()) {
      while (PostRecord* record = each->take()) PostBlock::release(*record);
      log.leave(each);
    }
    CHECK(log.at_rest());
    CHECK(log.count() == 0);
    CHECK(log.bytes() == 0);
    CHECK(alive.use_count() == 1);
  }
}

TEST_CASE("post log: who finds nothing else joins in, and each record is taken once",
          "[post_log]") {
  PostBlocks blocks;
  PostLog log(blocks);
  for (std::uint64_t i = 1; i <= 3; ++i) append(blocks, log, {i, 0, {}, 0}, nullptr);
  PostBlock* const first = log.claim();
  REQUIRE(first != nullptr);
  CHECK(first->take()->sequence == 1);
  PostBlock* const joined = log.claim();
  CHECK(joined == first);
  // A post that comes now goes into another block, which is preferred from now on.
  append(blocks, log, {4, 0, {}, 0}, nullptr);
  PostBlock* const other = log.claim();
  CHECK(other != first);
  CHECK(other->take()->sequence == 4);
  CHECK(log.leave(other) != nullptr);
  CHECK(joined->take()->sequence == 2);
  CHECK(first->take()->sequence == 3);
  CHECK(joined->take() == nullptr);
  CHECK(log.claim() == nullptr);
  CHECK(log.leave(joined) == nullptr);
  CHECK_FALSE(log.at_rest());  // the first one still runs what it took
  CHECK(log.leave(first) != nullptr);
  CHECK(log.at_rest());
}

TEST_CASE("post log: a block that is left goes on before newer ones", "[post_log]") {
  PostBlocks blocks;
  PostLog log(blocks);
  const int count = 3 * static_cast<int>(PostBlock::kSmall / sizeof(PostRecord));
  for (int i = 1; i <= count; ++i)
    append(blocks, log, {static_cast<std::uint64_t>(i), 0, {}, 0}, nullptr);
  PostBlock* const oldest = log.claim();
  PostBlock* const next = log.claim();
  CHECK(oldest->take()->sequence == 1);
  const std::uint64_t later = next->take()->sequence;
  log.leave(next);
  log.leave(oldest);
  CHECK(log.claim()->take()->sequence == 2);
  CHECK(log.claim()->take()->sequence == later + 1);
  log.refresh();
  CHECK(log.count() == count - 4);
  log.leave(oldest);
  log.leave(next);
  for (PostBlock* each : log.claim_all()) {
    while (each->take() != nullptr) continue;
    log.leave(each);
  }
  CHECK(log.at_rest());
}
