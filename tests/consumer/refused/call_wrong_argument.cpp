#include <string>
#include <wisp/wisp.hpp>

struct Parcel {
  double kg;
  std::string country;
};
WISP_FIELDS(Parcel, kg, country)

WISP_FUNCTION(weigh) = [](const Parcel& parcel) { return parcel.kg; };

wisp::Result<double> weigh_it(wisp::Runtime& runtime) {
#ifdef FIXED
  return runtime.call(weigh, {2.5, "PT"});
#else
  return runtime.call(weigh, "2.5 kg to Portugal");
#endif
}
