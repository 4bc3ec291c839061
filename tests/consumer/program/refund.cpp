#include <wisp/wisp.hpp>

#include "parcel.hpp"

namespace billing {

WISP_FUNCTION(refund) = [](const Parcel&) {};

}  // namespace billing
