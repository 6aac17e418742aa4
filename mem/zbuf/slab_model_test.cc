// Randomised: prints its seed; LUNA_TEST_SEED=... replays it.

#include "luna/mem/zbuf/slab_model.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"
#include "luna/mem/zbuf/testing/model_seed.h"

namespace luna::zbuf {
namespace {

// In phases that grow, hold and shrink, so that exhaustion, zone return and class change all happen.
TEST(SlabModel, RandomOperationsAgreeWithTheModel) {
  std::mt19937_64 random(ModelSeed());
  for (size_t keep = 0; keep < 3; ++keep) {
    SlabModel model(keep);
    size_t most = 0;
    for (int phase = 0; phase < 12; ++phase) {
      const unsigned bias = phase % 3;
      for (int i = 0; i < 1500; ++i) {
        auto what = static_cast<uint8_t>(random());
        if (bias == 0 && random() % 2 == 0) what = 4;
        if (bias == 2 && random() % 2 == 0) what = 12;
        model.Step(what, static_cast<uint32_t>(random()));
        most = std::max(most, model.live());
      }
      model.CheckAll();
    }
    EXPECT_GT(most, 50u);
    EXPECT_GT(model.slab().Stats().exhausted(), 0u) << "the run never met exhaustion";
    EXPECT_GT(model.slab().Stats().returns_drained, 0u);
    EXPECT_GT(model.slab().Stats().too_large, 0u);
  }
}

}  // namespace
}  // namespace luna::zbuf
