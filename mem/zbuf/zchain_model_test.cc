// Randomised: prints its seed; LUNA_TEST_SEED=... replays it.

#include "luna/mem/zbuf/zchain_model.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/model_seed.h"

namespace luna::zbuf {
namespace {

TEST(ZChainModel, RandomOperationsAgreeWithStrings) {
  std::mt19937_64 random(ModelSeed());
  size_t most_slices = 0;
  for (int run = 0; run < 20; ++run) {
    ZChainModel model;
    for (int i = 0; i < 2000; ++i) {
      auto what = static_cast<uint8_t>(random());
      // Some runs mostly append, so that chains leave their inline slots and grow.
      if (run % 4 == 0 && random() % 2 == 0) what = random() % 2 == 0 ? 0 : 9;
      model.Step(what, static_cast<uint32_t>(random()));
    }
    model.CheckAll();
    most_slices = std::max(most_slices, model.most_slices());
  }
  EXPECT_GT(most_slices, 8u);
}

}  // namespace
}  // namespace luna::zbuf
