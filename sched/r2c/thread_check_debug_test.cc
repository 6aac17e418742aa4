#include <thread>

#include "gtest/gtest.h"
#include "luna/sched/r2c/thread_check.h"

namespace luna::r2c {
namespace {

TEST(ThreadCheck, TheFirstThreadIsTheOne) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ThreadCheck check;
  std::thread([&check] { check.Check("Early"); }).join();  // nobody has bound it yet
  check.Bind();
  check.Bind();
  check.Check("Mine");
  EXPECT_DEATH(std::thread([&check] { check.Check("Worker::Arm"); }).join(),
               "Worker::Arm is called from another thread .*mailbox");
  EXPECT_DEATH(std::thread([&check] { check.Bind(); }).join(), "the loop is called from another thread");
}

}  // namespace
}  // namespace luna::r2c
