#include "connection.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gzip.hpp"
#include "problem.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::string_view kHead = "HEAD ";
// Requests that one connection has taken before it is the others' turn; one with a large answer is
// a turn by itself.
constexpr int kTurn = 16;

// And gives back what it held, if that was much: most connections are idle.
void empty(std::string& text) {
  if (text.capacity() > 4'096) std::string().swap(text);
  else text.clear();
}

}  // namespace

std::optional<Answer> Connection::Service::admit(const Head&, const Target&) {
  return std::nullopt;
}

Connection::Connection(const ConnectionLimits& limits, Service& service, DateCache& dates,
                       Clock& clock)
    : limits_(limits),
      service_(service),
      dates_(dates),
      clock_(clock),
      scanner_(limits.head),
      since_(clock.now()),
      progress_(since_) {}

bool Connection::wants_more() const {
  // Were the end of what it sends read before, what it sent first would go with it.
  if (phase_ == Phase::closing || ended_ || yields()) return false;
  return in_.size() <= limits_.head.bytes && output().size() < limits_.output;
}

void Connection::receive(std::string_view bytes) {
  if (phase_ == Phase::closing) return;
  if (!bytes.empty()) turn_ = kTurn;
  if (in_.empty()) {
    consume(bytes);
    in_.assign(bytes);
    return;
  }
  in_.append(bytes);
  std::string_view rest = in_;
  consume(rest);
  in_.erase(0, in_.size() - rest.size());
}

void Connection::consume(std::string_view& rest) {
  bool goes_on = true;
  while (goes_on && turn_ > 0 && output().size() < limits_.output) {
    switch (phase_) {
      case Phase::head:
        goes_on = take_head(rest);
        break;
      case Phase::body:
        goes_on = take_body(rest);
        break;
      case Phase::serving:
      case Phase::streaming:
        return;
      case Phase::closing:
        rest = {};
        return;
    }
  }
}

bool Connection::take_head(std::string_view& rest) {
  if (rest.empty()) return false;
  if (!begun_) {
    begun_ = true;
    since_ = clock_.now();
  }
  if (const Rejection rejected = scanner_.look(rest))
    return refuse(rejected, rest.starts_with(kHead)), true;
  if (!scanner_.found()) return false;
  const std::string_view text = rest.substr(0, scanner_.bytes());
  scanner_ = HeadScanner(limits_.head);
  Head head;
  Target target;
  Rejection rejected = parse_head(text, head);
  if (!rejected) rejected = parse_target(head, target);
  if (!rejected && head.length.value_or(0) > limits_.body) rejected = {413, "the body is too long"};
  if (rejected) return refuse(rejected, text.starts_with(kHead)), true;
  rest.remove_prefix(text.size());
  begun_ = false;
  if (const std::optional<Answer> turned_away = service_.admit(head, target)) {
    wish(head);
    // However much of it is there already, so that it makes no difference how the bytes came.
    if (head.has_body()) wish_.keep_alive = false;
    finish(*turned_away);
    return true;
  }
  if (!head.chunked && rest.size() >= head.length.value_or(0)) {
    const std::string_view body = rest.substr(0, head.length.value_or(0));
    rest.remove_prefix(body.size());
    serve({head, target, body});
    return true;
  }
  if (const Rejection why = expect_body(text)) return refuse(why, text.starts_with(kHead)), true;
  if (head.expects_continue && rest.empty()) add("HTTP/1.1 100 Continue\r\n\r\n");
  return true;
}

// What refers to what arrived would be gone by then, so it is read again from a copy.
Rejection Connection::expect_body(std::string_view text) {
  phase_ = Phase::body;
  since_ = clock_.now();
  coming_ = std::make_unique<Coming>();
  coming_->text = text;
  Rejection rejected = parse_head(coming_->text, coming_->head);
  if (!rejected) rejected = parse_target(coming_->head, coming_->target);
  if (coming_->head.chunked) coming_->chunks.emplace(coming_->body, limits_.body, limits_.head);
  return rejected;
}

bool Connection::take_body(std::string_view& rest) {
  Coming& coming = *coming_;
  bool whole = false;
  if (coming.chunks) {
    if (const Rejection rejected = coming.chunks->take(rest))
      return refuse(rejected, coming.text.starts_with(kHead)), true;
    whole = coming.chunks->done();
  } else {
    const std::size_t left = *coming.head.length - coming.body.size();
    const std::string_view part = rest.substr(0, left);
    coming.body.append(part);
    rest.remove_prefix(part.size());
    whole = part.size() == left;
  }
  if (!whole) return false;
  const std::unique_ptr<Coming> served = std::move(coming_);
  serve({served->head, served->target, served->body});
  return true;
}

// What its client wants of the answer.
void Connection::wish(const Head& head) {
  wish_.head = head.method == "HEAD";
  wish_.keep_alive = head.keep_alive && !draining_;
  wish_.minor = head.minor;
  wish_.if_none_match = head.find("if-none-match").value_or("");
  wish_.varies = limits_.gzip;
  wish_.gzip = limits_.gzip && accepts_gzip(head.find("accept-encoding").value_or(""));
}

void Connection::serve(const Message& message) {
  wish(message.head);
  phase_ = Phase::serving;
  if (const std::optional<Answer> now = service_.serve(message)) finish(*now);
}

