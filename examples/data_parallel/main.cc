// SPDX-License-Identifier: Apache-2.0
// Trains a small classifier on several ranks, in bfloat16 with FP32 master weights, and ends with the
// same weights, bit for bit, on any number of ranks and however often it was interrupted.
//
//   mpirun -np 4 data_parallel run.safetensors        # kill it, start it again with -np 2: it goes on
//   mpirun -np 2 data_parallel run.safetensors 130    # as far as step 130; 300 by default
//
// Prints the loss every 50 steps, when it also writes a checkpoint, and at the end a digest of the
// weights.
#include <halfway/core/matrix.h>
#include <halfway/interop/mpi.h>
#include <halfway/io/checkpoint.h>
#include <halfway/ops/activation.h>
#include <halfway/ops/activation_backward.h>
#include <halfway/ops/convert.h>
#include <halfway/ops/gemm.h>
#include <halfway/ops/softmax_cross_entropy.h>
#include <halfway/training/loss_scaler.h>
#include <halfway/training/optimizer.h>
#include <halfway/types/bfloat16.h>
#include <halfway/types/philox.h>
#include <mpi.h>

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace {

using halfway::bfloat16;

constexpr std::size_t inputs = 64, hidden = 128, classes = 10;
constexpr std::size_t shards = 8, rows = 16;  // a batch is 8 shards of 16 points

float uniform(std::uint64_t seed, std::uint64_t i) {
  return static_cast<float>(halfway::random_word(seed, i) >> 8) * 0x1p-23f - 1.0f;
}

// All parameters in one buffer: w1, b1, w2, b2.
struct network {
  static constexpr std::size_t w1 = 0, b1 = w1 + inputs * hidden, w2 = b1 + hidden,
                               b2 = w2 + hidden * classes, size = b2 + classes;

  std::vector<float> master = std::vector<float>(size);
  std::vector<bfloat16> model = std::vector<bfloat16>(size);

  network() {
    for (std::size_t i = w1; i < b1; ++i) master[i] = 0.2f * uniform(1, i);
    for (std::size_t i = w2; i < b2; ++i) master[i] = 0.2f * uniform(2, i);
    halfway::convert(master, model);
  }

  // The mean loss of `rows` points from `first` on, and its gradient times `scale`.
  float backward(std::uint64_t first, float scale, std::span<float> gradient) const {
    halfway::matrix<bfloat16> x(rows, inputs), h(rows, hidden), d_logits(rows, classes),
        d_h(rows, hidden), ones(1, rows);
    halfway::matrix<float> logits(rows, classes);
    std::vector<std::int32_t> labels(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::uint64_t point = first + i;
      labels[i] = static_cast<std::int32_t>(point % classes);
      ones(0, i) = bfloat16(1.0f);
      for (std::size_t j = 0; j < inputs; ++j) {
        x(i, j) = bfloat16(uniform(10 + point % classes, j) + 2 * uniform(3, point * inputs + j));
      }
    }
    const halfway::matrix_view<const bfloat16> first_layer(&model[w1], inputs, hidden),
        second_layer(&model[w2], hidden, classes);
    const std::span<const float> bias = master;
    halfway::gemm(x, first_layer, h, {.bias = bias.subspan(b1, hidden)});
    halfway::relu(h.elements(), h.elements());
    halfway::gemm(h, second_layer, logits, {.bias = bias.subspan(b2, classes)});
    const float loss = halfway::softmax_cross_entropy(logits, labels, d_logits, scale);
    const auto part = [&](std::size_t at, std::size_t m, std::size_t n) {
      return halfway::matrix_view<float>(&gradient[at], m, n);
    };
    halfway::gemm(ones, d_logits, part(b2, 1, classes));
    halfway::gemm(h.view().transposed(), d_logits, part(w2, hidden, classes));
    halfway::gemm(d_logits, second_layer.transposed(), d_h);
    halfway::relu_backward(h.elements(), d_h.elements(), d_h.elements());
    halfway::gemm(ones, d_h, part(b1, 1, hidden));
    halfway::gemm(x.view().transposed(), d_h, part(w1, inputs, hidden));
    return loss;
  }
};

struct run {
  network net;
  halfway::adam_state state;
  halfway::loss_scaler scaler;
  halfway::training_progress progress;

  void save(const std::string& path) const {
    halfway::checkpoint_writer out;
    out.weights("parameters", net.master, {network::size});
    out.optimizer("parameters", state);
    out.scaler(scaler);
    out.progress(progress);
    out.write(path);
  }
  void load(const std::string& path) {
    const halfway::checkpoint_reader in(path);
    in.weights("parameters", net.master);
    halfway::convert(net.master, net.model);
    in.optimizer("parameters", state);
    scaler = in.scaler();
    progress = in.progress();
  }
};

void train(const std::string& path, std::uint64_t steps) {
  halfway::mpi::communicator world(MPI_COMM_WORLD, {.timeout = std::chrono::seconds(60)});
  run r;
  if (std::filesystem::exists(path)) r.load(path);  // every rank reads the same file
  halfway::mpi::check_identical(world, r.net.master, "weights");
  if (world.rank() == 0)
    std::printf("%d ranks, from step %d\n", world.size(), static_cast<int>(r.progress.step));

  const halfway::adam optimizer({.learning_rate = 2e-3});
  // One element more, for the loss.
  halfway::mpi::shard_reducer reducer(world, network::size + 1,
                                      {.shards = shards, .factor = 1.0f / shards});
  std::vector<float> sums(network::size + 1);
  const std::span<float> gradient = std::span(sums).first(network::size);
  while (r.progress.step < steps) {
    for (const std::size_t s : reducer.own_shards()) {
      sums.back() =
          r.net.backward((r.progress.step * shards + s) * rows, r.scaler.scale(), gradient);
      reducer.add(sums);
    }
    reducer.finish(sums);  // the same bits on every rank, and for every number of ranks
    r.scaler.unscale(gradient);
    if (r.scaler.should_step()) optimizer.step(r.state, r.net.master, gradient, r.net.model);
    r.scaler.update();
    ++r.progress.step;
    if (r.progress.step % 50 == 0 && world.rank() == 0) {
      std::printf("step %3d  loss %.4f\n", static_cast<int>(r.progress.step),
                  static_cast<double>(sums.back()));
      r.save(path);
    }
  }
  halfway::mpi::check_identical(world, r.net.master, "weights");
  std::uint32_t digest = 0;
  for (const float w : r.net.master) digest = digest * 31 + std::bit_cast<std::uint32_t>(w);
  if (world.rank() == 0) std::printf("digest of the weights %08x\n", static_cast<unsigned>(digest));
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  if (argc != 2 && argc != 3) {
    std::fputs("usage: mpirun -np <ranks> data_parallel <checkpoint> [<steps>]\n", stderr);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  try {
    train(argv[1], argc == 3 ? std::stoull(argv[2]) : 300);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    MPI_Abort(MPI_COMM_WORLD, 1);  // MPI_Finalize would wait for a rank that is lost
  }
  MPI_Finalize();
}
