# SPDX-License-Identifier: Apache-2.0
# cmake -D "COMMAND=mpirun;..." -D "EXPECTED=<regular expression>" -P mpi_lost_rank.cmake
#
# The job must end by itself within 60 seconds, not successfully, and say what is expected.
execute_process(COMMAND ${COMMAND} TIMEOUT 60 RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
message("${output}\nresult: ${result}")
if(result MATCHES "timeout")
  message(FATAL_ERROR "The job hangs.")
elseif(result EQUAL 0)
  message(FATAL_ERROR "The job claims success.")
elseif(NOT output MATCHES "${EXPECTED}")
  message(FATAL_ERROR "\"${EXPECTED}\" is not in the output.")
endif()
