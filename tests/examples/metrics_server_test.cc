// SPDX-License-Identifier: Apache-2.0
// The example's pages, and a real Prometheus that scrapes them.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "examples/background_program.h"
#include "examples/run_command.h"
#include "support/guide.h"
#include "support/temporary_folder.h"
#include "telemetry/promtool.h"

namespace halfway::testing {
namespace {

using nlohmann::json;

// The example, on a port that it chooses.
class example {
 public:
  explicit example(const temporary_folder& folder)
      : program_({METRICS_SERVER_PROGRAM}, folder.file("server_errors.txt")) {
    const std::string line = program_.first_line();  // http://127.0.0.1:1234/metrics
    EXPECT_TRUE(line.starts_with("http://127.0.0.1:") && line.ends_with("/metrics")) << line;
    port = std::stoi(line.substr(std::string("http://127.0.0.1:").size()));
  }
  int stop() { return program_.stop(); }

  int port = 0;

 private:
  background_program program_;
};

std::string get(int port, const std::string& path, const std::string& type) {
  httplib::Client client("127.0.0.1", port);
  const auto result = client.Get(path);
  if (!result || result->status != 200) return "";
  EXPECT_EQ(result->get_header_value("Content-Type"), type) << path;
  return result->body;
}

// A port that was free a moment ago.
int free_port() {
  const int s = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(s, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(s, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(s);
  return ntohs(address.sin_port);
}

// Asks every tenth of a second, for a minute.
bool comes_true(const std::function<bool()>& condition) {
  for (int i = 0; i != 600; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

TEST(MetricsServer, ServesItsPagesAndEndsWhenAsked) {
  const temporary_folder folder;
  example server(folder);
  std::string page;
  ASSERT_TRUE(comes_true([&] {
    page = get(server.port, "/metrics", "text/plain; version=0.0.4; charset=utf-8");
    return page.find("\nhalfway_compared_rows 128\n") != std::string::npos;
  })) << page;
  EXPECT_NE(page.find("\nhalfway_non_finite_values_total{layer=\"classifier\"} 0\n"),
            std::string::npos);
  const json metrics = json::parse(get(server.port, "/metrics.json", "application/json"));
  EXPECT_FALSE(metrics.at("resourceMetrics").at(0).at("scopeMetrics").at(0).at("metrics").empty());
  const json trace = json::parse(get(server.port, "/trace.json", "application/json"));
  const json& span = trace.at("traceEvents").at(1);
  EXPECT_EQ(span.at("name"), "gemm");
  EXPECT_EQ(span.at("args").at("shape"), "128x10x256");
  EXPECT_EQ(span.at("args").at("precision"), "bfloat16");
  EXPECT_EQ(server.stop(), 0);
}

TEST(MetricsServer, RefusesPorts) {
  for (const char* port : {"-1", "65536", "80x", ""}) {
    const auto run = run_command({METRICS_SERVER_PROGRAM, port});
    EXPECT_EQ(run.status, 2) << port;
    EXPECT_EQ(run.output, "usage: metrics_server [port]\n");
  }
}

TEST(MetricsServer, PromtoolAcceptsWhatIsServed) {
  if (!promtool().exists()) GTEST_SKIP() << promtool::missing;
  std::string page;
  {
    const temporary_folder folder;
    const example server(folder);
    ASSERT_TRUE(comes_true([&] {
      page = get(server.port, "/metrics", "text/plain; version=0.0.4; charset=utf-8");
      return !page.empty();
    }));
  }
  EXPECT_EQ(promtool().check_metrics(page), "");
}

// With docs/observability's rules loaded.
TEST(MetricsServer, IsScrapedByPrometheus) {
  if (std::string(HALFWAY_PROMETHEUS).find("NOTFOUND") != std::string::npos) {
    GTEST_SKIP() << "prometheus is missing (Debian's package prometheus)";
  }
  const temporary_folder folder;
  const example server(folder);
  std::ofstream(folder.file("prometheus.yml"))
      << "global: {scrape_interval: 500ms, evaluation_interval: 500ms}\n"
      << "rule_files: [" HALFWAY_OBSERVABILITY "/alerts.yml]\n"
      << "scrape_configs:\n"
      << "  - {job_name: model, static_configs: [{targets: ['127.0.0.1:" << server.port
      << "']}]}\n";
  const int port = free_port();
  background_program prometheus(
      {HALFWAY_PROMETHEUS, "--config.file=" + folder.file("prometheus.yml"),
       "--storage.tsdb.path=" + folder.file("data"),
       "--web.listen-address=127.0.0.1:" + std::to_string(port)},
      folder.file("prometheus_errors.txt"));

  const auto ask = [port](const std::string& query) -> json {
    const std::string body =
        get(port, "/api/v1/query?query=" + httplib::detail::encode_query_param(query),
            "application/json");
    return body.empty() ? json::array() : json::parse(body).at("data").at("result");
  };
  ASSERT_TRUE(comes_true([&] {
    return !ask("rate(halfway_inference_seconds_count[5s]) > 0").empty() &&
           !ask("halfway_compared_rows == 128").empty();
  })) << text_of_file(folder.file("prometheus_errors.txt"));
  EXPECT_EQ(ask("up{job=\"model\"}").at(0).at("value").at(1), "1");

  // Each family of the page is there, with its type.
  const json known = json::parse(get(port, "/api/v1/metadata", "application/json")).at("data");
  for (const auto& [name, type] : {std::pair("halfway_inference_seconds", "histogram"),
                                   std::pair("halfway_non_finite_values_total", "counter"),
                                   std::pair("halfway_layer_sqnr_db", "gauge")}) {
    ASSERT_TRUE(known.contains(name)) << known;
    EXPECT_EQ(known.at(name).at(0).at("type"), type);
  }
  // The rules have been evaluated, and none fails.
  json groups;
  ASSERT_TRUE(comes_true([&] {
    groups = json::parse(get(port, "/api/v1/rules", "application/json")).at("data").at("groups");
    for (const json& group : groups) {
      for (const json& rule : group.at("rules")) {
        if (rule.at("health") == "unknown") return false;
      }
    }
    return true;
  }));
  EXPECT_EQ(groups.size(), 7u);
  for (const json& group : groups) {
    for (const json& rule : group.at("rules")) EXPECT_EQ(rule.at("health"), "ok") << rule;
  }
}

}  // namespace
}  // namespace halfway::testing
