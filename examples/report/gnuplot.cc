// SPDX-License-Identifier: Apache-2.0
#include "gnuplot.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace report {

std::string gnuplot_style() {
  return "set terminal svg size 560,320 dynamic font 'sans-serif,13' linewidth 1\n"
         "set border 3 lc rgb '#999999'\n"
         "set tics nomirror out scale 0.6 textcolor rgb '#555555'\n"
         "set xlabel textcolor rgb '#555555'\n"
         "set ylabel textcolor rgb '#555555'\n"
         "set grid ytics lt 1 lw 0.6 lc rgb '#e3e3e3'\n"
         "set key outside top left horizontal Left reverse samplen 1 width -2 maxrows 1 textcolor "
         "rgb '#333333' noenhanced\n"
         "set lmargin 9\n";
}

std::string colour(std::size_t curve) {
  constexpr std::array<const char*, 8> colours = {"#333333", "#d1495b", "#2a6fbb", "#2e9e6b",
                                                  "#8a5fbf", "#c98a1b", "#1f9aa8", "#a0522d"};
  return std::string("rgb '") + colours[curve % colours.size()] + "'";
}

std::string number(double value) {
  if (!std::isfinite(value)) return "NaN";
  std::ostringstream text;
  text << value;
  return text.str();
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("''") : std::string(1, c);
  return result + "'";
}

namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Runs `program -d file` in `folder` with its messages in `messages`; whether it ran and returned
// 0.
bool run_in(const std::string& folder, const std::string& program, const std::string& file,
            const std::string& messages) {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    const bool ready = chdir(folder.c_str()) == 0;
    const int out = open(messages.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (ready && out >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
      execlp(program.c_str(), program.c_str(), "-d", file.c_str(), nullptr);  // -d: no ~/.gnuplot
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// The <svg> element of a file, without the XML declaration and DOCTYPE that HTML cannot hold.
std::string svg_element(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  const std::size_t first = text.find("<svg");
  const std::size_t last = text.rfind("</svg>");
  return first == std::string::npos || last == std::string::npos
             ? std::string()
             : text.substr(first, last + 6 - first);
}

}  // namespace

std::vector<figure> draw(const std::string& script, std::vector<figure> figures,
                         const std::string& gnuplot, const std::string& folder,
                         std::string& problem) {
  namespace fs = std::filesystem;
  const fs::path root(folder);
  std::ofstream(root / "plots.gp") << script;
  const bool drawn = run_in(folder, gnuplot, "plots.gp", "plots.log");
  std::error_code ignored;
  for (figure& f : figures) {
    const fs::path file = root / (f.name + ".svg");
    if (drawn) f.svg = svg_element(file);
    fs::remove(file, ignored);
  }
  if (drawn) {
    std::erase_if(figures, [](const figure& f) { return f.svg.empty(); });
    fs::remove(root / "plots.gp", ignored);
    fs::remove(root / "plots.log", ignored);
  } else {
    problem = "gnuplot (\"" + gnuplot + "\") is missing or failed, so there are no figures. " +
              read_text(root / "plots.log");
  }
  return figures;
}

}  // namespace report
