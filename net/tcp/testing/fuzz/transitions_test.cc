// The committed corpus of stack_fuzz reaches every transition in the table; and the table refuses what is not in it.

#include "luna/net/tcp/testing/fuzz/transitions.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "luna/net/tcp/testing/fuzz/stack_program.h"

namespace luna::tcp::testing {
namespace {

TEST(Transitions, TheCorpusReachesEachOne) {
  TransitionLog log;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("net/tcp/testing/fuzz/corpus/stack")) {
    ++files;
    std::ifstream file(entry.path(), std::ios::binary);
    ASSERT_TRUE(file.is_open()) << entry.path();
    const std::string input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    RunStackProgram(reinterpret_cast<const uint8_t*>(input.data()), input.size(), &log);
  }
  EXPECT_GT(files, 0);
  EXPECT_EQ(log.seen(), TransitionLog::all());
  EXPECT_EQ(absl::StrJoin(log.Missing(), "\n"), "");
}

TEST(Transitions, WhatTheRfcForbidsIsRefused) {
  EXPECT_TRUE(IsLegal(TupleState::kEstablished, Cause::kRstGood, TupleState::kClosed));
  EXPECT_TRUE(IsLegal(TupleState::kSynReceived, Cause::kRstGood, TupleState::kListen)) << "of a listener";
  EXPECT_TRUE(IsLegal(TupleState::kFinWait1, Cause::kFinAckOfFin, TupleState::kTimeWait));
  EXPECT_FALSE(IsLegal(TupleState::kEstablished, Cause::kRstOther, TupleState::kClosed));
  EXPECT_FALSE(IsLegal(TupleState::kEstablished, Cause::kRstGood, TupleState::kEstablished));
  EXPECT_FALSE(IsLegal(TupleState::kTimeWait, Cause::kRstOther, TupleState::kClosed));
  EXPECT_FALSE(IsLegal(TupleState::kEstablished, Cause::kAck, TupleState::kCloseWait)) << "no FIN came";
  EXPECT_FALSE(IsLegal(TupleState::kFinWait1, Cause::kAck, TupleState::kFinWait2));
  EXPECT_FALSE(IsLegal(TupleState::kListen, Cause::kAck, TupleState::kSynReceived));
  EXPECT_FALSE(IsLegal(TupleState::kClosed, Cause::kSyn, TupleState::kSynReceived));
  EXPECT_FALSE(IsLegal(TupleState::kClosed, Cause::kSyn, TupleState::kListen));
}

TEST(TransitionsDeathTest, AnIllegalOneEndsTheProcess) {
  TransitionLog log;
  log.Note(TupleState::kListen, Cause::kSyn, TupleState::kSynReceived, [] { return ""; });
  EXPECT_EQ(log.seen(), 1u);
  EXPECT_DEATH(log.Note(TupleState::kEstablished, Cause::kRstOther, TupleState::kClosed, [] { return "here"; }),
               "no such transition: ESTABLISHED --other RST--> CLOSED; here");
}

}  // namespace
}  // namespace luna::tcp::testing
