#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: debian_highway.sh <folder>
#
# Downloads the source package `highway` of a newer Debian release into <folder>. Where it comes from is derived from the
# machine's own package sources: the same archive, a newer release, deb-src instead of deb. The machine's apt set-up stays
# as it is, and apt verifies the signatures as for any package.
# Exit status: 0 downloaded, 1 the download failed, 2 no Debian whose sources can be read so.
set -eu
folder=$1
. /etc/os-release
[ "${ID-}" = debian ] && [ -n "${VERSION_CODENAME-}" ] || exit 2

# Both print the entries that this machine has for its own release, as deb-src entries of release $1.
one_line_entries() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -nE \
    "s/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]]+($VERSION_CODENAME|stable)[[:space:]]+main.*/deb-src \1\2 $1 main/p"
}
deb822_entries() {
  cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v RS= -v release="$VERSION_CODENAME" -v newer="$1" '
    function value(field) { return match($0, "(^|\n)" field ":[^\n]*") ? substr($0, RSTART, RLENGTH) " " : "" }
    value("Types") ~ /[ \t]deb[ \t]/ && value("Suites") ~ "[ \t](" release "|stable)[ \t]" &&
    value("Components") ~ /[ \t]main[ \t]/ && value("Enabled") !~ /[ \t]no[ \t]/ {
      gsub(/(^|\n)#[^\n]*/, "")
      sub(/Types:[^\n]*/, "Types: deb-src")
      sub(/Suites:[^\n]*/, "Suites: " newer)
      sub(/Components:[^\n]*/, "Components: main")
      print $0 "\n"
    }'
}

mkdir -p "$folder"
cd "$folder"
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
run_apt() {
  apt-get -qq -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Sandbox::User=root \
    -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/parts" \
    -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" "$@"
}
for release in forky trixie; do # trixie: for a machine whose keyring is older than forky
  one_line_entries $release > "$apt/parts/newer.list"
  deb822_entries $release > "$apt/parts/newer.sources"
  [ -s "$apt/parts/newer.list" ] || [ -s "$apt/parts/newer.sources" ] || exit 2
  run_apt update || true # a third party's archive may lack this release; what counts is the next line
  if run_apt source --download-only highway; then
    exit 0
  fi
done
exit 1
