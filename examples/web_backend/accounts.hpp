// Who may sign in, in memory: passwords as argon2id, tokens of a quarter of an hour.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <wisp/base/mutex.hpp>
#include <wisp/http/jwt.hpp>
#include <wisp/wisp.hpp>

namespace backend {

inline constexpr std::size_t kAccountsMax = 10'000;
inline constexpr std::size_t kPasswordMin = 10;   // bytes
inline constexpr std::size_t kPasswordMax = 256;  // of more only the time to hash would grow

struct SignUp {
  std::string email;
  std::string password;
  std::string plan;  // "free" or "pro": the tenant
};
WISP_FIELDS(SignUp, email, password, plan)

struct Account {
  std::string id;
  std::string email;
  std::string plan;
};
WISP_FIELDS(Account, id, email, plan)

struct SignIn {
  std::string email;
  std::string password;
};
WISP_FIELDS(SignIn, email, password)

struct Session {
  std::string token;
  int expires_in = 0;  // seconds
};
WISP_FIELDS(Session, token, expires_in)

class Accounts {
 public:
  // Signs with a secret of its own: tokens, as all else here, do not survive the process.
  // kInternal: the kernel has no randomness.
  static wisp::Result<std::unique_ptr<Accounts>> make();

  wisp::Result<Account> sign_up(const SignUp& wanted);
  // kUnauthenticated, after the same time, whether there is such an account or not.
  wisp::Result<Session> sign_in(const SignIn& given);

  // What finds out whose a token is. Outlives no Accounts.
  const wisp::http::JwtVerifier& verifier() const { return verifier_; }

 private:
  struct Kept {
    Account account;
    std::string hash;
  };

  Accounts(wisp::http::JwtSigner signer, wisp::http::JwtVerifier verifier, std::string nobody);

  const wisp::http::JwtSigner signer_;
  const wisp::http::JwtVerifier verifier_;
  const std::string nobody_;  // the hash of a password that no one has
  wisp::Mutex mutex_;         // nothing else is locked under it
  std::map<std::string, Kept, std::less<>> by_email_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace backend
