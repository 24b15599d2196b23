# SPDX-License-Identifier: Apache-2.0
# What Doxygen reads of a header. Line numbers stay.
# - The header is a module of its folder's; the comment at its top is the module's text, and what its namespaces declare is
#   in it.
# - Namespaces detail are left out, but for classes after "// In the reference".
# - A header that a comment names, "ops/gemm.h", is a link to its module.
# - Examples, tables and formulas, which are indented by three blanks, have as many as Markdown wants of them.
function module_of(header) {
  sub(/\.h$/, "", header)
  gsub(/\//, "_", header)
  return "header_" header
}
function with_links(text,    done, header) {
  while (match(text, /(types|core|telemetry|ops|fidelity|precision|training|nn|quantization|io|interop)\/[a-z0-9_]+\.h/)) {
    header = substr(text, RSTART, RLENGTH)
    done = done substr(text, 1, RSTART - 1)
    done = done (done ~ /[A-Za-z0-9_\/`]$/ ? header : "@ref " module_of(header) " \"" header "\"")
    text = substr(text, RSTART + RLENGTH)
  }
  return done text
}
NR == 1 {
  header = FILENAME
  sub(/^.*\/include\/halfway\//, "", header)
  module = module_of(header)
  top = 1
  print "/// @addtogroup " module
  next
}
!/^\/\// { top = 0 }
top { sub(/^\/\//, "///") }

{ printf "%s", (open ? "@{ */ " : ""); open = 0 }
/^namespace .*detail \{$/ { print $0 " /** @cond detail */"; next }
/^\}  \/\/ namespace .*detail$/ { print "/** @endcond */ " $0; next }
/^\/\/ In the reference/ { shown = 1; print "/** @endcond */"; next }
shown && /^\};$/ { shown = 0; print $0 " /** @cond detail */"; next }
/^namespace (halfway|Eigen)[a-z:]* \{$/ { open = 1; print $0 " /** @addtogroup " module; next }
/^\}  \/\/ namespace (halfway|Eigen)[a-z:]*$/ { print "/** @} */ " $0; next }

# Indented, that is: an example unless it continues an item of a list.
match($0, /^ *\/\/\/   +[^ ]/) {
  if (set && substr($0, RLENGTH) !~ /^([-*] |[0-9]+\. )/) sub(/\/\/\/ /, "///   ")
  else set = 0
  print (set ? $0 : with_links($0))
  next
}
{ set = /^ *\/\/\/$/; print (/^ *\/\/\/ / ? with_links($0) : $0) }
