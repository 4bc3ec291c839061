#include "client_lookup.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <utility>

namespace wisp::inline v0::http {
namespace {

class SystemResolver final : public Resolver {
 public:
  Result<std::vector<IpAddress>> resolve(const std::string& host) override {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (error == EAI_NONAME || error == EAI_NODATA) return not_found("there is no such host");
    if (error != 0) return unavailable("its address is not known: {}", gai_strerror(error));
    std::vector<IpAddress> addresses;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
      if (each->ai_family == AF_INET) {
        std::array<std::uint8_t, 4> bytes{};
        const auto* const from = reinterpret_cast<const sockaddr_in*>(each->ai_addr);
        std::memcpy(bytes.data(), &from->sin_addr, bytes.size());
        addresses.push_back(IpAddress::v4(bytes));
      } else if (each->ai_family == AF_INET6) {
        std::array<std::uint8_t, 16> bytes{};
        const auto* const from = reinterpret_cast<const sockaddr_in6*>(each->ai_addr);
        std::memcpy(bytes.data(), &from->sin6_addr, bytes.size());
        addresses.push_back(IpAddress::v6(bytes));
      }
    }
    freeaddrinfo(found);
    return addresses;
  }
};

Resolver& system_resolver() {
  // Without state; never destroyed, so that nothing runs at exit.
  static SystemResolver& resolver = *new SystemResolver;
  return resolver;
}

}  // namespace

struct Lookups::Lookup {
  Lookup(Clock& clock, std::string name)
      : host(std::move(name)), signal(std::make_shared<Signal>(clock)) {}

  const std::string host;
  Result<std::vector<IpAddress>> addresses = std::vector<IpAddress>();  // once the signal fired
  const std::shared_ptr<Signal> signal;
};

Lookups::Lookups(Resolver* resolver)
    : resolver_(resolver == nullptr ? system_resolver() : *resolver) {}

Lookups::~Lookups() {
  std::vector<Running> all;
  {
    const MutexLock lock(mutex_);
    all.swap(running_);
  }
  for (Running& each : all) each.thread.join();
}

Status Lookups::start(const std::shared_ptr<Lookup>& lookup) {
  std::vector<Running> over;
  Status status;
  {
    const MutexLock lock(mutex_);
    for (std::size_t i = 0; i < running_.size();) {
      if (!running_[i].lookup->signal->fired()) {
        ++i;
        continue;
      }
      over.push_back(std::move(running_[i]));
      if (i + 1 < running_.size()) running_[i] = std::move(running_.back());
      running_.pop_back();
    }
    if (running_.size() >= kLookupsMax)
      status = unavailable("{} lookups of names are under way", kLookupsMax);
    if (status.ok()) {
      Result<wisp::detail::Thread> thread =
          wisp::detail::Thread::start("wisp-lookup", [lookup, &resolver = resolver_] {
            lookup->addresses = resolver.resolve(lookup->host);
            lookup->signal->fire();
          });
      if (thread.ok()) running_.push_back({*std::move(thread), lookup});
      else status = thread.status();
    }
  }
  // They have nothing left to do.
  for (Running& each : over) each.thread.join();
  return status;
}

Result<std::vector<IpAddress>> Lookups::resolve(const std::string& host, const Wait& wait) {
  const auto lookup = std::make_shared<Lookup>(wait.clock, host);
  WISP_TRY(start(lookup));
  WISP_TRY(wait.until_fired(lookup->signal));
  WISP_TRY(lookup->addresses);
  if (lookup->addresses->empty()) return not_found("it has no address");
  return std::move(lookup->addresses);
}

}  // namespace wisp::inline v0::http
