// SPDX-License-Identifier: Apache-2.0
#include "mixed_precision_training/progress.h"

#include <gtest/gtest.h>

#include <sstream>

namespace {

void run_two_epochs(demo::progress& display) {
  display.begin("FP32", 2, 4);
  for (const std::size_t epoch : {0u, 1u}) {
    display.step(2 * epoch + 1, epoch, 3.0f);
    display.step(2 * epoch + 2, epoch, 2.0f);
    display.epoch_done(epoch);
  }
  display.end("");
}

TEST(Progress, ALineAnEpochWithoutTerminal) {
  std::ostringstream out;
  out << 0.125;  // the stream's own format must survive
  demo::progress display(out, false);
  run_two_epochs(display);
  out << 0.125;
  const std::string text = out.str();
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_NE(text.find("epoch 1/2  loss 2.5000"), std::string::npos) << text;
  EXPECT_NE(text.find("epoch 2/2  loss 2.5000"), std::string::npos) << text;
  EXPECT_NE(text.find("steps/s  0:00 left"), std::string::npos) << text;
  EXPECT_EQ(text.substr(text.size() - 5), "0.125");
}

TEST(Progress, RedrawsOneLineOnATerminal) {
  std::ostringstream out;
  demo::progress display(out, true);
  run_two_epochs(display);
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(text.front(), '\r');
  EXPECT_NE(text.find("[============>           ] epoch 1/2"), std::string::npos) << text;
  EXPECT_NE(text.find("[========================] epoch 2/2"), std::string::npos) << text;
}

TEST(Progress, SaysWhyATrainingStopped) {
  std::ostringstream out;
  demo::progress display(out, false);
  display.begin("FP16", 1, 4);
  display.step(3, 0, 1.0f);
  display.end("too many overflows");
  EXPECT_NE(out.str().find("stopped after step 3 of 4: too many overflows"), std::string::npos);
}

}  // namespace
