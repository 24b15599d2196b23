// SPDX-License-Identifier: Apache-2.0
// Serves the metrics of a working model on 127.0.0.1, for Prometheus and OpenTelemetry, and a trace
// for Perfetto; until SIGINT or SIGTERM.
//
//   metrics_server [port]        0, the default: a free one; the first line says which
#include <halfway/telemetry/metrics_json.h>
#include <halfway/telemetry/prometheus.h>
#include <halfway/telemetry/registry.h>
#include <halfway/telemetry/trace.h>
#include <httplib.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstring>
#include <iostream>
#include <string>
#include <thread>

#include "service.h"

namespace {

using httplib::Request;
using httplib::Response;

bool parse_port(const char* text, int& port) {
  const char* const end = text + std::strlen(text);
  const auto [stop, problem] = std::from_chars(text, end, port);
  return problem == std::errc() && stop == end && port >= 0 && port <= 65535;
}

}  // namespace

int main(int argc, char** argv) {
  int port = 0;
  if (argc > 2 || (argc == 2 && !parse_port(argv[1], port))) {
    std::cerr << "usage: metrics_server [port]\n";
    return 2;
  }
  // All threads leave these to sigwait below.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);

  halfway::telemetry::registry metrics;
  halfway::telemetry::trace_recorder recorder(4096);
  halfway::telemetry::set_trace_recorder(&recorder);

  httplib::Server server;
  server.Get("/metrics", [&](const Request&, Response& response) {
    response.set_content(to_prometheus_text(metrics), halfway::telemetry::prometheus_content_type);
  });
  server.Get("/metrics.json", [&](const Request&, Response& response) {
    response.set_content(to_otlp_json(metrics, {.service = "metrics_server"}), "application/json");
  });
  server.Get("/trace.json", [&](const Request&, Response& response) {
    response.set_content(to_chrome_trace(recorder), "application/json");
  });
  if (port == 0) {
    port = server.bind_to_any_port("127.0.0.1");
  } else if (!server.bind_to_port("127.0.0.1", port)) {
    port = -1;
  }
  if (port < 0) {
    std::cerr << "metrics_server: can't listen on 127.0.0.1\n";
    return 1;
  }
  std::cout << "http://127.0.0.1:" << port << "/metrics" << std::endl;

  std::atomic<bool> running{true};
  std::thread worker([&] {
    service model(metrics);
    while (running) {
      model.infer();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  std::thread listener([&] { server.listen_after_bind(); });
  int signal = 0;
  sigwait(&ends, &signal);
  while (!server.is_running()) std::this_thread::yield();
  server.stop();
  listener.join();
  running = false;
  worker.join();
  halfway::telemetry::set_trace_recorder(nullptr);
}
