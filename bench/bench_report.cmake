# SPDX-License-Identifier: Apache-2.0
# What the target bench-report does. BENCH, REPORT: the programs; FOLDER: where to write; FILTER, REPETITIONS, MIN_TIME: of
# halfway_bench; COMPILER, FLAGS, INCLUDES, DEFINITIONS: of compile_cost.
file(MAKE_DIRECTORY ${FOLDER})

set(OUT ${FOLDER}/compile_cost.json)
include(${CMAKE_CURRENT_LIST_DIR}/compile_cost/compile_cost.cmake)

# Peers may read these before the bench can tell them anything. Wrong results don't keep the report from being written.
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    ${BENCH} --benchmark_filter=${FILTER} --benchmark_repetitions=${REPETITIONS} --benchmark_min_time=${MIN_TIME}
    --benchmark_out=${FOLDER}/results.json --benchmark_out_format=json
  OUTPUT_FILE ${FOLDER}/bench.log
  RESULT_VARIABLE bench_result)
execute_process(
  COMMAND ${REPORT} ${FOLDER}/results.json ${FOLDER}/compile_cost.json ${FOLDER}/report.html
  COMMAND_ERROR_IS_FATAL ANY)
if(NOT bench_result EQUAL 0)
  message(FATAL_ERROR "halfway_bench failed (${bench_result}); its output is in ${FOLDER}/bench.log")
endif()
