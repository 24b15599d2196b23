#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: tests/mutation/run.sh [pattern]
#
# Do the tests notice? Breaks one line of the library at a time, in a copy, and runs the test that must fail then. Needs g++,
# GoogleTest and Highway (HIGHWAY=<prefix>, if it is not installed in the system); about 20 seconds for each mutation. Exit
# status: 0 if every mutation was noticed.
set -euo pipefail
cd "$(dirname "$0")/../.."
pattern=${1:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
highway=()
[ -z "${HIGHWAY-}" ] || highway=(-isystem "$HIGHWAY/include" -L "$HIGHWAY/lib")

# What breaks | file below include/halfway | the line's text | what it becomes | test below tests/
mutations=(
  'ties go up instead of to even|types/rounding.h|- 1 + ((significand >> shift) \& 1)|+ 0|types/cast_test.cc'
  'bfloat16 rounds half up|simd/bfloat16-inl.h|hn::Set(du, 0x7FFFu)|hn::Set(du, 0x8000u)|ops/convert_test.cc'
  'a masked store writes one element more|simd/load_store-inl.h|hn::StoreN(v, df, p, n);|hn::StoreN(v, df, p, n + 1);|ops/activation_test.cc'
  'the tail of a sum loses an element|simd/reduce-inl.h|sum = hn::Add(sum, LoadNF32(df, x + i, count));|sum = hn::Add(sum, LoadNF32(df, x + i, count - 1));|ops/reduce_test.cc'
  'GEMM accumulates in 16 bits|simd/gemm_step-inl.h|return hn::MulAdd(a, b, acc);|return hn::BitCast(GemmDF(), hn::And(hn::BitCast(GemmDU(), hn::MulAdd(a, b, acc)), hn::Set(GemmDU(), 0xFFFF0000u)));|ops/gemm_test.cc'
  'GEMM forgets earlier chunks of k|simd/gemm_tile-inl.h|\&\& accumulate$|\&\& false|ops/gemm_test.cc'
  'beta = 0 reads c|simd/gemm_epilogue-inl.h|if (e.beta != 0.0f) {|if (e.beta == e.beta) {|ops/gemm_test.cc'
  'the zero point comes off with the wrong sign|simd/gemm-inl.h|hn::Sub(hn::LoadU(di, sums + q), excess)|hn::Add(hn::LoadU(di, sums + q), excess)|ops/gemm_requantized_test.cc'
  'exp loses the low part of ln 2|simd/math-inl.h|NegFma(n, hn::Set(df, kLn2Low), |hn::Add(hn::Zero(df), |simd/math_test.cc'
  'a query does not see its own key|simd/attention_args.h|position(r) + 1|position(r)|ops/attention_test.cc'
  'codes are cut instead of rounded|simd/quantize-inl.h|RoundInLowBits(df, ratio)|RoundInLowBits(df, hn::Trunc(ratio))|quantization/affine_test.cc'
  'the loss scale grows one step late|training/loss_scaler.h|++state_.good_steps < |state_.good_steps++ < |training/loss_scaler_test.cc'
)

unnoticed=0
for mutation in "${mutations[@]}"; do
  IFS='|' read -r what file from to test <<< "$mutation"
  [[ "$what $test" =~ $pattern ]] || continue
  rm -rf "$work/include"
  cp -r include "$work/"
  target=$work/include/halfway/$file
  escaped=$(sed 's/[][*.^$]/\\&/g; s/\\\$$/$/' <<< "$from")
  sed -i "s|$escaped|$to|" "$target"
  if cmp -s "$target" "include/halfway/$file"; then
    echo "NOT FOUND: $what: $file has no \"$from\""
    unnoticed=$((unnoticed + 1))
    continue
  fi
  result="does not compile"
  if g++ -std=c++20 -O1 -march=native -w -D HALFWAY_STATIC_DISPATCH -I "$work/include" -I tests "${highway[@]}" \
      "tests/$test" -o "$work/test" -lgtest_main -lgtest -lhwy -lmpfr -lgmp -lpthread 2> "$work/errors"; then
    result="not noticed"
    timeout 120 "$work/test" > "$work/output" 2>&1 || result="noticed"
  elif grep -q "static assertion failed" "$work/errors"; then
    result="noticed"
    echo "FAILED  ] static_assert" > "$work/output"
  fi
  case $result in
    noticed) echo "noticed: $what: $(grep -m1 -oE 'FAILED  \] [A-Za-z0-9_/.]+' "$work/output" | sed 's/FAILED  \] //' || echo crash)" ;;
    *) echo "UNNOTICED ($result): $what ($test)"; unnoticed=$((unnoticed + 1)) ;;
  esac
done
exit $((unnoticed != 0))
