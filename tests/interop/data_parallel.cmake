# SPDX-License-Identifier: Apache-2.0
# cmake -D "MPIRUN=mpirun;-np" -D PROGRAM=data_parallel -D FOLDER=... -P data_parallel.cmake
#
# One rank from the first step to the last, and two ranks that are stopped between two checkpoints and
# continued by four, end with the same weights.
function(run ranks file output)
  execute_process(COMMAND ${MPIRUN} ${ranks} ${PROGRAM} ${FOLDER}/${file} ${ARGN}
    TIMEOUT 120 RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  message("${text}")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ranks} ranks: ${result}")
  endif()
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER})
run(1 alone whole)
run(2 interrupted first 130)
run(4 interrupted second)
if(NOT second MATCHES "4 ranks, from step 100")
  message(FATAL_ERROR "The second run did not continue at the checkpoint of step 100.")
endif()
string(REGEX MATCH "digest of the weights [0-9a-f]+" expected "${whole}")
string(FIND "${second}" "${expected}" found)
if(expected STREQUAL "" OR found EQUAL -1)
  message(FATAL_ERROR "The weights differ.")
endif()
file(SHA256 ${FOLDER}/alone one)
file(SHA256 ${FOLDER}/interrupted other)
if(NOT one STREQUAL other)
  message(FATAL_ERROR "The last checkpoints differ.")
endif()
