#include "luna/flow/bifurcation/xdp/testing/in_child.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace luna::bifurcation::xdp {
namespace {

TEST(InChildTest, SaysHowTheChildEnded) {
  const int returned = InChild([] {});
  EXPECT_TRUE(WIFEXITED(returned));
  EXPECT_EQ(WEXITSTATUS(returned), 0);
  const int exited = InChild([] { _exit(7); });
  EXPECT_TRUE(WIFEXITED(exited));
  EXPECT_EQ(WEXITSTATUS(exited), 7);
  const int killed = InChild([] { kill(getpid(), SIGKILL); });
  EXPECT_TRUE(WIFSIGNALED(killed));
  EXPECT_EQ(WTERMSIG(killed), SIGKILL);
}

TEST(InChildTest, WhatTheBodyChangesStaysInTheChild) {
  int value = 1;
  const int status = InChild([&value] { value = 2; });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(value, 1);
}

}  // namespace
}  // namespace luna::bifurcation::xdp
