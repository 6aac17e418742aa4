#include "luna/net/tcp/send_queue.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/test_slab.h"

namespace luna::tcp {
namespace {

TEST(SendQueue, RangesShareAndRetransmissionsGoBack) {
  zbuf::TestSlab memory;
  SendQueue queue;
  queue.Append(memory.Chain("hello"));
  queue.Append(memory.ChainOfSlices("wonderful", 3));
  queue.Append(memory.Chain("world"));
  EXPECT_EQ(queue.bytes(), 19u);
  EXPECT_EQ(queue.slice_count(), 5u);
  EXPECT_EQ(queue.Range(0, 4).ToString(), "hell");
  EXPECT_EQ(queue.Range(4, 8).ToString(), "owonderf");
  EXPECT_EQ(queue.Range(12, 7).ToString(), "ulworld");
  EXPECT_EQ(queue.Range(0, 19).ToString(), "hellowonderfulworld");  // back to the front
  EXPECT_EQ(queue.Range(3, 0).bytes(), 0u);
  EXPECT_EQ(memory.outstanding(), 5u);  // nothing was copied
}

TEST(SendQueue, ReleaseGivesReferencesBackAndKeepsTheRanges) {
  zbuf::TestSlab memory;
  SendQueue queue;
  queue.Append(memory.ChainOfSlices("abcdefghij", 2));
  zbuf::ZChain in_flight = queue.Range(3, 4);
  queue.Release(5);
  EXPECT_EQ(queue.bytes(), 5u);
  EXPECT_EQ(queue.Range(0, 5).ToString(), "fghij");
  EXPECT_EQ(in_flight.ToString(), "defg");
  EXPECT_EQ(memory.outstanding(), 4u);  // "cd" is still held by the range
  queue.Release(5);
  EXPECT_TRUE(queue.empty());
  in_flight.Clear();
  EXPECT_EQ(memory.outstanding(), 0u);
}

TEST(SendQueue, AgreesWithAString) {
  const char* replay = std::getenv("LUNA_TEST_SEED");
  const uint64_t seed = replay != nullptr ? std::strtoull(replay, nullptr, 0) : 77;
  SCOPED_TRACE("LUNA_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  zbuf::TestSlab memory;
  SendQueue queue;
  std::string model;
  size_t sent = 0;
  for (int step = 0; step < 30000; ++step) {
    switch (random() % 8) {
      case 0: {
        std::string more(1 + random() % 60, '\0');
        for (char& c : more) c = static_cast<char>(random());
        if (model.size() < 4000) {
          queue.Append(memory.ChainOfSlices(more, 1 + random() % 20));
          model += more;
        }
        break;
      }
      case 1: {
        const size_t n = random() % (sent + 1);
        queue.Release(static_cast<uint32_t>(n));
        model.erase(0, n);
        sent -= n;
        break;
      }
      case 2:
        sent = random() % 4 == 0 ? 0 : sent;  // a time-out
        break;
      default: {
        const size_t n = std::min<size_t>(random() % 50, model.size() - sent);
        ASSERT_EQ(queue.Range(static_cast<uint32_t>(sent), static_cast<uint32_t>(n)).ToString(), model.substr(sent, n));
        if (random() % 4 == 0 && !model.empty()) {  // a retransmission of the front
          ASSERT_EQ(queue.Range(0, static_cast<uint32_t>(std::min<size_t>(9, model.size()))).ToString(),
                    model.substr(0, 9));
        }
        sent += n;
      }
    }
    ASSERT_EQ(queue.bytes(), model.size());
  }
  queue.Clear();
  EXPECT_EQ(queue.bytes(), 0u);
}

}  // namespace
}  // namespace luna::tcp
