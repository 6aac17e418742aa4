#include "luna/net/tcp/testing/stack_tester.h"

#include <string>

#include "gtest/gtest.h"

namespace luna::tcp::testing {
namespace {

TEST(StackTester, TellsAnEchoInAFewLines) {
  StackTester t;
  t.Listen();
  t.In({.flags = kSyn});
  EXPECT_EQ(t.Out(), "SA 0+0 a1");
  t.In({});
  EXPECT_EQ(t.TakeEvents(), EventBits::kAccepted);
  t.Data("hello");
  EXPECT_EQ(t.TakeEvents(), EventBits::kReadable);
  EXPECT_EQ(t.Read(), "hello");
  t.Send("world!");
  EXPECT_EQ(t.Out(), "A 1+0 a6; PA 1+6 a6");
  EXPECT_EQ(t.last().payload, "world!");
  t.In({});
  EXPECT_EQ(t.connection()->sender().queue().bytes(), 0u);
}

TEST(StackTester, ReachesEveryState) {
  for (State state : {State::kSynSent, State::kSynReceived, State::kEstablished, State::kFinWait1, State::kFinWait2,
                      State::kCloseWait, State::kClosing, State::kLastAck}) {
    StackTester t;
    EXPECT_EQ(t.Reach(state).state(), state);
  }
}

TEST(StackTester, TimersFireAtTheirOwnTimes) {
  StackTester t;
  t.Connect();
  t.TakeOut();
  t.Run(Duration::Milliseconds(350));
  const auto out = t.TakeOut();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ((out[0].at - StackTester::kStart).milliseconds(), 100);
  EXPECT_EQ((out[1].at - StackTester::kStart).milliseconds(), 300);
  EXPECT_EQ((t.now() - StackTester::kStart).milliseconds(), 350);
}

}  // namespace
}  // namespace luna::tcp::testing
