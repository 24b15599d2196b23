# SPDX-License-Identifier: Apache-2.0
# Installs packages of a Debian-like distribution. Used only by the other files of this folder.
include_guard()

find_program(HALFWAY_APT_GET apt-get)
mark_as_advanced(HALFWAY_APT_GET)
set(halfway_may_install FALSE)
if(HALFWAY_APT_GET)
  execute_process(COMMAND id -u OUTPUT_VARIABLE halfway_user_id OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(halfway_user_id STREQUAL "0")
    set(halfway_may_install TRUE)
  endif()
endif()
option(HALFWAY_USE_APT "Install what is missing with apt (needs root)" ${halfway_may_install})

# halfway_run_apt(<result> <output> <argument>...): apt-get without questions, patient with a slow network and with
# another apt at work.
function(halfway_run_apt result output)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env DEBIAN_FRONTEND=noninteractive
            ${HALFWAY_APT_GET} -qq -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 ${ARGN}
    RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  set(${result} ${code} PARENT_SCOPE)
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

# Refreshes the package lists, once a configure run. A failure is kept for the message of the install that then fails.
function(halfway_apt_update)
  get_property(done GLOBAL PROPERTY halfway_apt_updated SET)
  if(NOT done)
    message(STATUS "apt: refreshing the package lists")
    halfway_run_apt(code text -o APT::Update::Error-Mode=any update)
    if(code EQUAL 0)
      set(text "")
    endif()
    set_property(GLOBAL PROPERTY halfway_apt_updated "${text}")
  endif()
endfunction()

# halfway_apt_candidate(<variable> <package>): the upstream version that apt would install; empty if it has none.
function(halfway_apt_candidate variable package)
  halfway_apt_update()
  execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C apt-cache policy ${package} OUTPUT_VARIABLE policy)
  string(REGEX MATCH "Candidate: ([0-9]+:)?([0-9.]+)" candidate "${policy}")
  set(${variable} "${CMAKE_MATCH_2}" PARENT_SCOPE)
endfunction()

# halfway_apt_install(<package> <what it is>): installs the package or stops with the line to run by hand.
function(halfway_apt_install package what)
  halfway_apt_update()
  message(STATUS "apt: installing ${package} (${what})")
  halfway_run_apt(code text install --no-install-recommends ${package})
  if(NOT code EQUAL 0)
    get_property(update_text GLOBAL PROPERTY halfway_apt_updated)
    message(FATAL_ERROR "Missing: ${what}. apt could not install the package ${package}; once apt works:\n"
      "    apt-get update && apt-get install ${package}\n"
      "(HALFWAY_USE_APT=OFF takes the upstream release instead where there is one.)\n"
      "What apt said:\n${update_text}${text}")
  endif()
endfunction()

# halfway_apt_offer(<package> <what it is>): installs the package if that can be done; if not, says so and carries on.
function(halfway_apt_offer package what)
  halfway_apt_update()
  message(STATUS "apt: installing ${package} (${what})")
  halfway_run_apt(code text install --no-install-recommends ${package})
  if(NOT code EQUAL 0)
    message(STATUS "apt: could not install ${package}, going on without")
  endif()
endfunction()
