# SPDX-License-Identifier: Apache-2.0
# What Doxygen reads of a header: the comment at its top as that of the file, and examples, tables and formulas, which are
# indented by three blanks, by as many as Markdown wants of them. Line numbers stay.
NR == 1 { top = 1; print "/// @file"; next }
!/^\/\// { top = 0 }
top { sub(/^\/\//, "///") }
match($0, /^ *\/\/\/   +[^ ]/) {
  if (set && substr($0, RLENGTH) !~ /^([-*] |[0-9]+\. )/) sub(/\/\/\/ /, "///   ")
  else set = 0
  print
  next
}
{ set = /^ *\/\/\/$/; print }
