#include "luna/net/tcp/testing/fuzz/transitions.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace luna::tcp::testing {
namespace {

// The letter of each state in the table, in the order of TupleState.
constexpr absl::string_view kLetters = "CLSRE12WGAT";

// Successors by cause and state: letters; '.' stays as it is; "" cannot be. A connection that is gone leaves CLOSED or
// LISTEN, whichever the tuple has then: "C" is both.
// clang-format off
constexpr const char* kTable[kCauses][kTupleStates] = {
    //                  CLOSED LISTEN SYN-SENT SYN-RCVD ESTAB  FIN-W-1 FIN-W-2 CLOSE-W CLOSING LAST-ACK TIME-WAIT
    /* broken        */ {".",   ".",   ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* SYN           */ {".",   ".R",  "R",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     ".R"},
    /* SYN-ACK good  */ {"",    "",    "E1WG",  ".E1WG", "",    "",     "",     "",     "",     "",      ""},
    /* SYN-ACK other */ {".",   ".",   ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* RST good      */ {"",    "",    "C",     "C",     "C",   "C",    "C",    "C",    "C",    "C",     ""},
    /* RST other     */ {".",   ".",   ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* no ACK        */ {".",   ".",   ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* ACK           */ {".",   ".E",  ".",     ".E1",   ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* ACK of FIN    */ {"",    "",    "",      "",      "",    ".2",   "",     "",     ".T",   ".C",    ""},
    /* FIN           */ {".",   ".EW", ".",     ".E1WG", ".W",  ".G",   ".T",   ".",    ".",    ".",     "."},
    /* FIN, ACK of F */ {"",    "",    "",      "",      "",    ".2T",  "",     "",     ".T",   ".C",    ""},
    /* fill          */ {"",    "",    "",      "",      "W",   "G",    "T",    "",     "",     "",      ""},
    /* fill, ACK of F*/ {"",    "",    "",      "",      "",    "T",    "",     "",     "",     "",      ""},
    /* data aft close*/ {"",    "",    "",      ".C",    "",    ".2C",  ".C",   "",     "",     "",      ""},
    /* listen        */ {"L",   ".",   ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* stop listening*/ {".",   "C",   ".",     ".C",    ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* connect       */ {".S",  ".S",  ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* send          */ {"",    "",    ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     ""},
    /* read          */ {"",    "",    ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     ""},
    /* shut write    */ {"",    "",    ".",     ".",     "1",   ".",    ".",    "A",    ".",    ".",     ""},
    /* shut read     */ {"",    "",    ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     ""},
    /* close         */ {"",    "",    "C",     ".C",    "1C",  ".C",   ".C",   "AC",   ".C",   ".C",    ""},
    /* close hard    */ {"",    "",    "C",     "C",     "C",   "C",    "C",    "C",    "C",    "C",     ""},
    /* abort         */ {"",    "",    "C",     "C",     "C",   "C",    "C",    "C",    "C",    "C",     ""},
    /* set options   */ {"",    "",    ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     ""},
    /* timer         */ {".",   ".",   ".C",    ".C",    ".C",  ".C",   ".C",   ".C",   ".C",   ".C",    ".C"},
    /* ICMP, hard    */ {".",   ".",   ".C",    ".C",    ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* ICMP, soft    */ {".",   ".",   ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* flush         */ {".",   ".",   ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
    /* reap          */ {".",   ".",   ".",     ".",     ".",   ".",    ".",    ".",    ".",    ".",     "."},
};
// clang-format on

constexpr const char* kCauseNames[kCauses] = {"broken",      "SYN",
                                              "SYN-ACK",     "other SYN-ACK",
                                              "RST",         "other RST",
                                              "no ACK",      "ACK",
                                              "ACK of FIN",  "FIN",
                                              "FIN and ACK", "fills up to FIN",
                                              "fills, ACK",  "data after close",
                                              "listen",      "stop listening",
                                              "connect",     "send",
                                              "read",        "shutdown write",
                                              "shutdown rd", "close",
                                              "hard close",  "abort",
                                              "options",     "timer",
                                              "hard ICMP",   "soft ICMP",
                                              "flush",       "reap"};

// CLOSED for LISTEN, where a connection has ended.
TupleState Normal(TupleState from, TupleState to) {
  const bool without = from == TupleState::kClosed || from == TupleState::kListen;
  return to == TupleState::kListen && !without ? TupleState::kClosed : to;
}

template <typename Visit>
void ForEachRow(Visit visit) {
  for (size_t cause = 0; cause < kCauses; ++cause) {
    for (size_t from = 0; from < kTupleStates; ++from) {
      for (const char letter : absl::string_view(kTable[cause][from])) {
        visit(static_cast<TupleState>(from), static_cast<Cause>(cause),
              static_cast<TupleState>(letter == '.' ? from : kLetters.find(letter)));
      }
    }
  }
}

std::string Describe(TupleState from, Cause cause, TupleState to) {
  return absl::StrCat(Name(from), " --", Name(cause), "--> ", Name(to));
}

}  // namespace

const char* Name(TupleState state) {
  constexpr const char* kNames[kTupleStates] = {"CLOSED",      "LISTEN",     "SYN-SENT",   "SYN-RECEIVED",
                                                "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT",
                                                "CLOSING",     "LAST-ACK",   "TIME-WAIT"};
  return kNames[static_cast<size_t>(state)];
}

TupleState FromConnection(State state) {
  CHECK(state != State::kClosed);
  return static_cast<TupleState>(static_cast<size_t>(state) + 1);
}

const char* Name(Cause cause) { return kCauseNames[static_cast<size_t>(cause)]; }

bool IsLegal(TupleState from, Cause cause, TupleState to) {
  to = Normal(from, to);
  const absl::string_view next = kTable[static_cast<size_t>(cause)][static_cast<size_t>(from)];
  return next.find(kLetters[static_cast<size_t>(to)]) != absl::string_view::npos ||
         (from == to && next.find('.') != absl::string_view::npos);
}

void TransitionLog::Note(TupleState from, Cause cause, TupleState to, absl::FunctionRef<std::string()> detail) {
  to = Normal(from, to);
  CHECK(IsLegal(from, cause, to)) << "no such transition: " << Describe(from, cause, to) << "; " << detail();
  const size_t cell = Cell(from, cause, to);
  seen_[cell] = true;
  if (counters_ != nullptr) counters_[cell] = 1;
}

size_t TransitionLog::seen() const { return static_cast<size_t>(std::count(seen_.begin(), seen_.end(), true)); }

size_t TransitionLog::all() {
  size_t rows = 0;
  ForEachRow([&](TupleState, Cause, TupleState) { ++rows; });
  return rows;
}

std::vector<std::string> TransitionLog::Missing() const {
  std::vector<std::string> missing;
  ForEachRow([&](TupleState from, Cause cause, TupleState to) {
    if (!seen_[Cell(from, cause, to)]) missing.push_back(Describe(from, cause, to));
  });
  return missing;
}

std::string TransitionLog::Summary() const {
  std::string text = absl::StrCat(seen(), " of ", all(), " transitions");
  const std::vector<std::string> missing = Missing();
  if (!missing.empty()) absl::StrAppend(&text, "; missing: ", absl::StrJoin(missing, ", "));
  return text;
}

}  // namespace luna::tcp::testing
