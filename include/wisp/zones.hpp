// The zones of the IANA database.
//
//   WISP_TRY(std::shared_ptr<const wisp::Zone> lisbon, wisp::load_zone("Europe/Lisbon"));
//
// Threads: any.
#pragma once

#include <memory>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/model/zone.hpp>

namespace wisp::inline v0 {

// Reads the system's database (on Debian the package tzdata), once for each name. kNotFound for a
// name that it does not have.
Result<std::shared_ptr<const Zone>> load_zone(std::string_view name);

}  // namespace wisp::inline v0
