#include "tls_pipe.hpp"

#include <array>
#include <utility>

#include "openssl.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::size_t kRecord = 16'384;
constexpr std::size_t kKept = 4'096;  // bytes of a buffer that is empty

}  // namespace

struct TlsPipe::Handle {
  Owned<SSL> stream;
  BIO* in = nullptr;   // the stream's own
  BIO* out = nullptr;  // the stream's own
};

TlsPipe::TlsPipe(ssl_st* stream) : handle_(std::make_unique<Handle>()) {
  handle_->stream.reset(stream);
  if (stream == nullptr) return;
  handle_->in = BIO_new(BIO_s_mem());
  handle_->out = BIO_new(BIO_s_mem());
  SSL_set_bio(stream, handle_->in, handle_->out);
}
TlsPipe::~TlsPipe() = default;

ssl_st* TlsPipe::stream() const { return handle_->stream.get(); }

TlsPipe::Received TlsPipe::receive(std::string_view bytes, std::string& plain) {
  const Received received = failed_ ? Received::fault : read(bytes, plain);
  failed_ = received == Received::fault;
  return received;
}

TlsPipe::Received TlsPipe::read(std::string_view bytes, std::string& plain) {
  SSL* const stream = handle_->stream.get();
  if (stream == nullptr) return Received::fault;
  ERR_clear_error();
  const auto size = static_cast<int>(bytes.size());
  if (size > 0 && BIO_write(handle_->in, bytes.data(), size) != size) return Received::fault;
  std::array<char, kRecord> piece;
  for (;;) {
    const int got = SSL_read(stream, piece.data(), static_cast<int>(piece.size()));
    if (got > 0) {
      plain.append(piece.data(), static_cast<std::size_t>(got));
      continue;
    }
    const int error = SSL_get_error(stream, got);
    collect();  // a handshake's part, or the alert that says why not
    if (error == SSL_ERROR_ZERO_RETURN) return Received::ended;
    if (output().size() > 2 * kEncryptedMax) return Received::fault;
    return error == SSL_ERROR_WANT_READ ? Received::more : Received::fault;
  }
}

bool TlsPipe::ready() const {
  return handle_->stream != nullptr && SSL_is_init_finished(handle_->stream.get()) == 1;
}

void TlsPipe::begin() {
  const Quiet quiet;
  SSL_do_handshake(handle_->stream.get());
  collect();
}

void TlsPipe::encrypt(std::string_view plain) {
  if (failed_) return;
  const Quiet quiet;
  // A memory takes all.
  if (!plain.empty())
    SSL_write(handle_->stream.get(), plain.data(), static_cast<int>(plain.size()));
  collect();
}

void TlsPipe::end() {
  if (!ready()) return;
  const Quiet quiet;
  SSL_shutdown(handle_->stream.get());
  collect();
}

void TlsPipe::collect() {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(handle_->out, &data);
  if (size <= 0) return;
  out_.erase(0, std::exchange(sent_, 0));
  out_.append(data, static_cast<std::size_t>(size));
  BIO_reset(handle_->out);
}

void TlsPipe::sent(std::size_t bytes) {
  sent_ += bytes;
  if (sent_ < out_.size()) return;
  sent_ = 0;
  if (out_.capacity() > kKept) std::string().swap(out_);
  else out_.clear();
}

}  // namespace wisp::inline v0::http
