# SPDX-License-Identifier: Apache-2.0
# Obtains what is missing from upstream releases, where there is no apt to ask.
#
# How each hash was confirmed: the SHA256 of Highway, Eigen, GoogleTest, Google Benchmark and nlohmann/json are those of
# Debian's unmodified upstream archives (the .orig.tar of highway 1.3.0-5.1, eigen3 3.4.0-4, googletest 1.12.1-0.2,
# benchmark 1.9.1-1, nlohmann-json3 3.11.3-2.1) and the same as published beside these URLs by other projects (TensorFlow,
# Open3D, Homebrew, openPMD among them). CLI11's is Conan Center's. The MD5 of the data files are upstream's own.
include_guard()
include(FetchContent)

set(halfway_fashion_mnist_url https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion)
set(halfway_fashion_mnist_files
  8d4fb7e6c68d591d4c3dfef9ec88bf0d train-images-idx3-ubyte.gz
  25c81989df183df01b3e8a0aad5dffbe train-labels-idx1-ubyte.gz
  bef4ecab320f06d8554ea6380940ec79 t10k-images-idx3-ubyte.gz
  bb300cfdad3c16e7a12a480ee83cd310 t10k-labels-idx1-ubyte.gz)

# Sets <result> to whether the targets of find_package(<name>) exist now.
function(halfway_obtain_upstream name result)
  # Read by the releases' own CMakeLists.txt, in this function's scope only.
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW) # option() and set(CACHE) keep these values
  set(CMAKE_POLICY_DEFAULT_CMP0126 NEW)
  set(CMAKE_COMPILE_WARNING_AS_ERROR OFF)
  set(BUILD_SHARED_LIBS OFF)
  set(BUILD_TESTING OFF)
  set(HWY_ENABLE_CONTRIB OFF)
  set(HWY_ENABLE_TESTS OFF)
  set(HWY_ENABLE_EXAMPLES OFF)
  set(INSTALL_GTEST OFF)
  set(BUILD_GMOCK OFF)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)

  set(${result} TRUE PARENT_SCOPE)
  if(name STREQUAL "hwy")
    FetchContent_Declare(hwy SYSTEM
      URL https://github.com/google/highway/archive/refs/tags/1.3.0.tar.gz
      URL_HASH SHA256=07b3c1ba2c1096878a85a31a5b9b3757427af963b1141ca904db2f9f4afe0bc2)
    FetchContent_MakeAvailable(hwy)
    add_library(hwy::hwy ALIAS hwy)
  elseif(name STREQUAL "GTest")
    FetchContent_Declare(googletest SYSTEM # named `gtest`, it would clash with a variable of its own
      URL https://github.com/google/googletest/archive/refs/tags/release-1.12.1.tar.gz
      URL_HASH SHA256=81964fe578e9bd7c94dfdb09c8e4d6e6759e19967e397dbea48d1c10e45d0df2)
    FetchContent_MakeAvailable(googletest)
  elseif(name STREQUAL "benchmark")
    FetchContent_Declare(benchmark SYSTEM
      URL https://github.com/google/benchmark/archive/refs/tags/v1.9.1.tar.gz
      URL_HASH SHA256=32131c08ee31eeff2c8968d7e874f3cb648034377dfc32a4c377fa8796d84981)
    FetchContent_MakeAvailable(benchmark)
  elseif(name STREQUAL "Eigen3")
    # Headers are all there is to Eigen; its own CMakeLists.txt is for its developers.
    FetchContent_Declare(Eigen3 SOURCE_SUBDIR no-build
      URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.bz2
      URL_HASH SHA256=b4c198460eba6f28d34894e3a5710998818515104d6e74e5cc331ce31e46e626)
    FetchContent_MakeAvailable(Eigen3)
    add_library(Eigen3::Eigen INTERFACE IMPORTED)
    target_include_directories(Eigen3::Eigen INTERFACE ${eigen3_SOURCE_DIR})
  elseif(name STREQUAL "nlohmann_json")
    FetchContent_Declare(nlohmann_json SYSTEM
      URL https://github.com/nlohmann/json/archive/refs/tags/v3.11.3.tar.gz
      URL_HASH SHA256=0d8ef5af7f9794e3263480193c491549b2ba6cc74bb018906202ada498a79406)
    FetchContent_MakeAvailable(nlohmann_json)
  elseif(name STREQUAL "CLI11")
    FetchContent_Declare(CLI11 SYSTEM
      URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.1.tar.gz
      URL_HASH SHA256=73b7ec52261ce8fe980a29df6b4ceb66243bb0b779451dbd3d014cfec9fdbb58)
    FetchContent_MakeAvailable(CLI11)
  elseif(name STREQUAL "FashionMNIST")
    set(files ${halfway_fashion_mnist_files})
    while(files)
      list(POP_FRONT files md5 file)
      file(DOWNLOAD ${halfway_fashion_mnist_url}/${file} ${HALFWAY_DEPENDENCY_DIR}/share/datasets/fashion-mnist/${file}
        EXPECTED_MD5 ${md5})
    endwhile()
    set(${result} FALSE PARENT_SCOPE) # the files are there; CMake's own search finds them
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()
