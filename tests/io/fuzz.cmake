# SPDX-License-Identifier: Apache-2.0
# io_fuzz.cc, built by a clang that has libFuzzer, whichever compiler builds the rest:
#
#   test io.fuzz          a minute from tests/io/corpus; SKIPPED, with what is missing, where there is no such clang
#   target io_fuzz        ten minutes of the same
#
# What a run finds that is new stays in the build tree and is where the next one begins.

# halfway_find_fuzzer(): sets HALFWAY_FUZZ_CXX to a clang++ whose -fsanitize=fuzzer links, or to NOTFOUND.
function(halfway_find_fuzzer)
  if(HALFWAY_FUZZ_CXX)
    return()
  endif()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/empty_fuzz.cc)
  file(WRITE ${source} "extern \"C\" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n")
  foreach(name IN ITEMS clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14)
    find_program(compiler ${name} NO_CACHE)
    if(compiler)
      execute_process(COMMAND ${compiler} -fsanitize=fuzzer,address,undefined ${source} -o ${source}.out
        RESULT_VARIABLE code OUTPUT_QUIET ERROR_QUIET)
      if(code EQUAL 0)
        set(HALFWAY_FUZZ_CXX ${compiler} CACHE FILEPATH "A clang++ with libFuzzer, for the fuzz tests" FORCE)
        return()
      endif()
    endif()
    unset(compiler)
  endforeach()
endfunction()

halfway_find_fuzzer()
if(NOT HALFWAY_FUZZ_CXX AND HALFWAY_USE_APT AND NOT DEFINED CACHE{HALFWAY_FUZZER_OFFERED})
  set(HALFWAY_FUZZER_OFFERED ON CACHE INTERNAL "apt was asked for clang") # once is enough
  halfway_apt_offer(clang "clang, to fuzz the readers of files")
  halfway_apt_offer(libclang-rt-dev "clang's libFuzzer")
  halfway_find_fuzzer()
endif()

if(NOT HALFWAY_FUZZ_CXX)
  set(problem "SKIPPED: no clang++ with libFuzzer (Debian: clang, libclang-rt-dev)")
  message(STATUS "Not tested: fuzzing the readers of files. ${problem}")
  add_test(NAME io.fuzz COMMAND ${CMAKE_COMMAND} -E echo ${problem})
  set_tests_properties(io.fuzz PROPERTIES LABELS fuzz SKIP_REGULAR_EXPRESSION "^SKIPPED")
  return()
endif()

# Scalar: what is fuzzed is what reads bytes, and every target of the kernels has tests of its own.
set(program ${CMAKE_CURRENT_BINARY_DIR}/fuzzer) # no target has this name, which Ninja would take for the file
set(include_directories $<TARGET_PROPERTY:io_test,INCLUDE_DIRECTORIES>)
add_custom_command(OUTPUT ${program}
  COMMAND ${HALFWAY_FUZZ_CXX} -std=c++20 -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
          -D HALFWAY_STATIC_DISPATCH -D HWY_COMPILE_ONLY_SCALAR
          "-isystem;$<JOIN:$<FILTER:${include_directories},EXCLUDE,^/usr/include$>,;-isystem;>"
          -MD -MT fuzzer -MF ${program}.d ${CMAKE_CURRENT_SOURCE_DIR}/io_fuzz.cc -o ${program}
  DEPENDS io_fuzz.cc
  DEPFILE ${program}.d
  COMMAND_EXPAND_LISTS VERBATIM
  COMMENT "Building the fuzzer of the readers of files")
add_custom_target(io_fuzz_program ALL DEPENDS ${program})

set(found ${CMAKE_CURRENT_BINARY_DIR}/found)
file(MAKE_DIRECTORY ${found})
# Below 600 bytes a file has all there is to it. A read may take a small multiple of the file, nothing for what it claims.
set(command ${program} -max_len=600 -malloc_limit_mb=64 -timeout=10 -print_final_stats=1
  -artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/ ${found} ${CMAKE_CURRENT_SOURCE_DIR}/corpus)
add_test(NAME io.fuzz COMMAND ${command} -max_total_time=60)
set_tests_properties(io.fuzz PROPERTIES LABELS fuzz TIMEOUT 240)
add_custom_target(io_fuzz COMMAND ${command} -max_total_time=600 DEPENDS ${program} USES_TERMINAL VERBATIM)
