# SPDX-License-Identifier: Apache-2.0
# The Fashion-MNIST data as Debian's dataset-fashion-mnist lays it out: four idx files, gzipped.
# Result variable: FashionMNIST_FOLDER.
find_path(FashionMNIST_FOLDER train-images-idx3-ubyte.gz PATH_SUFFIXES share/datasets/fashion-mnist)
mark_as_advanced(FashionMNIST_FOLDER)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(FashionMNIST
  REQUIRED_VARS FashionMNIST_FOLDER
  REASON_FAILURE_MESSAGE "install the package dataset-fashion-mnist (Debian) or set FashionMNIST_FOLDER")