void Connection::finish(const Answer& answer) {
  const bool streams = answer.stream != nullptr && !wish_.head;
  // In HTTP/1.0 a body without a length ends with the connection.
  if (draining_ || ended_ || (streams && wish_.minor == 0)) wish_.keep_alive = false;
  --turn_;
  if (answer.body.size() >= limits_.output) turn_ = 0;
  // Its client has gone: nobody would take a stream, nor end it. What it is owed it gets.
  if (streams && ended_) {
    phase_ = Phase::closing;
    return;
  }
  if (output().empty()) progress_ = clock_.now();
  write_answer(answer, wish_, dates_.at(clock_.wall()), out_);
  since_ = clock_.now();
  if (!streams) {
    phase_ = wish_.keep_alive ? Phase::head : Phase::closing;
    return;
  }
  stream_ = answer.stream;
  phase_ = Phase::streaming;
  if (draining_) stream_->drain();
  pull();
}

void Connection::add(std::string_view text) {
  if (output().empty()) progress_ = clock_.now();
  out_ += text;
}

// As much as may be unsent.
void Connection::pull() {
  waiting_ = false;
  while (streaming() && !waiting_ && output().size() < limits_.output) {
    piece_.clear();
    const Stream::Next how = stream_->next(piece_);
    if (!piece_.empty()) {
      if (wish_.minor > 0) add(fmt::format("{:x}\r\n", piece_.size()));
      add(piece_);
      if (wish_.minor > 0) add("\r\n");
    }
    if (how == Stream::Next::wait || (how == Stream::Next::more && piece_.empty())) waiting_ = true;
    else if (how != Stream::Next::more) end_stream(how);
  }
  empty(piece_);
}

void Connection::end_stream(Stream::Next how) {
  stream_.reset();
  since_ = clock_.now();
  if (how == Stream::Next::broken) {
    broken_ = true;
    phase_ = Phase::closing;
    return;
  }
  if (wish_.minor > 0) add("0\r\n\r\n");
  phase_ = wish_.keep_alive && !draining_ && !ended_ ? Phase::head : Phase::closing;
}

void Connection::resume() {
  turn_ = kTurn;
  if (streaming()) pull();
  if (!streaming()) go_on_with_input();
}

bool Connection::yields() const {
  return turn_ <= 0 && !in_.empty() && (phase_ == Phase::head || phase_ == Phase::body) &&
         output().size() < limits_.output;
}

void Connection::go_on_with_input() {
  if (phase_ == Phase::closing) empty(in_);
  if (!in_.empty()) receive({});
}

void Connection::refuse(const Rejection& rejected, bool head) {
  wish_ = {.head = head, .keep_alive = false};
  coming_.reset();
  service_.refused(rejected.status);
  finish(problem(rejected.status, rejected.what));
}

void Connection::answer(Answer answer) {
  if (phase_ != Phase::serving) return;
  turn_ = kTurn;
  finish(answer);
  go_on_with_input();
}

void Connection::end() {
  if (ended_) return;
  ended_ = true;
  if (phase_ == Phase::serving) return service_.gone();
  // What is not whole must not look so, as it would where it ends with the connection.
  if (streaming()) broken_ = true;
  stream_.reset();
  phase_ = Phase::closing;
}

void Connection::sent(std::size_t bytes) {
  if (bytes == 0) return;
  sent_ += bytes;
  progress_ = clock_.now();
  if (sent_ < out_.size()) {
    // Where there is always something left, what was sent goes all the same.
    if (sent_ >= limits_.output && sent_ > out_.size() / 2) out_.erase(0, std::exchange(sent_, 0));
    return;
  }
  sent_ = 0;
  empty(out_);
  if (phase_ == Phase::head && !begun_) since_ = progress_;  // idle from here on
  if (!in_.empty() && phase_ != Phase::closing) receive({});
  if (in_.empty()) empty(in_);
}

void Connection::tick() {
  const Time now = clock_.now();
  if (!output().empty() && now - progress_ > limits_.write_time) {
    if (phase_ == Phase::serving) service_.gone();
    stream_.reset();
    broken_ = true;
    phase_ = Phase::closing;
    return;
  }
  if (streaming()) return resume();
  const Duration past = now - since_;
  if (phase_ == Phase::head && begun_) {
    if (past <= limits_.head_time) return;
    if (in_.empty()) phase_ = Phase::closing;
    else refuse({408, "the request's head took too long"}, in_.starts_with(kHead));
  } else if (phase_ == Phase::head && output().empty()) {
    if (past > limits_.idle_time) phase_ = Phase::closing;
  } else if (phase_ == Phase::body && past > limits_.head_time) {
    const double seconds = std::chrono::duration<double>(past).count();
    const std::size_t came = coming_->body.size() - coming_->judged;
    if (static_cast<double>(came) < seconds * static_cast<double>(limits_.body_rate))
      return refuse({408, "the request's body comes too slowly"}, coming_->text.starts_with(kHead));
    // What came in a burst buys no silence afterwards.
    coming_->judged = coming_->body.size();
    since_ = now;
  }
}

std::size_t Connection::held() const {
  const std::size_t coming =
      coming_ == nullptr ? 0 : coming_->text.capacity() + coming_->body.capacity();
  return in_.capacity() + out_.capacity() + coming;
}

void Connection::drain() {
  draining_ = true;
  if (streaming()) {
    stream_->drain();
    return resume();
  }
  if (phase_ == Phase::head && in_.empty()) phase_ = Phase::closing;
}

}  // namespace wisp::inline v0::http
